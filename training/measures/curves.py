"""Where a training's curves go besides its own files: TensorBoard, W&B and MLflow, as the recipe's `[loggers]` table asks.

Always holds: a resumed training goes on in the run that its tool already has, instead of making a second one.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from streamer.wording import one_line
from training.checkpoints.place import WANDB_ID
from training.errors import LoggerError
from training.phases.job import Job
from training.phases.loggers import MLflow, TensorBoard, WandB
from training.processes import ranks

NOT_MLFLOWS = re.compile(r"[^\w\-. :/]")  # what MLflow refuses in a name, such as the @ of a stream's


class Curves(Protocol):
    """One tool. `add` takes values after `step` steps; `close` says why the training ends, if it is no good end."""

    def add(self, metrics: Mapping[str, float], step: int) -> None: ...

    def close(self, error: type[BaseException] | None) -> None: ...


def open_curves(job: Job) -> list[Curves]:
    """The tools of a job, for the first rank alone. Raises: LoggerError."""
    loggers, found = job.recipe.loggers, list[Curves]()
    try:
        if loggers.tensorboard is not None:
            with refusals("tensorboard"):
                found.append(TensorBoardCurves(loggers.tensorboard, job))
        if loggers.wandb is not None:
            with refusals("wandb"):
                found.append(WandBCurves(loggers.wandb, job))
        if loggers.mlflow is not None:
            with refusals("mlflow"):
                found.append(MLflowCurves(loggers.mlflow, job))
    except BaseException as error:
        close_all(found, type(error), ranks.say)
        raise
    return found


@contextmanager
def refusals(tool: str) -> Iterator[None]:
    """While a logger starts: what its package or the disk refuses is one line. Raises: LoggerError."""
    try:
        yield
    except Exception as error:
        is_disk = isinstance(error, OSError)
        if not is_disk and type(error).__module__.partition(".")[0] != tool:  # not imported here, so known by name alone
            raise
        remedy = {
            "tensorboard": "set `loggers.tensorboard` to a folder that can be written",
            "wandb": "set `loggers.wandb.folder` to a folder that can be written"
            if is_disk
            else 'set `loggers.wandb.mode` to "offline" to train without its server',
            "mlflow": "set `loggers.mlflow.tracking_uri` to another server or folder",
        }[tool]
        raise LoggerError(
            f"[loggers] {tool} of the recipe cannot start: {one_line(error)}. Fix the cause, or {remedy}"
        ) from error


def add_to_all(opened: list[Curves], metrics: Mapping[str, float], step: int, say: Callable[[str], None]) -> None:
    """Sends values to each. One that refuses them is closed and leaves the list: a training is worth more."""
    for curves in tuple(opened):
        try:
            curves.add(metrics, step)
        except Exception as fault:  # whatever the tool's package raises
            opened.remove(curves)
            say(f"{tool_of(curves)} takes no values since step {step} and is left out from here on: {one_line(fault)}")
            close_all([curves], type(fault), say)


def tool_of(curves: Curves) -> str:
    return type(curves).__name__.removesuffix("Curves")


def close_all(opened: Iterable[Curves], error: type[BaseException] | None, say: Callable[[str], None]) -> None:
    """Closes each of them. What goes wrong with one is said and changes nothing else, for the training has ended."""
    for curves in opened:
        try:
            curves.close(error)
        except Exception as fault:  # whatever the tool's package raises
            say(f"{tool_of(curves)} could not be closed, so its last values may be missing: {one_line(fault)}")


class TensorBoardCurves:
    """Event files. What a killed training wrote of steps that are taken again is not shown."""

    def __init__(self, settings: TensorBoard | str, job: Job) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if isinstance(settings, str):
            settings = TensorBoard(folder=settings)
        folder = Path(settings.folder).expanduser() / job.run
        purge_step = job.resume_step + 1 if job.resume else None
        self._writer = SummaryWriter(str(folder), purge_step=purge_step)  # type: ignore[no-untyped-call]
        self._flush_steps, self._flushed = settings.flush_steps, job.resume_step

    def add(self, metrics: Mapping[str, float], step: int) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)  # type: ignore[no-untyped-call]
        if step >= self._flushed + self._flush_steps:
            self._writer.flush()  # type: ignore[no-untyped-call]
            self._flushed = step

    def close(self, error: type[BaseException] | None) -> None:
        self._writer.close()  # type: ignore[no-untyped-call]


class WandBCurves:
    """A run of Weights & Biases."""

    def __init__(self, settings: WandB, job: Job) -> None:
        import wandb

        folder = Path(settings.folder).expanduser() if settings.folder else Path(job.save_folder)
        folder.mkdir(parents=True, exist_ok=True)
        options: dict[str, Any] = {"mode": settings.mode} if settings.mode else {}
        if settings.mode != "offline":  # there W&B only warns that it cannot ask whether the run exists
            options["resume"] = "allow"
        self._run = wandb.init(
            project=settings.project,
            entity=settings.entity,
            group=settings.group,
            name=settings.name or job.run,
            tags=settings.tags or None,
            dir=str(folder),
            id=identity(Path(job.save_folder) / WANDB_ID),
            **options,
        )

    def add(self, metrics: Mapping[str, float], step: int) -> None:
        self._run.log(dict(metrics), step=step)

    def close(self, error: type[BaseException] | None) -> None:
        self._run.finish(exit_code=0 if error is None else 1)


def identity(path: Path) -> str:
    """The random name under which W&B knows the run; the first training of a folder chooses it."""
    if not path.exists():
        path.write_text(secrets.token_hex(8))
    return path.read_text()


class MLflowCurves:
    """A run of MLflow, which is found again by its tag `run_name`. Values are sent by a thread of MLflow's."""

    def __init__(self, settings: MLflow, job: Job) -> None:
        import mlflow

        self._mlflow: Any = mlflow
        if settings.tracking_uri is not None:
            mlflow.set_tracking_uri(settings.tracking_uri)
        if settings.experiment_name is not None:
            mlflow.set_experiment(settings.experiment_name)
        known: Any = mlflow.search_runs(filter_string=f'tags.run_name = "{job.run}"', output_format="list")
        mlflow.start_run(
            run_id=known[0].info.run_id if known else None,
            run_name=settings.run_name or job.run,
            tags={**settings.tags, "run_name": job.run},
            log_system_metrics=False,
        )

    def add(self, metrics: Mapping[str, float], step: int) -> None:
        named = {NOT_MLFLOWS.sub("_", name): value for name, value in metrics.items()}
        self._mlflow.log_metrics(named, step=step, synchronous=False)

    def close(self, error: type[BaseException] | None) -> None:
        self._mlflow.flush_async_logging()
        status = "FINISHED" if error is None else "KILLED" if issubclass(error, KeyboardInterrupt) else "FAILED"
        self._mlflow.end_run(status)
