"""The errors of training that a user or the world can cause.

PhasemixError
|- TrainingError
   |- RecipeError         a recipe or a --set that says what no phase understands
   |- RunMismatchError    the run exists, but with another mixture, seed, batch or sequence length
   |- PositionError       a saved position that is not of this run, or of another ledger
   |- CheckpointError     a checkpoint that is missing, or in the way
"""

from __future__ import annotations

from streamer.errors import PhasemixError


class TrainingError(PhasemixError):
    """Root of what can go wrong in training."""


class RecipeError(TrainingError):
    """A recipe or a --set that says what no phase understands."""


class RunMismatchError(TrainingError):
    """The run exists, but with another mixture, seed, batch or sequence length."""


class PositionError(TrainingError):
    """A saved position that is not of this run, or of another ledger."""


class CheckpointError(TrainingError):
    """A checkpoint that is missing, or in the way."""
