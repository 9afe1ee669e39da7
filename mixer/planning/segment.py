"""Plans the next segment of a run.

Always holds: no segment draws more than a stream's rows allow under its `max_passes`; a segment ends before a switch;
nothing is redistributed unless `when_dry = "share"` says so, and then the entry says why.
"""

from typing import Any, NamedTuple

import numpy as np

from mixer.ledger.ledger import FORMAT, Ledger, horizon_reached, widen
from mixer.mixture.plan import Plan
from mixer.order.passes import Timeline
from mixer.order.permutation import Ints
from mixer.order.slots import count_draws
from mixer.planning.states import State
from streamer.catalog.manifest import Snapshot

CLOSING_EXTRA = 2  # samples by which a closing batch may depart from a stream's share


class Waits(NamedTuple):
    """No segment can be written until parts join this stream; None: until the run is resumed."""

    stream: str | None


Rows = dict[str, Snapshot]  # the streams of the plan as they are now


def plan_segment(ledger: Ledger, rows: Rows, state: State, *, at_most: int) -> dict[str, Any] | Waits:
    """The body of the next entry: a segment of up to `at_most` batches, or the run's end; or what it waits for.

    `state` is that at the ledger's end.
    """
    settings = ledger.settings
    start, size = ledger.end, settings.global_batch
    last_step = ledger.last_step
    if last_step is not None and start >= last_step:
        return ended(horizon_reached(ledger.num_steps or 0))
    plan_entry = ledger.plan_at(start)
    plan = ledger.plans[plan_entry]
    credits, drawn = widen(state.credits, len(ledger.streams)), widen(state.drawn, len(ledger.streams))
    joins, timelines = grow(ledger, plan, rows, drawn)
    capacity = capacities(ledger, plan, timelines)
    change = ledger.next_change(start)
    limit = at_most if change is None else min(at_most, change - start)
    shares, reason = spread(ledger, plan, drawn, capacity)
    if shares is None:
        return ended(reason)
    counts = count_draws(shares, credits, size, limit)
    over = (drawn + np.cumsum(counts, axis=0) > capacity) & (counts > 0)
    batches = int(np.argmax(over.any(axis=1))) if over.any() else limit
    closing = None
    if not batches:
        short = int(np.argmax(over[0]))
        name = ledger.streams[short]
        if when_dry(plan, name) == "wait" or not timelines[short].total:
            return Waits(name)
        closing = close(counts[0], np.maximum(capacity - drawn, 0), shares, when_dry(plan, name))
        if closing is None:
            return ended(dry(plan, name, start, size, int(drawn[short]), int(capacity[short])))
        batches = 1
    body: dict[str, Any] = {"format": FORMAT, "event": "segment", "start": start, "batches": batches, "plan": plan_entry}
    before = ledger.segments[-1] if ledger.segments else None
    if before is None or not np.array_equal(widen(before.shares, len(shares)), shares):
        body["shares"] = shares.tolist()
    if joins:
        body["joins"] = joins
    if closing is not None:
        body["counts"] = closing.tolist()
    if reason:
        body["reason"] = reason
    return body


def grow(ledger: Ledger, plan: Plan, rows: Rows, drawn: Ints) -> tuple[list[list[int | str]], list[Timeline]]:
    """What joins now as [stream, rows, snapshot, drawn so far, digest of the parts], and the timelines as they will be."""
    joins: list[list[int | str]] = []
    timelines = list(ledger.timelines)
    limits = dict(zip(plan.streams, plan.limit, strict=True))
    for index, name in enumerate(ledger.streams):
        if name not in limits:
            continue
        limit = limits[name]
        total = rows[name].samples if limit is None else min(rows[name].samples, limit)
        if total > ledger.totals[index]:
            joins.append([index, total, rows[name].number, int(drawn[index]), rows[name].digest])
            timelines[index] = timelines[index].copy()
            timelines[index].extend(int(drawn[index]), total)
    return joins, timelines


def capacities(ledger: Ledger, plan: Plan, timelines: list[Timeline]) -> Ints:
    """Draws that each stream of the run may have had in all, by index."""
    caps = dict(zip(plan.streams, plan.max_passes, strict=True))
    found = [timeline.capacity(caps.get(name)) for name, timeline in zip(ledger.streams, timelines, strict=True)]
    return np.array([np.iinfo(np.int64).max if value is None else value for value in found], np.int64)


def when_dry(plan: Plan, name: str) -> str:
    """What happens when a stream would pass its cap: stop, wait or share."""
    return plan.when_dry[plan.streams.index(name)]


def spread(ledger: Ledger, plan: Plan, drawn: Ints, capacity: Ints) -> tuple[Ints | None, str]:
    """The plan's shares by stream index; what dry streams with `when_dry = "share"` leave goes to the others.

    First to the others of the component, in proportion, then to the other components. None: nothing is left.
    """
    place = {name: index for index, name in enumerate(ledger.streams)}
    indices = [place[name] for name in plan.streams]
    shares = [0] * len(ledger.streams)
    for index, share in zip(indices, plan.shares, strict=True):
        shares[index] = share
    component = dict(zip(indices, plan.component, strict=True))
    shared = {index for index, what in zip(indices, plan.when_dry, strict=True) if what == "share"}
    gone = [i for i in indices if shares[i] and drawn[i] >= capacity[i] and i in shared]
    for index in gone:
        others = [i for i in indices if shares[i] and i not in gone and component[i] == component[index]]
        others = others or [i for i in indices if shares[i] and i not in gone]
        if not others:
            return None, f"every stream has run dry at step {ledger.end}"
        total = sum(shares[i] for i in others)
        given = [shares[index] * shares[i] // total for i in others]
        given[0] += shares[index] - sum(given)
        for i, more in zip(others, given, strict=True):
            shares[i] += more
        shares[index] = 0
    reason = ", ".join(ledger.streams[index] for index in gone)
    return np.array(shares, np.int64), f"dry: {reason}; its share went to the others" if reason else ""


def close(counts: Ints, left: Ints, shares: Ints, at_cap: str) -> Ints | None:
    """A batch that drains what ends together; None when a stream would depart too far from its share."""
    closing = np.minimum(counts, left)
    extra = CLOSING_EXTRA if at_cap == "stop" else int(counts.sum())
    if at_cap == "stop" and np.any(counts - closing > CLOSING_EXTRA):
        return None
    room = np.where(shares > 0, np.minimum(left - closing, extra), 0)
    missing = int(counts.sum() - closing.sum())
    if room.sum() < missing:
        return None
    while missing:
        order = np.lexsort((np.arange(len(room)), -room))
        chosen = [index for index in order.tolist() if room[index] > 0][:missing]
        closing[chosen] += 1
        room[chosen] -= 1
        missing -= len(chosen)
    return closing


def dry(plan: Plan, name: str, step: int, size: int, drawn: int, capacity: int) -> str:
    lasting = capacity / max(1, (step + 1) * size)
    return (
        f"stream {name} has been drawn {drawn:,} times at step {step}, max_passes = "
        f"{plan.max_passes[plan.streams.index(name)]} allows {capacity:,}; a share of {lasting:.6f} would have lasted"
    )


def ended(reason: str) -> dict[str, Any]:
    return {"format": FORMAT, "event": "ended", "reason": reason}
