"""What a training came to: the held-out figures of its model and `result.json`.

Always holds: what a result says of a model was measured on that very model.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import msgspec
import torch

from training.checkpoints.place import LOGS
from training.loading.loader import MixedLoader
from training.measures import heldout_losses
from training.measures.heldout_losses import LogitsOf
from training.measures.shares import StreamShare
from training.measures.steps_log import read_steps
from training.measures.watch import StepWatch
from training.phases.job import Job
from training.processes import ranks


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a training came to; `result.json`.

    `ended`: why the run stopped before the horizon, if it did; `not_evaluated`: why there are no held-out figures, if the
    held-out streams could not be evaluated; `final_loss` in nats a token, of the last step that the model was trained for.
    `tokens_per_s`, `wait_share` (the part of a step in which the slowest rank waited for its batch), `mfu` (model FLOPs
    utilisation) and `wall_s` are of the steps since the training was started or resumed last.
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
    tokens_per_s: float | None
    wait_share: float | None
    mfu: float | None


def take_over_logs(folder: Path, job: Job) -> None:
    """A fork that begins with a checkpoint of its parent begins with the parent's lines too; later ones are cut off."""
    source = Path(job.resume).parent if job.resume is not None else folder
    for name in LOGS:
        if source != folder and (source / name).exists():
            aside = folder / f".{name}"
            shutil.copyfile(source / name, aside)
            aside.replace(folder / name)


def finish(
    job: Job,
    watch: StepWatch,
    loader: MixedLoader,
    model: torch.nn.Module,
    logits_of: LogitsOf,
    *,
    steps: int,
    began: float,
) -> Result | None:
    """Evaluates the model that was trained for `steps` steps and writes `result.json`. Returns None on ranks above 0.

    Args: began, in monotonic seconds.
    """
    heldout, not_evaluated = watch.evaluate(steps, model, logits_of)
    if ranks.rank():
        return None
    folder, streams, rates = Path(job.save_folder), watch.shares.table(steps), watch.rates()
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
        heldout=heldout_losses.figures(heldout),
        streams=streams,
        ended=str(loader.ended) if loader.ended is not None else None,
        not_evaluated=not_evaluated,
        wall_s=round(time.monotonic() - began, 1),
        tokens_per_s=None if rates is None else rates.tokens_per_s,
        wait_share=None if rates is None else rates.wait_share,
        mfu=None if rates is None else rates.mfu,
    )
    aside = folder / ".result.json"
    aside.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1))
    aside.replace(folder / "result.json")
    return result
