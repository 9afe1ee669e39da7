"""What one `phasemix train` is asked to do, decided before anything heavy is loaded."""

from __future__ import annotations

import msgspec

from training.loading.fill_in_the_middle import FillInTheMiddle
from training.phases.phase import Recipe


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One training. Paths are local; `save_url`: the folder on a store that what is in `save_folder` is sent to.

    `tokenizer`: that of the run's streams, None when they name none. `fill_in`: which of their documents are rearranged.
    `resume`: the checkpoint to go on from, which has `resume_step` steps; `weights`: the checkpoint with whose weights a new
    training starts.
    """

    root: str
    run: str
    phase: str
    mixture: str
    recipe: Recipe
    num_steps: int
    save_folder: str
    save_url: str | None = None
    tokenizer: str | None = None
    fill_in: FillInTheMiddle | None = None
    weights: str | None = None
    resume: str | None = None
    resume_step: int = 0
    service: str | None = None
    wait_s: float = 600.0
