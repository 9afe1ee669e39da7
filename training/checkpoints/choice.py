"""Chooses the checkpoint that a training begins with, and says why others are passed over.

Always holds: a checkpoint is chosen only if the record of its run names its digest, or if a person named it. Of several the
newest that is whole is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from training.checkpoints import record
from training.checkpoints.files import path_of
from training.checkpoints.place import Place
from training.errors import CheckpointError

Say = Callable[[str], None]


class Chosen(NamedTuple):
    """A checkpoint that may be loaded: its file here and as a person finds it. `model`: the shape that its record gives.

    `model` is None when a person vouched for the checkpoint.
    """

    step: int
    path: Path
    called: str
    model: record.Shape | None


def choose(
    place: Place,
    *,
    trusted: str | None,
    say: Say,
    upto: int | None = None,
    only: int | None = None,
    fetches: bool = True,
) -> Chosen | None:
    """The newest checkpoint of a run that may be loaded, fetched from its store if need be; None when there is none at all.

    Args: trusted, a SHA-256 that a person vouches for; upto, the most steps; only, these steps alone; fetches, as
        `Place.fetch_if_allowed`.
    Raises: CheckpointError when there are checkpoints and none may be loaded; StoreError.
    """
    steps, faults = place.steps(), list[str]()
    known = place.known() if steps else {}
    for step in reversed(steps):
        if (upto is not None and step > upto) or only not in (None, step):
            continue
        path = path_of(place.folder, step)
        fault = place.fetch_if_allowed(step, known.get(step), trusted=trusted, fetches=fetches)
        if fault is None:
            for passed_over in faults:
                say(f"{passed_over}. Going on from {path.name}")
            named = known.get(step)
            return Chosen(step, path, place.named(path.name), None if named is None else named.model)
        faults.append(fault)
    if faults:
        raise CheckpointError(faults[0])
    return None


def choose_for_fork(
    place: Place, run: str, forks: list[tuple[str, int]], *, trusted: str | None, say: Say, fetches: bool = True
) -> Chosen | None:
    """The newest checkpoint that a fork can begin with, of its parents, whose checkpoints lie beside its own.

    `forks`: the parents, the nearest first, each with the trained steps up to which the fork is the same. Raises:
    CheckpointError when all that there are come later, or may not be loaded; StoreError.
    """
    later: list[str] = []
    for parent, steps in forks:
        found = choose(place.beside(parent), trusted=trusted, say=say, upto=steps, fetches=fetches)
        if found is not None:
            return found
        later += [f"{parent} after {step}" for step in place.beside(parent).steps()]
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
            f"checkpoint {chosen.called} is of a model with {has}, but the recipe asks for {asked}; add {remedy}"
        )
