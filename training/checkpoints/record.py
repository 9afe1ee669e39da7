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


def lines(folder: Path) -> list[bytes]:
    """The lines of the record; none where there is no file. Raises: CheckpointError."""
    try:
        return [line for line in (folder / NAME).read_bytes().split(b"\n") if line]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise CheckpointError(f"{folder / NAME} cannot be read: {error.strerror}; make it readable") from error


def read(folder: Path) -> dict[int, Saved]:
    """What the record says, by step. Raises: CheckpointError."""
    return parse(b"\n".join(lines(folder)))


def parse(text: bytes) -> dict[int, Saved]:
    """What a record says, by step; of two lines on one step the later holds."""
    found: dict[int, Saved] = {}
    for line in filter(None, text.split(b"\n")):
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


def find_fault(path: Path, named: Saved | None, *, trusted: str | None, called: str | None = None) -> str | None:
    """Why a checkpoint must not be loaded; None when it may be. `called`: as a person finds it, where that is elsewhere."""
    called = called or str(path)
    if trusted is None and named is not None and path.stat().st_size != named.size_bytes:  # found without reading it
        return of_another_size(called, path.stat().st_size, named)
    found = digest(path)
    if found == trusted or (named is not None and named.sha256 == found):
        return None
    if named is not None:
        return (
            f"checkpoint {called} is damaged: its SHA-256 is {found}, but {beside(called)} says {named.sha256}; restore "
            "it from a copy, or remove it"
        )
    return (
        f"checkpoint {called} is not loaded, because {beside(called)} does not name it: this run did not write it. "
        f"If you know where it comes from, add --trust {found}"
    )


def of_another_size(called: str, size_bytes: int, named: Saved) -> str:
    return (
        f"checkpoint {called} is damaged: it has {size_bytes:,} bytes, but {beside(called)} says {named.size_bytes:,}; "
        "restore it from a copy, or remove it"
    )


def beside(called: str) -> str:
    """The record of a checkpoint."""
    return f"{called.rpartition('/')[0]}/{NAME}"
