"""`phasemix train --dry-run`: what a training would be, after all has been checked that can be without the trainer.

Always holds: nothing is written, and neither Composer nor torch is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from mixer.preview.preview import Preview
from mixer.preview.previews import Mixtures
from streamer import Catalog
from streamer.commands.table import short
from training.checkpoints.choice import Chosen
from training.checkpoints.place import Place
from training.errors import RecipeError
from training.phases import estimate
from training.phases.estimate import Memory
from training.phases.phase import Recipe, Schedule
from training.phases.run_binding import Binding

POINTS, WIDTH = 12, 40  # of the curve: steps that it shows, signs of the highest rate


class Checked(NamedTuple):
    """What was found of a training before anything of it is made."""

    catalog: Catalog
    recipe: Recipe
    phase: str
    place: Place
    num_steps: int
    binding: Binding
    horizon: int | None
    resume: Chosen | None
    weights: Chosen | None
    has_heldout: bool


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a training would be.

    Attributes:
        run_is: "new", or the state of the run that exists.
        steps: The step at which the training ends.
        first_step: The step that it begins with.
        tokens: The tokens from the first step to the end.
        memory: Bytes of each rank, by what takes them.
        learning_rate: The rates of some steps, as (step, rate).
        begins_with: The checkpoint that is loaded, if there is one.
        evaluates: Whether there are held-out streams to evaluate the model on.
        evaluates_every: After how many steps that takes place during the training; 0 for at the end alone.
    """

    phase: str
    run: str
    run_is: str
    mixture: str
    steps: int
    first_step: int
    tokens: int
    parameters: int
    ranks: int
    memory: Memory
    memory_bytes: int
    learning_rate: list[tuple[int, float]]
    begins_with: str | None
    evaluates: bool
    evaluates_every: int
    checkpoints: str
    preview: Preview


def dry_run(checked: Checked, *, ranks: int, trainer: str) -> DryRun:
    """Reckons a training. Raises: RecipeError for a global batch that so many ranks cannot share, MixtureError."""
    recipe, info, first = checked.recipe, checked.binding.info, checked.resume.step if checked.resume else 0
    batch = recipe.batch
    if ranks < 1 or batch.global_batch % ranks:
        raise RecipeError(
            f"--ranks {ranks} does not divide batch.global_batch = {batch.global_batch}; give a number that does"
        )
    drawn = 0 if info is None else info.end_step - sum(count for _, count in info.skipped)
    preview = Mixtures(checked.catalog).preview(
        checked.binding.reference if info is None else info.mixture,
        tokens=max(0, checked.num_steps - drawn) * batch.global_batch * batch.seq_len,
        run=None if info is None else info.name,
    )
    needed, chosen = estimate.memory(recipe, ranks=ranks, trainer=trainer), checked.resume or checked.weights
    return DryRun(
        phase=checked.phase,
        run=checked.binding.run,
        run_is="new" if info is None else info.state_line,
        mixture=preview.mixture,
        steps=checked.num_steps,
        first_step=first,
        tokens=max(0, checked.num_steps - first) * batch.global_batch * batch.seq_len,
        parameters=estimate.parameters(recipe.model),
        ranks=ranks,
        memory=needed,
        memory_bytes=needed.total,
        learning_rate=curve(recipe.phase(checked.phase).schedule, checked.num_steps),
        begins_with=chosen.called if chosen else None,
        evaluates=checked.has_heldout,
        evaluates_every=recipe.heldout.every_steps,
        checkpoints=str(checked.place),
        preview=preview,
    )


def curve(schedule: Schedule, num_steps: int) -> list[tuple[int, float]]:
    """The rates of steps that are spread evenly, the first, the last and the end of the warm-up among them."""
    last = num_steps - 1
    steps = {last * point // (POINTS - 1) for point in range(POINTS)} | {min(schedule.warm_up_steps, last)}
    return [(step, schedule.peak_learning_rate * schedule.multiplier(step, num_steps)) for step in sorted(steps)]


def lines(found: DryRun) -> list[str]:
    """What people read, but for the preview of the mixture."""
    each = {name: getattr(found.memory, name) for name in Memory.__struct_fields__}
    parts = ", ".join(f"{name} {gigabytes(size)}" for name, size in each.items())
    every = f"every {found.evaluates_every:,} steps and " if found.evaluates_every else ""
    begins = f"with {found.begins_with}" if found.begins_with else "with new weights"
    return [
        f"run {found.run} ({found.run_is}), {found.phase}: steps {found.first_step:,} to {found.steps:,}, "
        f"{short(found.tokens)} tokens, {begins}",
        f"model: {short(found.parameters)} parameters",
        f"memory of each rank (of {found.ranks}), about {gigabytes(found.memory_bytes)}: {parts}",
        f"checkpoints: {found.checkpoints}",
        f"held-out streams: {f'evaluated {every}at the end' if found.evaluates else 'none'}",
        "",
        *curve_lines(found.learning_rate),
    ]


def curve_lines(rates: Sequence[tuple[int, float]]) -> list[str]:
    """A line for each step: its rate and a bar as long as that."""
    peak, wide = max(rate for _, rate in rates) or 1.0, max(len(f"{step:,}") for step, _ in rates)
    rows = [f"{step:>{max(4, wide)},}  {rate:9.3g}  {'#' * round(WIDTH * (rate / peak))}".rstrip() for step, rate in rates]
    return [f"{'step':>{max(4, wide)}}  {'rate':>9}", *rows]


def gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.3g} GB"
