"""What a training came to: the held-out figures of its model and `result.json`.

Always holds: what a result says of a model was measured on that very model.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from streamer.errors import PhasemixError
from training.evaluation.heldout import Totals, measure, merge
from training.loading.loader import MixedLoader
from training.measures.shares import StreamShare
from training.measures.steps_log import read_steps
from training.measures.watch import StepWatch
from training.model.llama import token_losses
from training.phases.job import Job
from training.processes import ranks

LogitsOf = Callable[[torch.Tensor], torch.Tensor]  # of int64 ids (rows, seq_len) on the training's device


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a training came to; `result.json`.

    `ended`: why the run stopped before the horizon, if it did; `not_evaluated`: why there are no held-out figures, if the
    held-out streams could not be evaluated; `final_loss` in nats a token, of the last step that the model was trained for.
    """

    phase: str
    run: str
    mixture: str
    steps: int
    tokens: int
    parameters: int
    final_loss: float | None
    heldout_bits_per_byte: float | None
    heldout: dict[str, dict[str, float | int | None]]
    streams: list[StreamShare]
    ended: str | None
    not_evaluated: str | None
    wall_s: float


def take_over_logs(folder: Path, job: Job) -> None:
    """A fork that begins with a checkpoint of its parent begins with the parent's lines too; later ones are cut off."""
    source = Path(job.resume).parent if job.resume is not None else folder
    for name in ("steps.jsonl", "shares.jsonl"):
        if source != folder and (source / name).exists():
            aside = folder / f".{name}"
            shutil.copyfile(source / name, aside)
            aside.replace(folder / name)


def evaluate(job: Job, logits_of: LogitsOf, device: torch.device) -> tuple[dict[str, Totals], str | None]:
    """Held-out sums by stream, over all ranks; or none, and why. A model is not lost to streams that cannot be read."""

    def score(rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        ids = torch.from_numpy(rows).to(device).to(torch.int64)
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "amp_bf16"):
            losses = token_losses(logits_of(ids), ids)
        return losses.double().cpu().numpy()

    precision, rank, world_size = job.recipe.numerics.precision, ranks.rank(), ranks.world_size()
    mine: dict[str, Totals] | str
    try:
        mine = measure(job.root, job.recipe.heldout, score, tokenizer=job.tokenizer, rank=rank, world_size=world_size)
    except PhasemixError as error:
        mine = str(error)
    found: list[dict[str, Totals] | str] = ranks.gather(mine)
    faults = [one for one in found if isinstance(one, str)]
    return ({}, faults[0]) if faults else (merge([one for one in found if not isinstance(one, str)]), None)


def finish(
    job: Job,
    watch: StepWatch,
    loader: MixedLoader,
    model: torch.nn.Module,
    logits_of: LogitsOf,
    *,
    steps: int,
    device: torch.device,
    began: float,
) -> Result | None:
    """Evaluates the model that was trained for `steps` steps and writes `result.json`. Returns None on ranks above 0.

    Args: began, in monotonic seconds.
    """
    heldout, not_evaluated = evaluate(job, logits_of, device)
    if not_evaluated is not None:
        watch.say(f"the held-out streams were not evaluated: {not_evaluated}")
    if ranks.rank():
        return None
    folder, streams = Path(job.save_folder), watch.shares.table(steps)
    losses = {line.step: line.loss for line in read_steps(folder / "steps.jsonl")}
    result = Result(
        phase=job.phase,
        run=job.run,
        mixture=job.mixture,
        steps=steps,
        tokens=sum(row.trained_samples for row in streams) * job.recipe.batch.seq_len,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        final_loss=losses.get(steps - 1),  # a kill may have left lines of steps that the checkpoint does not have
        heldout_bits_per_byte=heldout["all"].bits_per_byte if heldout else None,
        heldout={
            name: {"bits_per_byte": totals.bits_per_byte, "text_bytes": totals.text_bytes, "tokens": totals.tokens}
            for name, totals in heldout.items()
        },
        streams=streams,
        ended=str(loader.ended) if loader.ended is not None else None,
        not_evaluated=not_evaluated,
        wall_s=round(time.monotonic() - began, 1),
    )
    aside = folder / ".result.json"
    aside.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1))
    aside.replace(folder / "result.json")
    return result
