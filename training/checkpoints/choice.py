"""Chooses the checkpoint that a training begins with, and says why others are passed over.

Always holds: a checkpoint is chosen only if the record of its run names its digest, or if a person named it. Of several the
newest that is whole is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from training.checkpoints import record
from training.checkpoints.files import saved
from training.errors import CheckpointError

Say = Callable[[str], None]


class Chosen(NamedTuple):
    """A checkpoint that may be loaded. `model`: the shape that its record gives; None when a person vouched for it."""

    step: int
    path: Path
    model: record.Shape | None


def choose(folder: Path, *, trusted: str | None, say: Say, upto: int | None = None) -> Chosen | None:
    """The newest checkpoint of a run's folder, at most `upto` steps old, that may be loaded; None when there is no file.

    `trusted`: a SHA-256 that a person vouches for. Raises: CheckpointError when there are files and none may be loaded.
    """
    known, faults = record.read(folder), list[str]()
    for step, path in reversed(saved(folder)):
        if upto is not None and step > upto:
            continue
        fault = find_fault(path, known.get(step), trusted=trusted)
        if fault is None:
            for passed_over in faults:
                say(f"{passed_over}. Going on from {path.name}")
            named = known.get(step)
            return Chosen(step, path, None if named is None else named.model)
        faults.append(fault)
    if faults:
        raise CheckpointError(faults[0])
    return None


def find_fault(path: Path, named: record.Saved | None, *, trusted: str | None) -> str | None:
    """Why a checkpoint must not be loaded; None when it may be."""
    record_file = path.parent / record.NAME
    if trusted is None and named is not None and path.stat().st_size != named.size_bytes:  # found without reading it
        return (
            f"checkpoint {path} is damaged: it has {path.stat().st_size:,} bytes, but {record_file} says "
            f"{named.size_bytes:,}; restore it from a copy, or remove it"
        )
    found = record.digest(path)
    if found == trusted or (named is not None and named.sha256 == found):
        return None
    if named is not None:
        return (
            f"checkpoint {path} is damaged: its SHA-256 is {found}, but {record_file} says {named.sha256}; restore "
            "it from a copy, or remove it"
        )
    return (
        f"checkpoint {path} is not loaded, because {record_file} does not name it: this run did not write it. "
        f"If you know where it comes from, add --trust {found}"
    )


def choose_for_fork(folder: Path, run: str, forks: list[tuple[str, int]], *, trusted: str | None, say: Say) -> Chosen | None:
    """The newest checkpoint that a fork can begin with, from the folders of its parents, which lie beside its own.

    `forks`: the parents, the nearest first, each with the trained steps up to which the fork is the same. Raises:
    CheckpointError when all that there are come later, or may not be loaded.
    """
    later: list[str] = []
    for parent, steps in forks:
        found = choose(folder.parent / parent, trusted=trusted, say=say, upto=steps)
        if found is not None:
            return found
        later += [f"{parent} after {step}" for step, _ in saved(folder.parent / parent)]
    if later:
        raise CheckpointError(
            f"run {run} forked from {forks[0][0]} after {forks[0][1]} trained steps, but its checkpoints come later: "
            f"{', '.join(later)}. Fork at one of them, or leave --resume out to train from the first step"
        )
    return None


def check_shape(chosen: Chosen, shape: record.Shape) -> None:
    """Raises: CheckpointError, with the keys, when a checkpoint is of a model of another shape than the recipe's."""
    if chosen.model is None:
        return
    other = {key: value for key, value in chosen.model.items() if key != "dropout" and shape.get(key) != value}
    if other:
        has = ", ".join(f"model.{key} = {value}" for key, value in other.items())
        asked = ", ".join(str(shape.get(key)) for key in other)
        remedy = " ".join(f"--set model.{key}={str(value).lower()}" for key, value in other.items())
        raise CheckpointError(
            f"checkpoint {chosen.path} is of a model with {has}, but the recipe asks for {asked}; add {remedy}"
        )
