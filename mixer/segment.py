"""Plans the next segment of a run.

Always holds: no segment draws more than a stream's rows allow under its `max_passes`; a segment ends before a switch;
nothing is redistributed unless `when_dry = "share"` says so, and then the entry says why.
"""

from typing import Any, NamedTuple

import numpy as np

from mixer.ledger import FORMAT, Ledger, State
from mixer.passes import Timeline
from mixer.resolution import Plan
from mixer.slots import Ints, count_draws, settle

CLOSING_EXTRA = 2  # samples by which a closing batch may depart from a stream's share


class Waits(NamedTuple):
    """No segment can be written until parts join this stream."""

    stream: str


Rows = dict[str, tuple[int, int]]  # stream -> rows now, snapshot number


def plan_segment(ledger: Ledger, rows: Rows, *, at_most: int) -> dict[str, Any] | Waits:
    """The body of the next entry: a segment of up to `at_most` batches, or the run's end; or what it waits for."""
    settings = ledger.settings
    assert settings is not None
    start = ledger.end
    if settings.num_steps is not None and start >= settings.num_steps:
        return ended(f"it has its num_steps = {settings.num_steps}")
    plan_entry = ledger.plan_at(start)
    plan = ledger.plans[plan_entry]
    state = ledger.state(start)
    joins, timelines = grow(ledger, plan, rows, state)
    capacity = capacities(ledger, plan, timelines)
    limit = min([at_most] + [end - start for end in (ledger.next_switch(start), settings.num_steps) if end is not None])
    shares, reason = spread(ledger, plan, state, capacity)
    if isinstance(shares, Waits):
        return shares
    if shares is None:
        return ended(reason)
    credits, drawn, batches, counts = state.credits, state.drawn, 0, None
    while batches < limit:
        counts = count_draws(shares, credits, settings.global_batch)
        if np.any((drawn + counts > capacity) & (counts > 0)):
            break
        credits, drawn, batches = settle(shares, credits, counts), drawn + counts, batches + 1
        counts = None
    closing = None
    if not batches:
        assert counts is not None
        short = np.flatnonzero((drawn + counts > capacity) & (counts > 0))
        name = ledger.streams[int(short[0])]
        if policy(plan, name) == "wait":
            return Waits(name)
        closing = close(counts, capacity - drawn, shares, policy(plan, name))
        if closing is None:
            return ended(dry(ledger, plan, name, start, int(capacity[short[0]])))
        batches = 1
    return {
        "format": FORMAT,
        "event": "segment",
        "start": start,
        "batches": batches,
        "plan": plan_entry,
        "joins": joins,
        "shares": shares.tolist(),
        "counts": None if closing is None else closing.tolist(),
        "reason": reason,
    }


def grow(ledger: Ledger, plan: Plan, rows: Rows, state: State) -> tuple[list[list[int]], list[Timeline]]:
    """What joins now as [stream, rows, snapshot], and the timelines as they will then be."""
    joins, timelines = [], []
    for index, name in enumerate(ledger.streams):
        timeline = Timeline()
        timeline.eras, timeline.total = list(ledger.timelines[index].eras), ledger.timelines[index].total
        if name in plan.streams:
            total, snapshot = rows[name]
            limit = plan.limit[plan.streams.index(name)]
            total = total if limit is None else min(total, limit)
            if total > ledger.totals[index]:
                joins.append([index, total, snapshot])
                timeline.extend(int(state.drawn[index]), total)
        timelines.append(timeline)
    return joins, timelines


def capacities(ledger: Ledger, plan: Plan, timelines: list[Timeline]) -> Ints:
    """Draws that each stream of the run may have had in all, by index."""
    caps = dict(zip(plan.streams, plan.max_passes, strict=True))
    found = [timeline.capacity(caps.get(name)) for name, timeline in zip(ledger.streams, timelines, strict=True)]
    return np.array([np.iinfo(np.int64).max if value is None else value for value in found], np.int64)


def policy(plan: Plan, name: str) -> str:
    return plan.when_dry[plan.streams.index(name)]


def spread(ledger: Ledger, plan: Plan, state: State, capacity: Ints) -> tuple[Ints | Waits | None, str]:
    """The plan's shares by stream index; what dry streams with `when_dry = "share"` leave goes to the others.

    First to the others of the component, in proportion, then to the other components. None: nothing is left.
    """
    shares = [0] * len(ledger.streams)
    for name, share in zip(plan.streams, plan.shares, strict=True):
        shares[ledger.streams.index(name)] = share
    component = dict(zip(plan.streams, plan.component, strict=True))
    gone = [
        index
        for index, name in enumerate(ledger.streams)
        if shares[index] and state.drawn[index] >= capacity[index] and policy(plan, name) == "share"
    ]
    for index in gone:
        same = [i for i, n in enumerate(ledger.streams) if component.get(n) == component[ledger.streams[index]]]
        others = [i for i in same if shares[i] and i not in gone]
        others = others or [i for i in range(len(shares)) if shares[i] and i not in gone]
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


def close(counts: Ints, left: Ints, shares: Ints, when_dry: str) -> Ints | None:
    """A batch that drains what ends together; None when a stream would depart too far from its share."""
    closing = np.minimum(counts, left)
    extra = CLOSING_EXTRA if when_dry == "stop" else int(counts.sum())
    if when_dry == "stop" and np.any(counts - closing > CLOSING_EXTRA):
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


def dry(ledger: Ledger, plan: Plan, name: str, step: int, capacity: int) -> str:
    place, index = plan.streams.index(name), ledger.streams.index(name)
    assert ledger.settings is not None
    drawn = int(ledger.state(step).drawn[index])
    lasting = capacity / max(1, (step + 1) * ledger.settings.global_batch)
    return (
        f"stream {name} has been drawn {drawn:,} times at step {step}, max_passes = {plan.max_passes[place]} allows "
        f"{capacity:,}; a share of {lasting:.6f} would have lasted"
    )


def ended(reason: str) -> dict[str, Any]:
    return {"format": FORMAT, "event": "ended", "reason": reason}
