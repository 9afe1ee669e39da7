"""A run's own record of its checkpoints: which files the training itself wrote, by digest.

Always holds: a checkpoint is in the record, synced to the disk, before it has its name. A file that the record does not name
was put there by somebody else, and one of another digest was changed since; neither is ever loaded.

How: `checkpoints.jsonl` beside the checkpoints, a line for each. A line that a kill tore, or that was changed so that it
cannot be read, names nothing.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from training.errors import CheckpointError

FORMAT = "checkpoint/1"
NAME = "checkpoints.jsonl"
Shape = dict[str, int | float | bool]


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """One checkpoint: after `step` trained steps of `run`, of a model of that shape (the recipe's `model` table)."""

    run: str
    step: int
    sha256: str
    size_bytes: int
    model: Shape
    format: str = FORMAT


def append(folder: Path, saved: Saved) -> None:
    """Adds a line and syncs it."""
    with (folder / NAME).open("ab") as file:
        file.write(b"\n" + msgspec.json.encode(saved) + b"\n")  # the first newline ends a line that a kill tore
        file.flush()
        os.fsync(file.fileno())


def read(folder: Path) -> dict[int, Saved]:
    """What the record says, by step; of two lines on one step the later holds. Raises: CheckpointError."""
    try:
        lines = (folder / NAME).read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CheckpointError(f"{folder / NAME} cannot be read: {error.strerror}; make it readable") from error
    found: dict[int, Saved] = {}
    for line in filter(None, lines):
        try:
            saved = msgspec.json.decode(line, type=Saved)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if saved.format == FORMAT:
            found[saved.step] = saved
    return found


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hex. Raises: CheckpointError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {error.strerror}; restore it from a copy") from error
