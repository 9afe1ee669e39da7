"""Binds a phase to a run: makes the run, or checks that the one there is the one meant.

Always holds: a run that exists with another mixture, seed, global batch or sequence length is refused, nothing is written.
"""

from __future__ import annotations

import msgspec

from mixer import Mixtures, RunError, Runs
from mixer.client.client import MixerClient
from mixer.journal.journal import line_of
from mixer.runs.run_info import RunInfo
from streamer import Catalog
from streamer.packing.tokenizer import highest_id
from training.errors import RecipeError, RunMismatchError
from training.phases.phase import Recipe


def bind_run(root: str, run: str, *, mixture: str, recipe: Recipe, num_steps: int, service: str | None) -> RunInfo:
    """The run, made when it does not exist, by the mixer's service where there is one.

    Raises: RunMismatchError, MixtureError, RunError, RecipeError.
    """
    catalog = Catalog(root)
    reference, found = Mixtures(catalog).load(mixture)
    batch = recipe.batch
    if found.seq_len != batch.seq_len:
        raise RunMismatchError(
            f"mixture {reference} has seq_len {found.seq_len}, the recipe {batch.seq_len}; "
            f"add --set batch.seq_len={found.seq_len}"
        )
    if run not in catalog.names("runs") or not catalog.log(f"runs/{run}/ledger").read():
        check_vocabulary(catalog, run, Mixtures(catalog).resolve(reference).tokenizer, recipe)
        create(catalog, run, mixture=reference, recipe=recipe, num_steps=num_steps, service=service)
    info = Runs(catalog).show(run)
    check(catalog, info, mixture=mixture, recipe=recipe)
    check_vocabulary(catalog, run, Runs(catalog).plan(run).tokenizer, recipe)
    return info


def create(catalog: Catalog, run: str, *, mixture: str, recipe: Recipe, num_steps: int, service: str | None) -> None:
    """Makes the run; that another process was first is fine."""
    batch = recipe.batch
    runs = Runs(catalog) if service is None else MixerClient(service)
    try:
        runs.create(
            run,
            mixture=mixture,
            seed=batch.seed,
            global_batch=batch.global_batch,
            canonical_nodes=batch.canonical_nodes,
            num_steps=num_steps,
        )
    except RunError:
        if not catalog.log(f"runs/{run}/ledger").read():
            raise


def check(catalog: Catalog, info: RunInfo, *, mixture: str, recipe: Recipe) -> None:
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
    """The mixture versions that the run has had, or its schedules come to, in the order of its entries."""
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


def check_vocabulary(catalog: Catalog, run: str, fingerprint: str | None, recipe: Recipe) -> None:
    """Raises: RecipeError when the streams' tokenizer gives ids that the model does not have."""
    if fingerprint is None:
        return
    highest = highest_id(catalog.load_tokenizer(fingerprint))
    if highest >= recipe.model.vocab_size:
        raise RecipeError(
            f"run {run}: tokenizer {fingerprint} has ids up to {highest}, the model's vocab_size is "
            f"{recipe.model.vocab_size}; add --set model.vocab_size={highest + 1}"
        )


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What one `phasemix train` is asked to do. Paths are local; `weights` is a checkpoint to start from."""

    root: str
    run: str
    phase: str
    mixture: str
    recipe: Recipe
    num_steps: int
    save_folder: str
    weights: str | None = None
    resume: str | None = None
    resume_step: int = 0
    service: str | None = None
    wait_s: float = 600.0
