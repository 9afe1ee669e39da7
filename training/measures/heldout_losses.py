"""Held-out figures of a model in training, and `heldout.jsonl`, which has them by step.

Always holds:
- a training goes on as it would have without. Nothing random is drawn, and all ranks call the model equally often, also
  where they divide it;
- all ranks and all steps of a training that was not resumed in between are measured on the same samples.

How: the first rank reads the samples once and tells the others, and they are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from streamer.errors import PhasemixError
from training.evaluation.heldout import Samples, Totals, load, measure, merge
from training.measures.steps_log import cut_lines
from training.model.llama import token_losses
from training.phases.job import Job
from training.processes import ranks
from training.processes.sharding import reshard

NAME = "heldout.jsonl"

LogitsOf = Callable[[torch.Tensor], torch.Tensor]  # of int64 ids (rows, seq_len) on the training's device


class Stopped(Exception):
    """An evaluation ended before it had its figures, as it was asked to."""


class HeldoutLosses:
    """Of one training. Every rank has one and calls the same methods."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._samples: Samples | None = None

    def choose(self) -> str | None:
        """Reads the samples, unless that was done. Returns why they cannot be read, if so; no training is lost to that."""
        fault = None
        if self._samples is None:
            self._samples, fault = ranks.of_first(self._load)
        return fault

    def _load(self) -> tuple[Samples | None, str | None]:
        recipe = self._job.recipe
        rows = min(recipe.heldout.batch_samples, recipe.batch.microbatch)
        settings = msgspec.structs.replace(recipe.heldout, batch_samples=rows)
        try:
            return load(self._job.root, settings, tokenizer=self._job.tokenizer), None
        except PhasemixError as error:
            return None, str(error)

    def evaluate(
        self, model: torch.nn.Module, logits_of: LogitsOf, *, is_stopped: Callable[[], bool] = lambda: False
    ) -> tuple[dict[str, Totals], str | None]:
        """Held-out sums by stream, over all ranks; or none, and why.

        Args: model, in training or not, which stays so; logits_of, what it says of ids, by whatever way it is called;
        is_stopped, asked before each batch, says the same on all ranks.
        Raises: Stopped.
        """
        fault = self.choose()
        if self._samples is None:
            return {}, fault
        device, was_training = next(model.parameters()).device, model.training
        is_mixed, world_size = self._job.recipe.numerics.precision == "amp_bf16", ranks.world_size()

        def score(rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
            if is_stopped():
                raise Stopped
            ids = torch.from_numpy(rows).to(device).to(torch.int64)
            with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=is_mixed):
                losses = token_losses(logits_of(ids), ids)
            return losses.double().cpu().numpy()

        model.eval()
        try:
            calls = -(-len(self._samples.batches) // world_size)
            mine = measure(self._samples.part(ranks.rank(), world_size), score, calls=calls)
        finally:
            model.train(was_training)
            reshard(model)
        return merge(ranks.gather(mine)), None


def is_written(folder: Path, step: int) -> bool:
    """Whether the file has the line of the model after `step` steps."""
    path = folder / NAME
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return any(msgspec.json.decode(line)["step"] == step for line in lines)


def write(folder: Path, step: int, found: Mapping[str, Totals]) -> None:
    """Appends the line of the model after `step` steps; what the file has of this and later steps goes."""
    cut_lines(folder / NAME, step - 1)
    with (folder / NAME).open("ab") as file:
        file.write(msgspec.json.encode({"step": step, "streams": figures(found)}) + b"\n")


def figures(found: Mapping[str, Totals]) -> dict[str, dict[str, float | int | None]]:
    """What is written of each stream, and of all of them under `all`."""
    return {
        name: {
            "bits_per_byte": totals.bits_per_byte,
            "loss": totals.loss,
            "text_bytes": totals.text_bytes,
            "tokens": totals.tokens,
        }
        for name, totals in found.items()
    }
