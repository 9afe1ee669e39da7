"""The synthetic tokens that live runs still need, by language."""

from pathlib import Path

from mixer.errors import MixtureError
from mixer.order.shares import ONE
from mixer.runs.runs import Runs
from streamer.catalog.catalog import Catalog
from streamer.store.store import Store

HORIZON_STEPS = 256  # how far ahead a run without num_steps is provided for
KIND = "synthetic"


def demand(root: "str | Path | Store | Catalog") -> dict[str, int]:
    """Tokens of `synthetic/LANGUAGE` that runs which have not ended will draw beyond what is published.

    A run is looked at to its `num_steps`, else 256 steps past its ledger, with what its schedule comes to until then; a
    stream may give each sample `max_passes` times.
    """
    runs = Runs(root)
    wanted: dict[str, int] = {}
    for info in runs.list():
        if info.ended is not None:
            continue
        skipped = sum(batches for _, batches in info.skipped)
        horizon = info.end_step + HORIZON_STEPS if info.num_steps is None else info.num_steps + skipped
        try:
            plan = runs.plan(info.name, horizon)
        except MixtureError:  # of a schedule that the catalog no longer fits; the run then keeps its shares
            plan = runs.plan(info.name)
        drawn = {use.stream: use.drawn_samples for use in runs.use(info.name)}
        for stream, share, cap in zip(plan.streams, plan.shares, plan.max_passes, strict=True):
            kind, language = stream.split("/")[:2]
            if kind != KIND:
                continue
            ahead = share * (horizon - info.end_step) * info.global_batch // ONE
            draws = ahead + drawn.get(stream, 0)
            missing = -(-draws // (cap or 1)) - runs.catalog.stream(stream).samples
            wanted[language] = max(wanted.get(language, 0), missing * info.seq_len, 0)
    return {language: tokens for language, tokens in wanted.items() if tokens}
