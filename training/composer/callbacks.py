"""What a Composer Trainer calls as it goes: to restore random state, save checkpoints, report losses and watch the steps.

Always holds: what is reported of a step is written before its checkpoint appears. A resumed training writes each line once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from composer import Callback, State, Trainer
from composer.loggers import Logger
from composer.utils import checkpoint as composer_checkpoint
from composer.utils import dist, reproducibility

from mixer.client.client import MixerClient
from mixer.ledger.reports import Report
from mixer.runs.runs import Runs
from training.checkpoints import files
from training.composer.language_model import LanguageModel
from training.loading.loader import MixedLoader
from training.measures.progress import Progress, Stall
from training.measures.shares import Shares
from training.measures.steps_log import StepLine, StepsLog, digest_origin
from training.measures.stream_losses import ReportWriter, StreamLosses
from training.phases.job import Job
from training.phases.phase import Phase, Recipe
from training.phases.run_binding import refuse_ids


class Restore(Callback):  # type: ignore[misc]
    """Before the first batch of a resumed training: the checkpoint's random state, and this horizon's learning rate.

    The optimizer of a checkpoint holds the rate of the step after it by the horizon of then, which `--extend` moves.
    """

    def __init__(self, phase: Phase, num_steps: int) -> None:
        self.trainer: Trainer | None = None
        self._phase, self._num_steps = phase, num_steps

    def fit_start(self, state: State, logger: Logger) -> None:
        rate = self._phase.schedule.multiplier(int(state.timestamp.batch), self._num_steps)
        for scheduler in state.schedulers:
            for group, base in zip(scheduler.optimizer.param_groups, scheduler.base_lrs, strict=True):
                group["lr"] = base * rate

    def before_dataloader(self, state: State, logger: Logger) -> None:
        if self.trainer is not None and self.trainer._rng_state is not None:
            reproducibility.load_rng_state(self.trainer._rng_state)
            self.trainer._rng_state = None


class Save(Callback):  # type: ignore[misc]
    """Saves a checkpoint every so many steps, at the last one, and where the run ends."""

    def __init__(self, folder: Path, job: Job) -> None:
        self._folder, self._job, self._saved = folder, job, -1
        self._every_steps = job.recipe.checkpoints.every_steps

    def batch_checkpoint(self, state: State, logger: Logger) -> None:
        if int(state.timestamp.batch) % self._every_steps == 0 or is_last(state):
            self.save(state)

    def save(self, state: State) -> None:
        step = int(state.timestamp.batch)
        if step == self._saved:
            return
        self._saved = step
        target, recipe = files.path_of(self._folder, step), self._job.recipe
        aside = target.with_name(f".{target.name}")
        composer_checkpoint.save_checkpoint(state, str(aside))
        if dist.get_global_rank() == 0:
            shape = msgspec.to_builtins(recipe.model)
            files.publish(aside, target, run=self._job.run, step=step, model=shape, keep=recipe.checkpoints.keep)
        dist.barrier()


class ReportLosses(Callback):  # type: ignore[misc]
    """Measures the loss of each stream; rank 0 reports it every so many steps, before each checkpoint and at the end."""

    def __init__(self, job: Job, model: LanguageModel, loader: MixedLoader) -> None:
        self._job, self._model, self._loader, self._start = job, model, loader, 0
        self._losses = StreamLosses(dist.all_reduce)
        self._writer = ReportWriter(report_to(job), lambda text: print(f"{job.phase}: {text}", flush=True))

    def fit_start(self, state: State, logger: Logger) -> None:
        self._start = self._loader.step

    def after_loss(self, state: State, logger: Logger) -> None:
        self._losses.add(state.batch["stream"], self._model.row_losses)

    def batch_end(self, state: State, logger: Logger) -> None:
        if is_reported(state, self._job.recipe):
            self._report(logger)

    def batch_checkpoint(self, state: State, logger: Logger) -> None:
        if int(state.timestamp.batch) % self._job.recipe.checkpoints.every_steps == 0 or is_last(state):
            self._writer.wait()

    def epoch_end(self, state: State, logger: Logger) -> None:
        self._report(logger)
        self._writer.wait()

    def fit_end(self, state: State, logger: Logger) -> None:
        self._report(logger)

    def _report(self, logger: Logger) -> None:
        step = self._loader.step
        if step == self._start:
            return
        samples, losses = self._losses.take()
        if dist.get_global_rank() == 0:
            streams = self._loader.names(len(losses))
            self._writer.write(self._start, step, streams, samples, losses)
            by_stream = zip(streams, losses, strict=False)
            logger.log_metrics({f"loss/{stream}": loss for stream, loss in by_stream if loss is not None})
        self._start = step

    def close(self, state: State, logger: Logger) -> None:
        self._writer.close()


class Watch(Callback):  # type: ignore[misc]
    """Writes each step's line, counts shares, prints progress, and stops where the run ends."""

    def __init__(self, job: Job, loader: MixedLoader, shares: Shares, save: Save) -> None:
        self._job, self.loader, self._save, self.shares = job, loader, save, shares
        self._folder = Path(job.save_folder)
        self._log: StepsLog | None = None
        self._progress: Progress | None = None
        self._stall = Stall(self.say)
        self._origin: list[bytes] = []
        self._streams: npt.NDArray[Any] = np.zeros(0, np.int32)
        self._learning_rate, self._batch = 0.0, 0

    def state_dict(self) -> dict[str, Any]:
        return self.shares.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.shares.load_state_dict(state)

    def fit_start(self, state: State, logger: Logger) -> None:
        step = int(state.timestamp.batch)
        if dist.get_global_rank() == 0:
            self._log = StepsLog(self._folder / "steps.jsonl", start_step=step)
            self.shares.cut(step)
        batch = self._job.recipe.batch
        self._progress = Progress(
            num_steps=self._job.num_steps,
            start_step=step,
            tokens_per_step=batch.global_batch * batch.seq_len,
            now=time.monotonic(),
        )

    def before_dataloader(self, state: State, logger: Logger) -> None:
        self._stall.begin()

    def after_dataloader(self, state: State, logger: Logger) -> None:
        self._stall.end()

    def batch_start(self, state: State, logger: Logger) -> None:
        if self._job.tokenizer is None:  # then nothing but the batch itself says which ids there are
            highest = int(state.batch["input_ids"].numpy().max())
            refuse_ids(self._job.run, f"batch {self.loader.step - 1}", highest, self._job.recipe.model.vocab_size)
        mine = (state.batch.pop("origin").numpy().tobytes(), state.batch["stream"].numpy().tobytes())
        ranks = dist.all_gather_object(mine) if dist.get_world_size() > 1 else [mine]
        self._batch = self.loader.step - 1
        self._origin = [origin for origin, _ in ranks]
        self._streams = np.frombuffer(b"".join(streams for _, streams in ranks), np.int32)
        self._learning_rate = float(state.optimizers[0].param_groups[0]["lr"])

    def batch_end(self, state: State, logger: Logger) -> None:
        step = int(state.timestamp.batch)
        loss = float(state.total_loss_dict["loss/train/total"])
        self.shares.count(self._streams)
        if self._log is not None:
            origin = digest_origin(self._origin)
            rate = self._learning_rate
            self._log.append(StepLine(step=step - 1, batch=self._batch, loss=loss, learning_rate=rate, origin=origin))
        assert self._progress is not None
        line = self._progress.line(step, loss, time.monotonic())
        if line is not None:
            self.say(line)
        if dist.get_global_rank() == 0:
            logger.log_metrics({"learning_rate": self._learning_rate})
            if step % self._job.recipe.checkpoints.every_steps == 0:
                self.shares.write(step)
            if logger.destinations and is_reported(state, self._job.recipe):
                for row in self.shares.table(step):
                    targets = {f"shares/target/{row.stream}": row.target_share}
                    logger.log_metrics({**targets, f"shares/realised/{row.stream}": row.realised_share})

    def epoch_end(self, state: State, logger: Logger) -> None:
        if self.loader.ended is not None:
            self.loader.begin_epoch()
            self._save.save(state)
            state.stop_training()
            self._stall.end()
            self.say(str(self.loader.ended))

    def say(self, text: str) -> None:
        if dist.get_global_rank() == 0:
            print(f"{self._job.phase}: {text}", flush=True)

    def close(self, state: State, logger: Logger) -> None:
        self._stall.close()
        if self._log is not None:
            self._log.close()


def is_last(state: State) -> bool:
    """Whether the step that ended is the last one: the horizon's, or the one behind which a training was interrupted."""
    assert state.max_duration is not None
    return bool(state.timestamp >= state.max_duration)


def is_reported(state: State, recipe: Recipe) -> bool:
    """Whether the step that ended is one behind which each stream's losses and shares are told."""
    every_steps = (recipe.reports.every_steps, recipe.checkpoints.every_steps)
    return any(int(state.timestamp.batch) % steps == 0 for steps in every_steps) or is_last(state)


def report_to(job: Job) -> Callable[[Report], None]:
    """Where reports go: to the mixer's service where there is one, else to the root."""
    if job.service is not None:
        return partial(MixerClient(job.service).report, job.run)
    return partial(Runs(job.root).report, job.run)
