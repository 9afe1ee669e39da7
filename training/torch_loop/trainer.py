"""Trains a phase in a plain PyTorch loop.

Always holds:
- step s is taken at the schedule's rate for s, with the s-th global batch that the run hands out, before and after a crash;
- what it computes is what the Composer trainer computes of the same recipe: the same first weights, batches, microbatches,
  losses, clipping and rates. On one CPU process the losses are equal to the bit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

import torch

from training.checkpoints import files
from training.checkpoints.saver import Saver
from training.checkpoints.weights import check_weights
from training.measures.divergence import check_weights_are_finite
from training.measures.result import Result, finish, take_over_logs
from training.measures.watch import StepWatch, open_loader
from training.model.llama import logits_of, make_llama, mean_losses, to_model_dtype, token_losses
from training.phases.job import Job
from training.processes import ranks
from training.processes.interrupts import Interrupt
from training.processes.sharding import clip_gradients, gradient_excess
from training.torch_loop import state, world

Batch = dict[str, torch.Tensor]


class LanguageModel(torch.nn.Module):
    """Token ids, (rows, seq_len), to logits; its parameters have the names that Composer's checkpoints give them."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def layers(self) -> list[torch.nn.Module]:
        """The model's layers, first to last."""
        return list(self.get_submodule("model.model.layers").children())

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return logits_of(self.model, ids)


def train(job: Job) -> Result | None:
    """Trains a phase to its horizon or the run's end, evaluates it and writes `result.json`. Returns None on ranks above 0.

    Raises: as the Composer trainer's `train`.
    """
    folder = Path(job.save_folder)
    with ranks.plain_losses(), files.plain_refusals(folder), Saver(job) as saver:
        return Training(job, saver, began=time.monotonic()).run()


