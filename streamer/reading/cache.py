"""Whole shards of object stores on this node's disk, shared by all its processes, within a bound.

Always holds:
- the files of the folder, those being written included, take at most the bound (`_make_room` counts them under one lock and
  claims the space before a byte is written);
- a name is absent or whole; what a killed process left is swept by the next one that needs space;
- a file is never removed while anybody maps it: each map holds a shared flock through its own descriptor, so the pin lasts
  as long as the map and the views of it, and ends with the process.

Least recently mapped goes first; that time is the file's access time, which `find` sets.
"""

import contextlib
import errno
import fcntl
import mmap
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from streamer.errors import CacheFullError, StoreError
from streamer.reading.locks import hold, let_go, lock_file, locked, try_exclusive

DEFAULT_BYTES = 64 << 30
DISK_PERCENT = 80  # of what is free and what the cache has already, unless a bound is given
ASIDE = "."
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Mapped(NamedTuple):
    """A read-only map of a file and the facts of that file."""

    data: mmap.mmap
    stat: os.stat_result


class Resting(NamedTuple):
    """A file of the cache that nobody need be using."""

    used_ns: int
    size_bytes: int
    path: Path


class Cache:
    """Files by name under `folder`. Raises StoreError for a folder that cannot be used, or a bound that cannot be."""

    def __init__(self, folder: Path | None = None, bound_bytes: int | None = None) -> None:
        own = folder is None and not os.environ.get("PHASEMIX_CACHE")
        default = os.environ.get("PHASEMIX_CACHE") or Path(tempfile.gettempdir()) / f"phasemix-cache-{os.getuid()}"
        self.folder = Path(folder or default)
        self.shards, self.locks, self.hashes = (self.folder / name for name in ("shards", "locks", "hashes"))
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if own:
                make_private(self.folder)
            for path in (self.shards, self.locks, self.hashes):
                path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise self.unusable(error) from error
        self.bound_bytes = self._check_bound(bound_bytes)

    def find(self, name: str, size_bytes: int) -> Mapped | None:
        """Maps a file and so pins it; None when it is absent. One of another size is removed."""
        path = self.shards / name
        while True:
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                return None
            hold(descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                stat = os.fstat(descriptor)
                if not stat.st_nlink:
                    continue  # evicted since it was opened
                if stat.st_size != size_bytes:
                    self.remove(name)
                    return None
                with contextlib.suppress(PermissionError):
                    os.utime(descriptor, ns=(time.time_ns(), stat.st_mtime_ns))
                return map_pinned(descriptor)
            finally:
                let_go(descriptor)

    def add(self, name: str, size_bytes: int, write: Callable[[Path], None], *, spare_bytes: int = 0) -> Mapped:
        """Has `write` fill a file aside, gives it its name and maps it. Call it under `lock(name)`.

        Raises: what `write` raises; CacheFullError when what is mapped or being written fills the bound, or would leave less
        than `spare_bytes` to others; StoreError when the disk is full and nothing can go.
        """
        while True:
            try:
                with self.aside(name, size_bytes, spare_bytes=spare_bytes) as (path, descriptor):
                    write(path)
                    with locked(self.folder / "lock"):  # nobody evicts between the new name and the shared lock
                        os.replace(path, self.shards / name)
                        fcntl.flock(descriptor, fcntl.LOCK_SH)
                        return map_pinned(descriptor)
            except OSError as error:
                if error.errno not in NO_SPACE or not self._evict(size_bytes):
                    raise self.unusable(error) from error

    @contextlib.contextmanager
    def aside(self, name: str, size_bytes: int, *, spare_bytes: int = 0) -> Iterator[tuple[Path, int]]:
        """A file of that size, its space claimed, that is gone afterwards unless it was given a name."""
        path = self.shards / f"{ASIDE}{name}.{secrets.token_hex(4)}"
        with locked(self.folder / "lock"):
            self._make_room(name, size_bytes, spare_bytes)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            hold(descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.truncate(descriptor, size_bytes)  # counts from now on
        try:
            claim(descriptor, size_bytes)
            yield path, descriptor
        finally:
            path.unlink(missing_ok=True)
            let_go(descriptor)

    def remove(self, name: str) -> None:
        """Removes a file that is not what it should be; maps of it stay whole."""
        (self.shards / name).unlink(missing_ok=True)

    def lock(self, name: str) -> contextlib.AbstractContextManager[None]:
        """What keeps two processes, or threads, from fetching or hashing one shard at once."""
        return locked(lock_file(self.locks, name))

    def unusable(self, error: OSError) -> StoreError:
        remedy = "free space there" if error.errno in NO_SPACE else "make it a folder of your own"
        return StoreError(
            f"cache {self.folder} cannot be used: {error.strerror or error}; {remedy}, or set PHASEMIX_CACHE to another "
            "folder and PHASEMIX_CACHE_BYTES to what its disk can hold"
        )

    def _check_bound(self, bound_bytes: int | None) -> int:
        text = os.environ.get("PHASEMIX_CACHE_BYTES")
        if bound_bytes is None and text:
            if not text.isdigit():
                raise StoreError(f"PHASEMIX_CACHE_BYTES is {text!r}; give a number of bytes, such as {DEFAULT_BYTES}")
            bound_bytes = int(text)
        disk = os.statvfs(self.folder)
        if bound_bytes is None:
            usable = disk.f_bavail * disk.f_frsize + sum(found.size_bytes for found in self._resting())
            return min(DEFAULT_BYTES, usable * DISK_PERCENT // 100)
        if not 0 < bound_bytes <= disk.f_blocks * disk.f_frsize:
            raise StoreError(
                f"cache {self.folder} is to hold {bound_bytes:,} bytes, its disk has {disk.f_blocks * disk.f_frsize:,}; "
                "set PHASEMIX_CACHE_BYTES (or cache_bytes) to at most that"
            )
        return bound_bytes

    def _resting(self) -> list[Resting]:
        """All files, least recently used first."""
        found = []
        with os.scandir(self.shards) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    stat = entry.stat()
                    found.append(Resting(stat.st_atime_ns, stat.st_size, Path(entry.path)))
        return sorted(found)

    def _make_room(self, name: str, size_bytes: int, spare_bytes: int) -> None:
        """Evicts until there is room, and sees that `spare_bytes` more could be had. Call it under the folder's lock."""
        left, candidates = self.bound_bytes - size_bytes, []
        for found in self._resting():
            if not found.path.name.startswith(ASIDE):
                candidates.append(found)
            elif is_free(found.path, remove=True):
                continue  # its writer is dead: a living one holds its lock
            left -= found.size_bytes
        for found in candidates:
            if left >= spare_bytes:
                return
            if is_free(found.path, remove=left < 0):
                left += found.size_bytes
        if left < spare_bytes:
            used = self.bound_bytes - size_bytes - left
            raise CacheFullError(
                f"cache {self.folder} may hold {self.bound_bytes:,} bytes; readers on this node use {used:,} of them and "
                f"{name} needs {size_bytes:,} more. Set PHASEMIX_CACHE_BYTES (or cache_bytes) to at least "
                f"{used + size_bytes + spare_bytes:,}, or read fewer shards at once"
            )

    def _evict(self, size_bytes: int) -> bool:
        """Frees that much of the disk if it can; False when nothing could go."""
        freed = 0
        with locked(self.folder / "lock"):
            for found in self._resting():
                if freed < size_bytes and is_free(found.path, remove=True):
                    freed += found.size_bytes
        return freed > 0


def map_pinned(descriptor: int) -> Mapped:
    """A map keeps a copy of the descriptor, and with it the lock, until the last view of it is gone."""
    return Mapped(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ), os.fstat(descriptor))


def is_free(path: Path, *, remove: bool = False) -> bool:
    """Whether nobody maps or writes a file; then it can go."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    hold(descriptor)
    try:
        if not try_exclusive(descriptor):
            return False
        if remove:
            path.unlink(missing_ok=True)
        return True
    finally:
        let_go(descriptor)


def claim(descriptor: int, size_bytes: int) -> None:
    """Gives a file its place on the disk. Raises: OSError when there is none."""
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise  # otherwise a file system that cannot say so before: the write finds out


def make_private(folder: Path) -> None:
    """The default place lies in a folder that everybody may write. Raises: StoreError when somebody else made it."""
    stat = folder.lstat()
    if folder.is_symlink() or stat.st_uid != os.getuid() or stat.st_mode & 0o022:
        raise StoreError(
            f"cache {folder} is open to other users; remove it, or set PHASEMIX_CACHE to a folder of your own with mode 0700"
        )
    folder.chmod(0o700)
