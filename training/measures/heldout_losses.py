"""Held-out figures of a model in training, and `heldout.jsonl`, which has them by step.

Always holds: a training goes on as it would have without. Nothing random is drawn, and all ranks call the model equally
often, also where they divide it.
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
from training.evaluation.heldout import Totals, load, measure, merge
from training.measures.steps_log import cut_lines
from training.model.llama import token_losses
from training.phases.job import Job
from training.processes import ranks
from training.processes.sharding import reshard

NAME = "heldout.jsonl"

LogitsOf = Callable[[torch.Tensor], torch.Tensor]  # of int64 ids (rows, seq_len) on the training's device


def evaluate(job: Job, model: torch.nn.Module, logits_of: LogitsOf) -> tuple[dict[str, Totals], str | None]:
    """Held-out sums by stream, over all ranks; or none, and why. A model is not lost to streams that cannot be read.

    Args: model, in training or not, which stays so; logits_of, what it says of ids, by whatever way it is called.
    """
    recipe, device, was_training = job.recipe, next(model.parameters()).device, model.training
    rows = min(recipe.heldout.batch_samples, recipe.batch.microbatch)
    settings = msgspec.structs.replace(recipe.heldout, batch_samples=rows)
    mine, fault = None, None
    try:
        mine = load(job.root, settings, tokenizer=job.tokenizer, rank=ranks.rank(), world_size=ranks.world_size())
    except PhasemixError as error:
        fault = str(error)
    found = ranks.gather((None if mine is None else len(mine.batches), fault))
    if mine is None or any(batches is None for batches, _ in found):
        return {}, next((fault for _, fault in found if fault is not None), None)

    def score(rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        ids = torch.from_numpy(rows).to(device).to(torch.int64)
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=recipe.numerics.precision == "amp_bf16"):
            losses = token_losses(logits_of(ids), ids)
        return losses.double().cpu().numpy()

    model.eval()
    totals = ranks.gather(measure(mine, score, calls=max(batches for batches, _ in found)))
    model.train(was_training)
    reshard(model)
    return merge(totals), None


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
