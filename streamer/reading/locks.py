"""Locks between the processes of a node, as flock of files.

Always holds: a lock ends with the process that took it, whatever ends that (the kernel releases it), and a forked child
holds none of its parent's locks.

A folder has a fixed number of lock files; names share them by hash, so that none ever needs removing. Whoever holds one
takes no second one of the same folder.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import xxhash

LOCK_FILES = 1024
_held: set[int] = set()  # descriptors, for the child of a fork
_hooked: list[bool] = []


def hold(descriptor: int) -> None:
    """Notes a locked descriptor that a forked child must close, or its copy would keep the lock alive."""
    if not _hooked:
        _hooked.append(True)
        os.register_at_fork(after_in_child=_close_inherited)
    _held.add(descriptor)


def let_go(descriptor: int) -> None:
    """Closes a descriptor; its lock goes unless a map keeps a copy of it."""
    _held.discard(descriptor)
    os.close(descriptor)


def _close_inherited() -> None:
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a file's exclusive lock; the file is made when absent. Waits for whoever has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    hold(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        let_go(descriptor)


def lock_file(folder: Path, name: str) -> Path:
    """The lock file of a name."""
    return folder / f"{xxhash.xxh3_64_intdigest(name.encode()) % LOCK_FILES:03x}"


def try_exclusive(descriptor: int) -> bool:
    """Takes a file's exclusive lock if nobody has it in any way."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
