"""What happens when streams run dry, over random histories that are read to the very end."""

import re
from collections import Counter
from itertools import pairwise

import numpy as np
from histories import History, Life, Part, drying_histories, examples, expected, live
from hypothesis import given

from mixer import Runs
from mixer.ledger.ledger import widen
from mixer.order.shares import ONE
from streamer import Catalog
from streamer.store.store import MemoryStore

REASON = r"stream (raw/s\d+) has been drawn ([\d,]+) times at step (\d+), and max_passes = (\d+) allows"


@examples(40)
@given(history=drying_histories())
def test_a_history_is_exact_and_ends_as_the_reference_says(history: History) -> None:
    life = live(history, MemoryStore("memory"))
    pairs = [list(zip(*batch, strict=True)) for batch in zip(life.streams.tolist(), life.rows.tolist(), strict=True)]
    batches, why = expected(life)
    assert pairs == batches
    assert why == why_it_stopped(life)
    stays_exact(life)
    closes_once(life)
    passes_no_cap(life)
    starves_nothing(life)


def why_it_stopped(life: Life) -> str | None:
    """As the reference says it; what the run says names stream, cap, step and share."""
    if life.ended is None:
        return None
    if Runs(life.store).show("a").ended is None:
        assert "waits at step" in life.ended
        return "waits"
    found = re.search(REASON, life.ended)
    assert found is not None
    assert int(found[3]) == len(life.origin)
    assert int(found[2].replace(",", "")) == int((life.streams == life.ledger.streams.index(found[1])).sum())
    assert "a share of" in life.ended
    return "ends"


def stays_exact(life: Life) -> None:
    """Within 1 sample of what was asked until shares change, within 2 after; so is each batch, to the very end."""
    width, size = len(life.ledger.streams), life.history.global_batch
    asked, drawn = np.zeros(width, object), np.zeros(width, object)
    first = widen(life.ledger.segments[0].shares, width) if life.ledger.segments else None
    bound = ONE
    for step, batch in enumerate(life.streams):
        segment = life.ledger.segment_at(step)
        shares, counts = widen(segment.shares, width), np.bincount(batch, minlength=width)
        bound = bound if np.array_equal(shares, first) else 2 * ONE
        asked, drawn = asked + shares.astype(object) * size, drawn + counts.astype(object) * ONE
        assert abs(asked - drawn).max() <= bound
        assert abs(shares.astype(object) * size - counts.astype(object) * ONE).max() <= 2 * ONE


def closes_once(life: Life) -> None:
    """Of a plan no more closing batches than times at which a stream may run dry, and behind one that ends the run none.

    A switch may give a share to a stream of which less than a batch was left, and which then runs dry again.
    """
    parts = len(life.history.parts) + sum(isinstance(act, Part) for _, act in life.history.acts)
    closing = Counter(segment.plan for segment in life.ledger.segments if segment.counts is not None)
    assert max(closing.values(), default=0) <= parts
    bodies = Catalog(life.store).log("runs/a/ledger").read()
    for body, following in pairwise(bodies):
        if "counts" in body:
            assert "run dry" in body["reason"]
            if "the run ends" in body["reason"]:
                assert following["event"] in ("ended", "switched") or "joins" in following


def passes_no_cap(life: Life) -> None:
    seen = Counter(zip(life.streams.ravel().tolist(), life.rows.ravel().tolist(), strict=True))
    for (stream, _), times in seen.items():
        cap = caps(life)[stream]
        assert cap is None or times <= cap


def starves_nothing(life: Life) -> None:
    """Of the stream at which a run stops less is left than a batch was to have of it; no row that was published waits."""
    if life.ended is None:
        return
    found = re.search(r"stream (raw/s\d+)", life.ended)
    assert found is not None
    stream = life.ledger.streams.index(found[1])
    plan = life.ledger.plans[life.ledger.plan_at(life.ledger.end)]
    asked = [plan.shares[plan.streams.index(found[1])], *(segment.shares[stream] for segment in life.ledger.segments[-2:])]
    never = Catalog(life.store).stream(found[1]).samples - len(np.unique(life.rows[life.streams == stream]))
    size = life.history.global_batch
    others = life.history.others
    if "share" in (life.history.when_dry, others.when_dry if others else None):
        assert never < size  # what is dry leaves its share to it, up to the whole batch
    else:
        assert never < max(asked) * size / ONE + 2


def caps(life: Life) -> list[int | None]:
    history = life.history
    return [
        history.max_passes if history.others is None or not int(name[-3:]) % 2 else history.others.max_passes
        for name in life.ledger.streams
    ]
