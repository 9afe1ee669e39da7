"""Composer's destinations of metrics, as the recipe's `[loggers]` table asks for them.

Always holds: a resumed training goes on in the run that its tool already has, instead of making a second one.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from composer.loggers import LoggerDestination, MLFlowLogger, TensorboardLogger, WandBLogger
from composer.utils import dist

from training.errors import LoggerError
from training.phases.job import Job
from training.phases.loggers import MLflow, TensorBoard, WandB


def make_loggers(job: Job) -> list[LoggerDestination]:
    """The destinations of a job; rank 0 alone sends anything to them."""
    loggers, found = job.recipe.loggers, []
    if loggers.tensorboard is not None:
        found.append(tensorboard(loggers.tensorboard))
    if loggers.wandb is not None:
        found.append(wandb(loggers.wandb, Path(job.save_folder)))
    if loggers.mlflow is not None:
        found.append(mlflow(loggers.mlflow))
    return found


@contextmanager
def refusals() -> Iterator[None]:
    """While a logger starts: what its package refuses is one line. Raises: LoggerError."""
    try:
        yield
    except Exception as error:
        package = type(error).__module__.partition(".")[0]
        if package not in ("wandb", "mlflow"):  # not imported here, so their errors are known by name alone
            raise
        remedy = (
            'set mode = "offline" there to train without it' if package == "wandb" else "name another tracking_uri there"
        )
        raise LoggerError(f"[loggers] {package} of the recipe cannot start: {error}; correct this, or {remedy}") from error


def tensorboard(settings: TensorBoard | str) -> LoggerDestination:
    if isinstance(settings, str):
        settings = TensorBoard(folder=settings)
    return TensorboardLogger(log_dir=str(Path(settings.folder).expanduser()), flush_interval=settings.flush_steps)


def wandb(settings: WandB, save_folder: Path) -> LoggerDestination:
    folder = Path(settings.folder).expanduser() if settings.folder else save_folder
    options: dict[str, Any] = {"dir": str(folder)}
    if settings.mode is not None:
        options["mode"] = settings.mode
    if dist.get_global_rank() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        options["id"] = identity(save_folder / "wandb_id")
    if settings.mode != "offline":  # there W&B only warns that it cannot ask whether the run exists
        options["resume"] = "allow"
    return WandBLogger(
        project=settings.project,
        group=settings.group,
        name=settings.name,
        entity=settings.entity,
        tags=settings.tags or None,
        init_kwargs=options,
    )


def identity(path: Path) -> str:
    """The random name under which W&B knows the run; the first training of a folder chooses it."""
    if not path.exists():
        path.write_text(secrets.token_hex(8))
    return path.read_text()


def mlflow(settings: MLflow) -> LoggerDestination:
    return MLFlowLogger(
        tracking_uri=settings.tracking_uri,
        experiment_name=settings.experiment_name,
        run_name=settings.run_name,
        tags=dict(settings.tags),
        log_system_metrics=False,
        log_duplicated_metric_every_n_steps=1,  # Composer leaves out a value that has not changed: curves with holes
        resume=True,
    )
