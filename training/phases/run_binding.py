"""Binds a phase to a run: makes the run, or checks that the existing one is the one that is meant.

Always holds: a run that exists with another mixture, seed, global batch or sequence length is refused, and so are streams
whose token ids the model does not have. Nothing is written before all of that is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from mixer import Mixtures, RunError, Runs
from mixer.client.client import MixerClient
from mixer.journal.journal import line_of
from mixer.ledger.reports import Reports
from mixer.runs.run_info import RunInfo
from streamer import Catalog
from streamer.packing.tokenizer import highest_id
from training.errors import RecipeError, RunMismatchError
from training.loading.fill_in_the_middle import FillInTheMiddle
from training.phases.gap_tokens import fill_in_of
from training.phases.horizon import choose_horizon
from training.phases.phase import Recipe


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """A run that may be trained. `info` is None while it does not exist; `tokenizer` is that of its streams, if any.

    `fill_in`: which documents are rearranged, where the recipe asks for fill-in-the-middle.
    """

    run: str
    reference: str
    info: RunInfo | None
    tokenizer: str | None
    fill_in: FillInTheMiddle | None


def check_run(catalog: Catalog, run: str, *, mixture: str, recipe: Recipe) -> Binding:
    """Checks that a phase fits the run, or the mixture of a run that does not exist yet. Nothing is written.

    Raises: RunMismatchError, MixtureError, RunError, RecipeError.
    """
    reference, found = Mixtures(catalog).load(mixture)
    batch = recipe.batch
    if found.seq_len != batch.seq_len:
        raise RunMismatchError(
            f"mixture {reference} has seq_len {found.seq_len}, but the recipe has {batch.seq_len}; "
            f"add --set batch.seq_len={found.seq_len}"
        )
    info = None
    if exists(catalog, run):
        info = Runs(catalog).show(run)
        check_settings(catalog, info, mixture=mixture, recipe=recipe)
    plan = Mixtures(catalog).resolve(reference) if info is None else Runs(catalog).plan(run)
    highest_text_id = check_vocabulary(catalog, run, plan.tokenizer, plan.streams, recipe)
    fill_in = fill_in_of(
        recipe.objective,
        catalog,
        run=run,
        tokenizer=plan.tokenizer,
        highest_text_id=highest_text_id,
        dtype=plan.dtype,
        vocab_size=recipe.model.vocab_size,
        seed=batch.seed,
    )
    return Binding(run=run, reference=reference, info=info, tokenizer=plan.tokenizer, fill_in=fill_in)


def check_horizon(
    catalog: Catalog, binding: Binding, num_steps: int, *, has_checkpoint: bool, extend: bool, phase: str
) -> int | None:
    """The horizon that an existing run must get, or None. Raises: RunMismatchError."""
    info = binding.info
    if info is None:
        return None
    is_trained = has_checkpoint or bool(Reports(catalog, binding.run).read())
    return choose_horizon(info, num_steps, is_trained=is_trained, extend=extend, phase=phase)


def make_run(
    catalog: Catalog,
    binding: Binding,
    *,
    recipe: Recipe,
    num_steps: int,
    horizon: int | None,
    service: str | None,
    by: str | None = None,
) -> RunInfo:
    """The run as it is to be trained: created, or given the horizon, by the mixer's service where there is one.

    `by`: who does it, for the history; a service says that itself, of its tokens. Raises: RunError.
    """
    runs = Runs(catalog) if service is None else MixerClient(service)
    who: dict[str, Any] = {"by": by} if service is None else {}
    if binding.info is None:
        create(catalog, runs, binding, recipe=recipe, num_steps=num_steps, **who)
    elif horizon is not None:
        lengthen(catalog, runs, binding.run, horizon, **who)
    return Runs(catalog).show(binding.run)


def create(
    catalog: Catalog, runs: Runs | MixerClient, binding: Binding, *, recipe: Recipe, num_steps: int, **who: Any
) -> None:
    """Makes the run. Another process of the same training may have been first."""
    batch = recipe.batch
    try:
        runs.create(
            binding.run,
            mixture=binding.reference,
            seed=batch.seed,
            global_batch=batch.global_batch,
            canonical_nodes=batch.canonical_nodes,
            num_steps=num_steps,
            **who,
        )
    except RunError:
        if not exists(catalog, binding.run):
            raise


def lengthen(catalog: Catalog, runs: Runs | MixerClient, run: str, horizon: int, **who: Any) -> None:
    """Moves the run's horizon. Another process of the same training may have been first."""
    try:
        runs.lengthen(run, horizon, **who)
    except RunError:
        if Runs(catalog).show(run).num_steps != horizon:
            raise


