"""Where the plain loop's curves go: TensorBoard, as the recipe's `[loggers]` table asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from training.errors import LoggerError
from training.phases.job import Job
from training.phases.loggers import TensorBoard


class Curves:
    """TensorBoard's event files of a run."""

    def __init__(self, settings: TensorBoard, run: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(Path(settings.folder).expanduser() / run))  # type: ignore[no-untyped-call]
        self._flush_steps, self._flushed = settings.flush_steps, 0

    def add(self, metrics: Mapping[str, float], step: int) -> None:
        """Adds values after `step` steps."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)  # type: ignore[no-untyped-call]
        if step >= self._flushed + self._flush_steps:
            self._writer.flush()  # type: ignore[no-untyped-call]
            self._flushed = step

    def close(self) -> None:
        self._writer.close()  # type: ignore[no-untyped-call]


def open_curves(job: Job) -> Curves | None:
    """What the recipe asks for; None without. Raises: LoggerError for a tool that Composer alone writes to."""
    loggers = job.recipe.loggers
    for name in ("wandb", "mlflow"):
        if getattr(loggers, name) is not None:
            raise LoggerError(
                f"[loggers] {name} of the recipe needs --trainer composer; --trainer torch writes to TensorBoard alone, so "
                f"leave {name} out, or take Composer"
            )
    if loggers.tensorboard is None:
        return None
    settings = loggers.tensorboard
    return Curves(TensorBoard(folder=settings) if isinstance(settings, str) else settings, job.run)
