"""Phases, model, loader, Composer trainer, measures and evaluation.

Always holds: importing this package loads neither torch nor Composer nor transformers. Asking for `training.MixedLoader`
loads torch, and asking for `training.TrainerPosition` loads transformers too.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from streamer.extras import EXTRAS, missing_extra

if TYPE_CHECKING:
    from training.loading.hugging_face import TrainerPosition as TrainerPosition
    from training.loading.loader import MixedLoader as MixedLoader

__all__ = ["MixedLoader", "TrainerPosition"]

_HOMES = {"MixedLoader": "training.loading.loader", "TrainerPosition": "training.loading.hugging_face"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'training' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS["train"]:
            raise
        raise missing_extra(f"training.{name}", ["train"]) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
