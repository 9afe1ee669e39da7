"""Phases, model, loader, trainers, measures and evaluation.

Always holds: importing this package loads neither torch nor Composer nor transformers. Asking for `training.MixedLoader`
loads torch, and asking for `training.TrainerPosition` loads transformers too. `training.RunSource` loads neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamer.extras import EXTRAS, missing_extra
from streamer.public_names import found_in

if TYPE_CHECKING:
    from training.loading.grain_source import RunSource as RunSource
    from training.loading.hugging_face import TrainerPosition as TrainerPosition
    from training.loading.loader import MixedLoader as MixedLoader

__all__ = ["MixedLoader", "RunSource", "TrainerPosition"]

_get, __dir__ = found_in(
    "training",
    {"MixedLoader": "loading.loader", "RunSource": "loading.grain_source", "TrainerPosition": "loading.hugging_face"},
)


def __getattr__(name: str) -> Any:
    try:
        return _get(name)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS["train"]:
            raise
        raise missing_extra(f"training.{name}", ["train"]) from error