class Training:
    """One training of one process."""

    def __init__(self, job: Job, saver: Saver, *, began: float) -> None:
        recipe = job.recipe
        self._job, self._saver, self._began = job, saver, began
        self._schedule, self._step, self._saved = recipe.phase(job.phase).schedule, 0, -1
        self._device = world.join_world(job)
        saver.lock()
        if ranks.rank() == 0:
            take_over_logs(Path(job.save_folder), job)
        saver.begin()
        self._loader = open_loader(job)
        rows = self._loader.dataset.global_batch // ranks.world_size()
        self._microbatch = min(recipe.batch.microbatch, rows)
        ranks.say("building the model")
        model = LanguageModel(make_llama(recipe))
        checkpoint = job.resume or job.weights
        found = check_weights(Path(checkpoint), model, resumed_by="torch" if job.resume else None) if checkpoint else None
        self._model = world.spread(model, model.layers(), self._device, recipe.numerics)
        self._gradient_excess = gradient_excess(self._device) if world.is_sharded(self._model) else 1.0
        self._optimizer = torch.optim.AdamW(
            self._model.parameters(), lr=self._schedule.peak_learning_rate, **recipe.optimizer.arguments()
        )
        self._watch = StepWatch(job, self._loader)
        torch.manual_seed(recipe.batch.seed + ranks.rank())
        if found is not None and checkpoint is not None:
            state.check_format(found, checkpoint)
        if found is not None and job.resume is None:
            state.load_weights(self._model, found)
        elif found is not None:
            state.load(self._model, self._optimizer, found, seed=recipe.batch.seed)
            for group in self._optimizer.param_groups:
                group.update(recipe.optimizer.arguments())
            self._loader.load_state_dict(found["state"]["dataset_state"]["train"])
            self._watch.shares.load_state_dict(found["shares"])
            self._step = self._saved = found["step"]

    def run(self) -> Result | None:
        """Takes the steps, evaluates the model and writes the result. Raises: KeyboardInterrupt behind a saved step."""
        with closing(self._watch):
            if self._watch.is_left_to_train():
                interrupt = Interrupt(ranks.say)
                interrupt.begin()
                try:
                    self._fit(interrupt)
                finally:
                    interrupt.end()
            model, steps = self._model, self._step
            with self._saver.completed():
                return finish(self._job, self._watch, self._loader, model, self._logits, steps=steps, began=self._began)

    def _fit(self, interrupt: Interrupt) -> None:
        job = self._job
        self._watch.begin(self._step, self._device)
        self._model.train()
        if self._watch.evaluate_in_between(self._step, self._model, self._logits, interrupt.came):
            raise KeyboardInterrupt
        batches = iter(self._loader)
        while self._step < job.num_steps:
            self._watch.wait()
            batch = next(batches, None)
            self._watch.go_on()
            if batch is None:
                self._watch.report()
                self._save()
                self._watch.say(str(self._loader.ended))
                break
            loss = self._take_step(batch)
            self._step += 1
            is_stopped = interrupt.came()
            is_last = is_stopped or self._step == job.num_steps
            self._watch.end_step(self._step, loss, is_last=is_last)
            if is_last or self._step % job.recipe.checkpoints.every_steps == 0:
                self._save()
            if not is_stopped and self._watch.evaluate_in_between(self._step, self._model, self._logits, interrupt.came):
                is_stopped = True
                self._watch.report()
                self._save()
            if is_stopped:
                self._saver.finish()
                raise KeyboardInterrupt

    def _take_step(self, batch: Batch) -> float:
        """Trains on a batch. Returns its mean loss over all ranks."""
        rate = self._schedule.peak_learning_rate * self._schedule.multiplier(self._step, self._job.num_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._watch.begin_step(batch, rate)
        batch = {name: tensor.to(self._device, non_blocking=True) for name, tensor in batch.items()}
        num_rows, total = len(batch["input_ids"]), torch.zeros(1, device=self._device)
        self._optimizer.zero_grad()
        for microbatch, is_last in microbatches(batch, self._microbatch):
            with self._synchronised(is_last):
                logits = self._logits(microbatch["input_ids"])
                losses = token_losses(logits, microbatch["input_ids"])
                loss, row_losses = mean_losses(losses, microbatch.get("ignored"))
                self._watch.take_losses(microbatch["stream"], row_losses)
                part = loss * (len(losses) / num_rows)
                (part / self._gradient_excess).backward()  # type: ignore[no-untyped-call]
            total += part.detach()
        self._watch.check_gradients(clip_gradients(self._model, self._job.recipe.optimizer.clip_norm))
        self._optimizer.step()
        ranks.all_reduce(total, "SUM")
        return float(total) / ranks.world_size()

    def _logits(self, ids: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._job.recipe.numerics.precision == "amp_bf16"):
            logits: torch.Tensor = self._model(ids)
        return logits

    def _synchronised(self, is_last: bool) -> AbstractContextManager[None]:
        """Where each rank has the whole model, gradients go to the others with a step's last microbatch; else with each."""
        if isinstance(self._model, torch.nn.parallel.DistributedDataParallel) and not is_last:
            return self._model.no_sync()
        return nullcontext()

    def _save(self) -> None:
        """Saves a checkpoint after the steps so far, unless there is one."""
        if self._step == self._saved:
            return
        self._saved = self._step
        check_weights_are_finite(self._model, self._step)
        self._watch.wait_for_reports()
        self._saver.save(self._step, self._state)

    def _state(self) -> dict[str, Any]:
        position, shares = self._loader.state_dict(), self._watch.shares.state_dict()
        return state.collect(self._model, self._optimizer, step=self._step, position=position, shares=shares)


def microbatches(batch: Batch, size: int) -> Iterator[tuple[Batch, bool]]:
    """Parts of at most so many rows, ids as the model takes them, and whether it is the last one."""
    num_rows = len(batch["input_ids"])
    for start in range(0, num_rows, size):
        part = {name: tensor[start : start + size] for name, tensor in batch.items()}
        yield to_model_dtype(part), start + size >= num_rows
