"""What is written and told of each step of a training, whichever trainer takes the steps.

Always holds:
- what is reported of a step is written before its checkpoint appears, and a resumed training writes each line once. Held-out
  figures follow the checkpoint, and a resumed training measures those that are missing of its own;
- of a step whose loss is no number nothing is written but where its rows came from, and the training stops.
"""

from __future__ import annotations

import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mixer.client.client import MixerClient
from mixer.ledger.reports import Report
from mixer.runs.runs import Runs
from streamer.documents.languages import LANGUAGES
from training.evaluation.heldout import Totals
from training.loading.loader import MixedLoader
from training.measures import heldout_losses
from training.measures.curves import Curves, add_to_all, close_all, open_curves
from training.measures.divergence import stop_at
from training.measures.heldout_losses import HeldoutLosses, LogitsOf
from training.measures.progress import Progress, Stall
from training.measures.shares import Shares
from training.measures.speed import Rates, Speed, peak_flops
from training.measures.steps_log import StepLine, StepsLog, cut_lines, digest_origin
from training.measures.stream_losses import ReportWriter, StreamLosses
from training.phases.job import Job
from training.phases.run_binding import refuse_ids
from training.processes import ranks


class StepWatch:
    """Measures a training. Every rank has one and calls the same methods; the first rank writes.

    Of each step: `wait`, `go_on` with the batch, `begin_step`, `take_losses` of each microbatch, `check_gradients`,
    `end_step`, before a checkpoint `wait_for_reports`, and behind it `evaluate_in_between`.
    """

    def __init__(self, job: Job, loader: MixedLoader) -> None:
        self._job, self._loader, self._folder = job, loader, Path(job.save_folder)
        self.shares = Shares(job.root, job.run, self._folder / "shares.jsonl")
        self._log: StepsLog | None = None
        self._progress: Progress | None = None
        self._speed: Speed | None = None
        self._curves: list[Curves] = []
        self._heldout = HeldoutLosses(job)
        self._stall = Stall(self.say)
        self._losses, self._writer = StreamLosses(ranks.all_reduce), ReportWriter(report_to(job), self.say)
        self._rows: list[torch.Tensor] = []
        self._origin: list[bytes] = []
        self._streams: npt.NDArray[Any] = np.zeros(0, np.int32)
        self._learning_rate, self._step, self._batch, self._reported = 0.0, 0, 0, 0
        self._asked_s = self._waited_s = 0.0

    def is_left_to_train(self) -> bool:
        """Whether steps are left, with a line that says so."""
        resumed, num_steps = self._job.resume_step, self._job.num_steps
        if resumed < num_steps:
            ranks.say(f"training from step {resumed:,} to step {num_steps:,}")
            return True
        self.say(f"run {self._job.run} is already trained to step {resumed} of {num_steps}; now it is evaluated")
        return False

    def begin(self, step: int, device: torch.device) -> None:
        """The training begins after `step` steps: later lines, of a training that was killed, are cut off.

        Raises: LoggerError for a tool of `[loggers]` that cannot start.
        """
        self._step, self._reported = step, self._loader.step
        if ranks.rank() == 0:
            self._log = StepsLog(self._folder / "steps.jsonl", start_step=step)
            self._say_rate(step, self._log.last)
            for name in ("shares.jsonl", heldout_losses.NAME):
                cut_lines(self._folder / name, step)
            self._curves = open_curves(self._job)
        if self._job.recipe.heldout.every_steps:
            self._heldout.choose()
        peak = peak_flops(self._job.recipe.numerics, device)
        self._speed = Speed(self._job.recipe, peak_flops=None if peak is None else peak * ranks.world_size())
        self._progress = Progress(num_steps=self._job.num_steps, start_step=step, now=time.monotonic())

    def _say_rate(self, step: int, last: StepLine | None) -> None:
        """Says so where the step before was taken at another rate than this training would have taken it at."""
        schedule, num_steps = self._job.recipe.phase(self._job.phase).schedule, self._job.num_steps
        rates = [schedule.peak_learning_rate * schedule.multiplier(one, num_steps) for one in (step - 1, step)]
        if last is not None and last.step == step - 1 and not math.isclose(last.learning_rate, rates[0], rel_tol=1e-3):
            self.say(
                f"the learning rate goes on at {rates[1]:.3g}, after {last.learning_rate:.3g} at step {step:,}: the "
                "schedule or its number of steps is another one than then"
            )

    def wait(self) -> None:
        """The trainer asks for its next batch."""
        self._asked_s = time.monotonic()
        self._stall.begin()

    def go_on(self) -> None:
        """The trainer waits no longer."""
        self._stall.end()

    def begin_step(self, batch: dict[str, torch.Tensor], learning_rate: float) -> None:
        """Takes `origin` out of this rank's batch. Raises: RecipeError for ids that the model does not have."""
        if self._job.tokenizer is None:  # then nothing but the batch itself says which ids there are
            highest = int(batch["input_ids"].cpu().numpy().max())
            refuse_ids(self._job.run, f"batch {self._loader.step - 1}", highest, self._job.recipe.model.vocab_size)
        origin, streams = (tensor.cpu().numpy().tobytes() for tensor in (batch.pop("origin"), batch["stream"]))
        found = ranks.gather((origin, streams, self._loader.waited_s))
        self._batch, self._waited_s = self._loader.step - 1, max(waited_s for _, _, waited_s in found)
        self._origin = [origin for origin, _, _ in found]
        self._streams = np.frombuffer(b"".join(streams for _, streams, _ in found), np.int32)
        self._learning_rate, self._rows = learning_rate, []

    def take_losses(self, streams: torch.Tensor, rows: torch.Tensor) -> None:
        """Takes in a microbatch: stream indices (rows,), mean nats of a predicted token (rows,)."""
        self._losses.add(streams, rows)
        self._rows.append(rows.detach())

    def check_gradients(self, norm: float) -> None:
        """Before a step changes the weights: the norm of its gradients over all ranks. Raises: DivergenceError."""
        self._check(f"the norm of the gradients of step {self._step}", norm)

    def _check(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            wrong = f"{what} is {value}"
            stop_at(self._job, self._folder, step=self._step, batch=self._batch, found_wrong=wrong, rows=self._rows)

    def end_step(self, step: int, loss: float, *, is_last: bool) -> None:
        """After `step` steps, of which the last had that mean loss over all ranks. Raises: DivergenceError."""
        self._check(f"the loss of step {self._step}", loss)
        assert self._progress is not None
        assert self._speed is not None
        self._step, now = step, time.monotonic()
        self._speed.add(now - self._asked_s, self._waited_s)
        if self._curves:
            rates = self._speed.last()
            assert rates is not None
            self._curve({"loss/train/total": loss, "learning_rate": self._learning_rate, **rates.metrics()})
        recipe = self._job.recipe
        is_saved = step % recipe.checkpoints.every_steps == 0
        is_reported = is_last or is_saved or step % recipe.reports.every_steps == 0
        self.shares.count(self._streams)
        if self._log is not None:
            origin, rate = digest_origin(self._origin), self._learning_rate
            self._log.append(StepLine(step=step - 1, batch=self._batch, loss=loss, learning_rate=rate, origin=origin))
        if self._progress.is_due(step, now):
            so_far = self._speed.so_far()
            assert so_far is not None
            self.say(self._progress.line(step, loss, so_far, now))
        if is_saved and ranks.rank() == 0:
            self.shares.write(step)
        if self._curves and is_reported:
            for row in self.shares.table(step):
                shares = {
                    f"shares/target/{row.stream}": row.target_share,
                    f"shares/realised/{row.stream}": row.realised_share,
                }
                self._curve({**shares, f"passes/{row.stream}": row.passes})
        if is_reported:  # last: the thread that writes it does so while the trainer computes
            self.report()

    def _curve(self, metrics: Mapping[str, float]) -> None:
        """Sends values to the tools of `[loggers]`; only the first rank has any."""
        add_to_all(self._curves, metrics, self._step, self.say)

    def report(self) -> None:
        """Reports the losses of each stream since the last report; every rank must ask."""
        step = self._loader.step
        if step == self._reported:
            return
        samples, losses = self._losses.take()
        if ranks.rank() == 0:
            streams = self._loader.names(len(losses))
            self._writer.write(self._reported, step, streams, samples, losses)
            if self._curves:
                self._curve(curves_of(streams, samples, losses))
        self._reported = step

    def evaluate_in_between(
        self, step: int, model: torch.nn.Module, logits_of: LogitsOf, is_stopped: Callable[[], bool]
    ) -> bool:
        """Evaluates the model after `step` steps if the recipe asks for it; behind the last step `finish` does.

        To be called behind the save of these steps, so that a signal's save waits for no evaluation, and before the first
        step of a resumed training, which may lack the figures of its checkpoint for that reason.
        Returns: whether `is_stopped`, which says the same on all ranks, ended it.
        """
        every_steps = self._job.recipe.heldout.every_steps
        is_due = every_steps and step % every_steps == 0 and 0 < step < self._job.num_steps
        if not is_due or ranks.of_first(partial(heldout_losses.is_written, self._folder, step)):
            return False
        try:
            self.evaluate(step, model, logits_of, is_stopped=is_stopped)
        except heldout_losses.Stopped:
            return True
        return False

    def evaluate(
        self, step: int, model: torch.nn.Module, logits_of: LogitsOf, *, is_stopped: Callable[[], bool] = lambda: False
    ) -> tuple[Mapping[str, Totals], str | None]:
        """Held-out sums by stream of the model after `step` steps, or none, and why. Every rank must ask.

        Raises: Stopped, where `is_stopped` ended it.
        """
        found, why_not = self._heldout.evaluate(model, logits_of, is_stopped=is_stopped)
        if why_not is not None:
            self.say(f"the held-out streams were not evaluated after step {step}: {why_not}")
        if found and self._job.recipe.heldout.every_steps and ranks.rank() == 0:
            heldout_losses.write(self._folder, step, found)
            self.say(f"step {step}/{self._job.num_steps}  held-out loss {found['all'].loss or math.nan:.4f}")
            for stream, totals in found.items():
                loss, bits = totals.loss, totals.bits_per_byte
                metrics = {f"heldout_loss/{stream}": loss, f"heldout_bits_per_byte/{stream}": bits}
                self._curve({name: value for name, value in metrics.items() if value is not None})
        return found, why_not

    def rates(self) -> Rates | None:
        """Of the steps since the training began; None without any."""
        return None if self._speed is None else self._speed.so_far()

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
        opened, self._curves = self._curves, []
        close_all(opened, sys.exc_info()[0], self.say)


def curves_of(streams: Sequence[str], samples: list[int], losses: list[float | None]) -> dict[str, float]:
    """The loss of each stream and of each language, which the second word of a stream's name says."""
    found, rows, sums = dict[str, float](), defaultdict[str, int](int), defaultdict[str, float](float)
    for stream, count, loss in zip(streams, samples, losses, strict=False):
        if loss is not None:
            found[f"loss/{stream}"] = loss
            language = stream.split("/")[1]
            if language in LANGUAGES:
                rows[language] += count
                sums[language] += count * loss
    return found | {f"language_loss/{language}": sums[language] / rows[language] for language in rows}


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
