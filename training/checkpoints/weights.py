"""Reads checkpoints without running anything that they hold.

Always holds: a checkpoint is unpickled with `weights_only`, so that nothing but tensors, plain values and the few types
below can come out of it. That holds for Composer's own loading too, which asks for everything: an environment variable of
torch overrides it.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamer.wording import listed
from training.errors import CheckpointError

FORCE, FORCE_NOT = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"

# What a training that goes on from a checkpoint takes from it, by the trainer that wrote it.
NEEDED = {
    "torch": ("step", "optimizer", "rng", "shares.counts", "state.dataset_state.train"),
    "composer": ("rng", "state.optimizers", "state.timestamp", "state.dataset_state.train", "state.callbacks.Watch"),
}

# What Composer saves besides tensors: its clock, numpy's random state, torch's version.
TYPES = [
    datetime.timedelta,
    torch.torch_version.TorchVersion,
    np.ndarray,
    np.dtype,
    np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    *(type(np.dtype(name)) for name in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "?")),
]


@contextlib.contextmanager
def safely() -> Iterator[None]:
    """Whatever is loaded within is loaded with `weights_only`, whoever asks for it."""
    before = {name: os.environ.pop(name, None) for name in (FORCE, FORCE_NOT)}
    os.environ[FORCE] = "1"
    try:
        with torch.serialization.safe_globals(TYPES):
            yield
    finally:
        del os.environ[FORCE]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, its tensors still on the disk; the model's are under `state` and `model`.

    Raises: CheckpointError when it cannot be loaded safely.
    """
    try:
        with safely():
            found: dict[str, Any] = torch.load(path, map_location="cpu", mmap=True)
        for tensor in found["state"]["model"].values():
            tensor.shape  # noqa: B018 (what is no tensor has none)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"checkpoint {path} holds more than tensors and plain values, so it is not loaded; take another checkpoint"
        ) from error
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"checkpoint {path} cannot be read as a checkpoint; restore it from a copy") from error
    return found


def holds(found: Mapping[str, Any], name: str) -> bool:
    """Whether a checkpoint has something under a dotted name."""
    at: Any = found
    for key in name.split("."):
        if not isinstance(at, Mapping) or at.get(key) is None:
            return False
        at = at[key]
    return True


def find_other(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], *, wanted_by: str) -> str | None:
    """The first name under which two models differ, with both shapes; None when there is none."""
    for name in sorted(wanted.keys() | found.keys()):
        has, asked = (tuple(model[name].shape) if name in model else None for model in (found, wanted))
        if has != asked:
            return f"{name} has shape {has}, in the {wanted_by} {asked}"
    return None


def check_weights(path: Path, model: torch.nn.Module, *, resumed_by: str | None = None) -> dict[str, Any]:
    """What a checkpoint holds, as `load_checkpoint`. `resumed_by`: the trainer that is to go on from all of it.

    Raises: CheckpointError when it cannot be loaded safely, is of a model of another shape or of another trainer.
    """
    found = load_checkpoint(path)
    other = find_other(found["state"]["model"], model.state_dict(), wanted_by="recipe")
    if other is not None:
        raise CheckpointError(
            f"checkpoint {path} is of another model than the recipe's: {other}; "
            "take the model of the training that wrote it, with --recipe or --set"
        )
    written_by = found.get("trainer", "composer")
    lacks = [] if resumed_by is None else [name for name in NEEDED.get(written_by, ()) if not holds(found, name)]
    if lacks:
        raise CheckpointError(
            f"checkpoint {path} lacks {listed(lacks)}, so a training cannot go on from it; take another checkpoint, or "
            "begin another run with its weights (--from)"
        )
    if resumed_by not in (None, written_by):
        raise CheckpointError(
            f"checkpoint {path} was written by --trainer {written_by} and cannot be resumed by --trainer {resumed_by}; "
            f"resume with --trainer {written_by}, or begin another run with its weights (--from)"
        )
    return found
