"""The files of a run's checkpoints, and how one becomes the latest.

Always holds: a file named `step-NNNNNNNN.pt` was whole when it got its name: it is written aside and synced, its digest goes
into the run's record (record.py), it is renamed, and then its folder is synced.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from streamer.store.directory_store import sync
from training.checkpoints import record
from training.errors import CheckpointError

NAME = re.compile(r"step-(\d{8}|[1-9]\d{8,})\.pt")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def probe(folder: Path) -> Iterator[Path]:
    """Makes the folder and a file in it, to try whether it can be written. Raises: CheckpointError."""
    path = folder / f".probe-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            path.write_bytes(b"probe")
            yield path
        finally:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def check_folder(folder: Path) -> None:
    """Raises: CheckpointError when a folder that is there, or would be made, cannot be written."""
    try:
        place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    except OSError as error:
        raise unwritable(folder, error) from error
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        number = errno.EACCES if place.is_dir() else errno.ENOTDIR
        raise unwritable(folder, OSError(number, os.strerror(number)))


def unwritable(folder: Path, error: OSError) -> CheckpointError:
    """What is said when checkpoints cannot be written there."""
    if error.errno in NO_ROOM:
        return no_room(folder)
    return CheckpointError(
        f"checkpoints cannot be written to {folder}: {error.strerror or error}; name a folder that you may write with "
        "--save-folder"
    )


def no_room(folder: Path) -> CheckpointError:
    return CheckpointError(f"{folder} has no room for what training writes; free space, then go on with --resume")


def replace(path: Path, data: bytes) -> None:
    """Writes a file, which is there whole or as it was, also after a power cut."""
    aside = path.with_name(f".{path.name}")
    aside.write_bytes(data)
    sync(aside)
    aside.replace(path)
    sync(path.parent)


def path_of(folder: Path, step: int) -> Path:
    """The file of the checkpoint after `step` steps."""
    return folder / f"step-{step:08d}.pt"


def saved(folder: Path) -> list[tuple[int, Path]]:
    """(steps, file) of the checkpoints, oldest first."""
    found = [(match, path) for path in folder.glob("step-*.pt") if (match := NAME.fullmatch(path.name))]
    return sorted((int(match[1]), path) for match, path in found)


def latest(folder: Path) -> tuple[int, Path] | None:
    """(steps, file) of the newest checkpoint, whether or not it may be loaded."""
    return next(reversed(saved(folder)), None)


def publish(aside: Path, target: Path, *, run: str, step: int, model: record.Shape, keep: int) -> None:
    """Makes a written file the checkpoint `target`, then removes all but the newest `keep`."""
    sync(aside)
    size_bytes = aside.stat().st_size
    written = record.Saved(run=run, step=step, sha256=record.digest(aside), size_bytes=size_bytes, model=model)
    record.append(target.parent, written)
    aside.replace(target)
    sync(target.parent)
    for _, path in saved(target.parent)[:-keep]:
        path.unlink(missing_ok=True)


def find_refusal(folder: Path, error: BaseException | None) -> OSError | None:
    """The refused write to a folder that is behind an error, however it was wrapped on the way; None when there is none.

    A disk that is full does not always say at which file it was noticed.
    """
    while error is not None:
        if isinstance(error, OSError) and (error.errno in NO_ROOM or str(error.filename).startswith(f"{folder}{os.sep}")):
            return error
        error = error.__cause__ or error.__context__
    return None


@contextlib.contextmanager
def plain_refusals(folder: Path) -> Iterator[None]:
    """While a training writes to its folder: a write that is refused is one line. Raises: CheckpointError."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # torch makes a RuntimeError of a full disk
        refused = find_refusal(folder, error)
        if refused is None:
            raise
        with contextlib.suppress(OSError):
            remove_unfinished(folder)
        raise unwritable(folder, refused) from error


def remove_unfinished(folder: Path) -> None:
    """Removes what a killed trainer was writing."""
    for path in folder.glob(".step-*.pt"):
        path.unlink(missing_ok=True)


def pass_over_later(folder: Path, step: int) -> list[Path]:
    """Renames the checkpoints after more than `step` steps, which could not be loaded, so that none counts as the newest.

    Returns: the new names.
    """
    return [
        path.rename(path.with_name(f"{path.name}.passed-over-{secrets.token_hex(4)}"))
        for later, path in saved(folder)
        if later > step
    ]
