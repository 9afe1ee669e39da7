"""What is written and told of each step of a training, whichever trainer takes the steps.

Always holds:
- what is reported of a step is written before its checkpoint appears, and a resumed training writes each line once;
- of a step whose loss is no number nothing is written but where its rows came from, and the training stops.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mixer.client.client import MixerClient
from mixer.ledger.reports import Report
from mixer.runs.runs import Runs
from training.loading.loader import MixedLoader
from training.measures.divergence import stop_at
from training.measures.progress import Progress, Stall
from training.measures.shares import Shares
from training.measures.steps_log import StepLine, StepsLog, digest_origin
from training.measures.stream_losses import ReportWriter, StreamLosses
from training.phases.job import Job
from training.phases.run_binding import refuse_ids
from training.processes import ranks

LogMetrics = Callable[[Mapping[str, float]], None]


class StepWatch:
    """Measures a training. Every rank has one and calls the same methods; the first rank writes.

    Of each step: `wait`, `go_on` with the batch, `take_losses` of each microbatch, `end_step`, and before a checkpoint
    `wait_for_reports`. `log_metrics` takes what belongs to the step that has just ended; None leaves it out.
    """

    def __init__(self, job: Job, loader: MixedLoader) -> None:
        self._job, self._loader, self._folder = job, loader, Path(job.save_folder)
        self.shares = Shares(job.root, job.run, self._folder / "shares.jsonl")
        self._log: StepsLog | None = None
        self._progress: Progress | None = None
        self._stall = Stall(self.say)
        self._losses, self._writer = StreamLosses(ranks.all_reduce), ReportWriter(report_to(job), self.say)
        self._rows: list[torch.Tensor] = []
        self._origin: list[bytes] = []
        self._streams: npt.NDArray[Any] = np.zeros(0, np.int32)
        self._learning_rate, self._batch, self._reported = 0.0, 0, 0

    def is_left_to_train(self) -> bool:
        """Whether steps are left, with a line that says so."""
        resumed, num_steps = self._job.resume_step, self._job.num_steps
        if resumed < num_steps:
            ranks.say(f"training from step {resumed:,} to step {num_steps:,}")
            return True
        self.say(f"run {self._job.run} is trained to step {resumed} already, the horizon is {num_steps}: evaluating it")
        return False

    def begin(self, step: int) -> None:
        """The training begins after `step` steps: later lines, of a training that was killed, are cut off."""
        self._reported = self._loader.step
        if ranks.rank() == 0:
            self._log = StepsLog(self._folder / "steps.jsonl", start_step=step)
            self.shares.cut(step)
        batch = self._job.recipe.batch
        self._progress = Progress(
            num_steps=self._job.num_steps,
            start_step=step,
            tokens_per_step=batch.global_batch * batch.seq_len,
            now=time.monotonic(),
        )

    def wait(self) -> None:
        """The trainer asks for its next batch."""
        self._stall.begin()

    def go_on(self) -> None:
        """The trainer waits no longer."""
        self._stall.end()

    def begin_step(self, batch: dict[str, torch.Tensor], learning_rate: float) -> None:
        """Takes `origin` out of this rank's batch. Raises: RecipeError for ids that the model does not have."""
        if self._job.tokenizer is None:  # then nothing but the batch itself says which ids there are
            highest = int(batch["input_ids"].cpu().numpy().max())
            refuse_ids(self._job.run, f"batch {self._loader.step - 1}", highest, self._job.recipe.model.vocab_size)
        found = ranks.gather((batch.pop("origin").cpu().numpy().tobytes(), batch["stream"].cpu().numpy().tobytes()))
        self._batch = self._loader.step - 1
        self._origin = [origin for origin, _ in found]
        self._streams = np.frombuffer(b"".join(streams for _, streams in found), np.int32)
        self._learning_rate, self._rows = learning_rate, []

    def take_losses(self, streams: torch.Tensor, rows: torch.Tensor) -> None:
        """Takes in a microbatch: stream indices (rows,), mean nats of a predicted token (rows,)."""
        self._losses.add(streams, rows)
        self._rows.append(rows.detach())

    def end_step(self, step: int, loss: float, *, is_last: bool, log_metrics: LogMetrics | None) -> None:
        """After `step` steps, of which the last had that mean loss over all ranks. Raises: DivergenceError."""
        if not math.isfinite(loss):
            stop_at(self._job, self._folder, step=step - 1, batch=self._batch, loss=loss, rows=self._rows)
        every_steps = (self._job.recipe.reports.every_steps, self._job.recipe.checkpoints.every_steps)
        is_reported = is_last or any(step % steps == 0 for steps in every_steps)
        if is_reported:
            self.report(log_metrics)
        self.shares.count(self._streams)
        if self._log is not None:
            origin, rate = digest_origin(self._origin), self._learning_rate
            self._log.append(StepLine(step=step - 1, batch=self._batch, loss=loss, learning_rate=rate, origin=origin))
        assert self._progress is not None
        line = self._progress.line(step, loss, time.monotonic())
        if line is not None:
            self.say(line)
        if ranks.rank() == 0 and step % self._job.recipe.checkpoints.every_steps == 0:
            self.shares.write(step)
        if ranks.rank() == 0 and log_metrics is not None:
            log_metrics({"learning_rate": self._learning_rate})
            if is_reported:
                for row in self.shares.table(step):
                    targets = {f"shares/target/{row.stream}": row.target_share}
                    log_metrics({**targets, f"shares/realised/{row.stream}": row.realised_share})

    def report(self, log_metrics: LogMetrics | None = None) -> None:
        """Reports the losses of each stream since the last report; every rank must ask."""
        step = self._loader.step
        if step == self._reported:
            return
        samples, losses = self._losses.take()
        if ranks.rank() == 0:
            streams = self._loader.names(len(losses))
            self._writer.write(self._reported, step, streams, samples, losses)
            if log_metrics is not None:
                by_stream = zip(streams, losses, strict=False)
                log_metrics({f"loss/{stream}": loss for stream, loss in by_stream if loss is not None})
        self._reported = step

    def wait_for_reports(self) -> None:
        """Returns once all reports are written, so that a checkpoint never lies before them."""
        self._writer.wait()

    def say(self, text: str) -> None:
        """A line of the training's own output, by the first rank."""
        if ranks.rank() == 0:
            print(f"{self._job.phase}: {text}", flush=True)

    def close(self) -> None:
        """Returns once everything is written."""
        self._stall.close()
        self._writer.close()
        if self._log is not None:
            self._log.close()


def open_loader(job: Job) -> MixedLoader:
    """This rank's batches, as a trainer takes them: ids in the stream's own dtype, and where each row came from."""
    ranks.say(f"opening run {job.run}")
    return MixedLoader(
        job.root,
        job.run,
        num_workers=job.recipe.batch.loader_workers,
        wait_s=job.wait_s,
        dtype=None,
        labels=False,
        with_origin=True,
        service=job.service,
        fill_in_the_middle=job.fill_in,
        learn_document_starts=job.recipe.objective.learn_document_starts,
    )


def report_to(job: Job) -> Callable[[Report], None]:
    """Where reports go: to the mixer's service where there is one, else to the root."""
    if job.service is not None:
        return partial(MixerClient(job.service).report, job.run)
    return partial(Runs(job.root).report, job.run)
