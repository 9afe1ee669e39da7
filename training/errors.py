"""The errors of training that a user or the world can cause.

PhasemixError
|- TrainingError
   |- RecipeError         a recipe or a --set that no phase understands, or that does not fit the streams
   |- RunMismatchError    the run exists, but with another mixture, seed, batch, sequence length or horizon
   |- PositionError       a saved position that belongs to another run or another ledger
   |- CheckpointError     a checkpoint that is missing, damaged, of unknown origin, or in the way
   |- HeldoutError        held-out streams that cannot be evaluated
   |- EvaluationError     a benchmark's file, an environment or a package that answers cannot be checked with
   |- LostRankError       another process of a training that ended or does not answer
   |- DivergenceError      a loss or weights that are no longer numbers
   |- LoggerError         TensorBoard, W&B or MLflow cannot begin to log the run
"""

from __future__ import annotations

from streamer.errors import PhasemixError


class TrainingError(PhasemixError):
    """Root of what can go wrong in training."""


class RecipeError(TrainingError):
    """A recipe or a --set that no phase understands, or that does not fit the streams."""


class RunMismatchError(TrainingError):
    """The run exists, but with another mixture, seed, batch, sequence length or horizon."""


class PositionError(TrainingError):
    """A saved position that belongs to another run or another ledger."""


class CheckpointError(TrainingError):
    """A checkpoint that is missing, damaged, of unknown origin, or in the way."""


class HeldoutError(TrainingError):
    """Held-out streams that cannot be evaluated."""


class EvaluationError(TrainingError):
    """A benchmark's file, an environment or a package with which answers cannot be checked."""


class LoggerError(TrainingError):
    """TensorBoard, W&B or MLflow cannot begin to log the run."""


class LostRankError(TrainingError):
    """Another process of a training that ended or does not answer."""


class DivergenceError(TrainingError):
    """A loss or weights that are no longer numbers."""
