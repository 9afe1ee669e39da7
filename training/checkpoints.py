"""Where a run's checkpoints lie, and how one becomes the latest.

Always holds: a file named `step-NNNNNNNN.pt` is whole: it is written aside, synced, then renamed, then its folder is synced.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from training.errors import CheckpointError

NAME = re.compile(r"step-(\d{8,})\.pt")


def default_folder(root: str, run: str) -> Path:
    """`ROOT/checkpoints/RUN`. Raises: CheckpointError for a root that is no folder of this machine."""
    if "://" in root:
        raise CheckpointError(f"checkpoints cannot be written to {root}; name a local folder with --save-folder")
    return Path(root).expanduser() / "checkpoints" / run


def path_of(folder: Path, step: int) -> Path:
    """The file of the checkpoint after `step` steps."""
    return folder / f"step-{step:08d}.pt"


def saved(folder: Path) -> list[tuple[int, Path]]:
    """(steps, file) of the whole checkpoints, oldest first."""
    found = [(match, path) for path in folder.glob("step-*.pt") if (match := NAME.fullmatch(path.name))]
    return sorted((int(match[1]), path) for match, path in found)


def latest(folder: Path) -> tuple[int, Path] | None:
    """(steps, file) of the newest whole checkpoint."""
    return next(reversed(saved(folder)), None)


def forked_from(folder: Path, run: str, forks: list[tuple[str, int]]) -> tuple[int, Path] | None:
    """(steps, file) of the newest checkpoint that a fork can begin with, in the folders of its parents, beside its own.

    `forks`: each with the trained steps up to which the fork is the same. Raises: CheckpointError when all that there are
    come later.
    """
    later: list[str] = []
    for parent, steps in forks:
        there = saved(folder.parent / parent)
        fitting = [found for found in there if found[0] <= steps]
        if fitting:
            return fitting[-1]
        later += [f"{parent} after {step}" for step, _ in there]
    if later:
        raise CheckpointError(
            f"run {run} forked from {forks[0][0]} after {forks[0][1]} trained steps; the checkpoints come later: "
            f"{', '.join(later)}; fork at one of them, or leave --resume out to train from the first step"
        )
    return None


def publish(aside: Path, target: Path, *, keep: int) -> None:
    """Makes a written file the checkpoint `target`, then removes all but the newest `keep`."""
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.replace(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    for _, path in saved(target.parent)[:-keep]:
        path.unlink(missing_ok=True)


def met_full_disk(error: BaseException | None) -> bool:
    """Whether a write for which there was no room is behind an error, however it was wrapped on the way."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        error = error.__cause__ or error.__context__
    return False


def remove_unfinished(folder: Path) -> None:
    """Removes what a killed trainer was writing."""
    for path in folder.glob(".step-*.pt"):
        path.unlink(missing_ok=True)