def exists(catalog: Catalog, run: str) -> bool:
    return run in catalog.names("runs") and bool(catalog.log(f"runs/{run}/ledger").read())


def check_settings(catalog: Catalog, info: RunInfo, *, mixture: str, recipe: Recipe) -> None:
    """Raises: RunMismatchError when the run is not the one meant. A mixture without version may have been edited since."""
    had = mixtures_of(catalog, info.name)
    name, _, version = mixture.partition("@")
    if mixture not in had if version else name not in {reference.partition("@")[0] for reference in had}:
        raise RunMismatchError(
            f"run {info.name} exists with mixture {', '.join(had)}, not {mixture}; take another --run, "
            f"or phasemix runs switch {info.name}"
        )
    asked = {"seed": recipe.batch.seed, "global_batch": recipe.batch.global_batch, "seq_len": recipe.batch.seq_len}
    for key, value in asked.items():
        there = getattr(info, key)
        if there != value:
            raise RunMismatchError(
                f"run {info.name} exists with {key} {there}, not {value}; take another --run, "
                f"or add --set batch.{key}={there}"
            )


def mixtures_of(catalog: Catalog, run: str) -> list[str]:
    """The mixture versions that the run has had, or that its schedules lead to, in the order of its entries."""
    found: list[str] = []
    for body in catalog.log(f"runs/{run}/ledger").read():
        if isinstance(body.get("plan"), dict):
            points = (body.get("policy") or {}).get("points", [])
            found += [body["plan"]["mixture"], *(point["mixture"] for point in points)]
    return list(dict.fromkeys(found))


def forks_of(root: str, run: str) -> list[tuple[str, int]]:
    """The runs that a run forked from, the nearest first, each with the trained steps up to which they are the same."""
    line = line_of(Catalog(root), run)
    skips = line.newest.ledger.skips
    return [(span.of.run, span.end - skips.before(span.end)) for span in line if span.of is not line.newest]


def check_vocabulary(catalog: Catalog, run: str, fingerprint: str | None, streams: Sequence[str], recipe: Recipe) -> int:
    """The highest token id of the streams. Raises: RecipeError when the model does not have all of them.

    Without a tokenizer the ids are those that the publication of each part noted; of parts that were published before it
    did, nothing is known here, and the trainer looks at each batch.
    """
    if fingerprint is not None:
        whose, highest = f"tokenizer {fingerprint}", highest_id(catalog.load_tokenizer(fingerprint))
    else:
        known = [
            (part.highest_id, snapshot.name)
            for snapshot in catalog.snapshots(streams)
            for part in snapshot.parts
            if part.highest_id is not None
        ]
        highest, name = max(known, default=(-1, ""))
        whose = f"stream {name}"
    refuse_ids(run, whose, highest, recipe.model.vocab_size)
    return highest


def check_same_ids(catalog: Catalog, binding: Binding, of: str) -> None:
    """Raises: RunMismatchError when the run whose weights are taken learned the ids of another tokenizer."""
    theirs = Runs(catalog).plan(of).tokenizer if exists(catalog, of) else None
    if None not in (theirs, binding.tokenizer) and theirs != binding.tokenizer:
        raise RunMismatchError(
            f"run {of} learned the ids of tokenizer {theirs}, but the streams of {binding.reference} have those of "
            f"{binding.tokenizer}, where they stand for other texts; give --from a run on the same tokenizer"
        )


def refuse_ids(run: str, whose: str, highest: int, vocab_size: int) -> None:
    """Raises: RecipeError when the highest id is not in a vocabulary of that size."""
    if highest >= vocab_size:
        raise RecipeError(
            f"run {run}: {whose} has ids up to {highest}, but the model's vocab_size is {vocab_size}; "
            f"add --set model.vocab_size={highest + 1}"
        )
