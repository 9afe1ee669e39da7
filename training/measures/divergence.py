"""Stops a training that no longer computes numbers, and keeps what a person needs to find out why.

Always holds: no checkpoint has weights that are not numbers. The trace is on the disk before any rank stops.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import msgspec
import torch

from mixer import Trace
from streamer.errors import PhasemixError
from training.errors import DivergenceError
from training.phases.job import Job
from training.processes import ranks

FORMAT = "divergence/1"
REMEDY = "lower the learning rate and resume from the last checkpoint, or leave batches out with `phasemix runs fork`"


def stop_at(job: Job, folder: Path, *, step: int, batch: int, found_wrong: str, rows: list[torch.Tensor]) -> None:
    """Writes `diverged-step-NNNNNNNN.json`: run, step, batch, and each row with its documents and its mean loss.

    Args: step, from 0; batch, its number in the run; found_wrong, what of the step is no number, unless a row's loss is
    none; rows, this rank's row losses by microbatch. Every rank must call this.
    Raises: DivergenceError, always.
    """
    losses = [loss for part in ranks.gather([row for part in rows for row in part.tolist()]) for loss in part]
    wrong = next((f"the loss of step {step} is {loss}" for loss in losses if not math.isfinite(loss)), found_wrong)
    path = folder / f"diverged-step-{step:08d}.json"
    if ranks.rank() == 0:
        found: dict[str, Any] = {"format": FORMAT, "run": job.run, "step": step, "batch": batch}
        try:
            traced = Trace(job.root, job.run).batch(batch)
            found["rows"] = [
                {"loss": loss if math.isfinite(loss) else str(loss), **msgspec.to_builtins(row)}
                for loss, row in zip(losses, traced, strict=True)
            ]
        except PhasemixError as error:
            found["not_traced"] = str(error)
        with path.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(found), indent=1))
            file.flush()
            os.fsync(file.fileno())
    ranks.barrier()
    raise DivergenceError(
        f"{wrong}. The rows of batch {batch} of run {job.run} and their documents are in {path}. Look at them, then {REMEDY}"
    )


def check_weights_are_finite(model: torch.nn.Module, step: int) -> None:
    """Checks what is about to be saved after `step` steps. Every rank must ask. Raises: DivergenceError."""
    wrong = [name for name, weights in model.named_parameters() if not bool(torch.isfinite(weights).all())]
    if ranks.any_rank(bool(wrong)):
        names = ", ".join(wrong[:3]) or "of another rank"
        raise DivergenceError(
            f"after step {step - 1} there are weights that are not numbers ({names}), so no checkpoint is saved. Look at "
            f"the batches of the last steps, then {REMEDY}"
        )
