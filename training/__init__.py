"""Phases, model, loader, Composer trainer, measures and evaluation.

Always holds: importing this package loads neither torch nor composer. Asking for `training.MixedLoader` loads torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.loading.loader import MixedLoader as MixedLoader

__all__ = ["MixedLoader"]


def __getattr__(name: str) -> Any:
    if name == "MixedLoader":
        from training.loading.loader import MixedLoader

        return MixedLoader
    raise AttributeError(f"module 'training' has no attribute {name!r}")
