"""Plans the next segment of a run.

Always holds: no segment draws more than a stream's rows allow under its `max_passes`; a segment ends before a switch;
nothing is redistributed unless `when_dry = "share"` says so, or a closing batch ends the run, and then the entry says why.

How: `mixer.order.closing` says which shares hold until a stream runs dry. The batch in which that happens is a segment of
its own, whose shares ask the dry stream for what it has left, and whose counts are written down.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mixer.ledger.ledger import FORMAT, WAITING_ROWS_JOIN, Ledger, horizon_reached, widen
from mixer.order.closing import SLACK, Ahead, look_ahead
from mixer.order.permutation import Ints
from mixer.order.shares import ONE
from mixer.order.slots import count_draws
from mixer.planning.states import State
from mixer.planning.supply import Rows, Supply
from streamer.store.log import Body


class Waits(NamedTuple):
    """No segment can be written until parts join this stream; None: until the run is resumed."""

    stream: str | None


class Counted(NamedTuple):
    """The next batches: the draws of each stream (batches, streams) and what lies ahead as it was when they were counted."""

    counts: Ints
    ahead: Ahead


def plan_segment(ledger: Ledger, rows: Rows, state: State, *, at_most: int) -> Body | Waits:
    """The body of the next entry: a segment of up to `at_most` batches, or the run's end; or what it waits for.

    `state` is that at the ledger's end.
    """
    start, last_step = ledger.end, ledger.last_step
    if last_step is not None and start >= last_step:
        return ended(horizon_reached(ledger.num_steps or 0))
    entry, change = ledger.plan_at(start), ledger.next_change(start)
    limit = at_most if change is None else min(at_most, change - start)
    supply = Supply(ledger, ledger.plans[entry], rows, state)
    found = count(supply, ledger.settings.global_batch, limit)
    if isinstance(found, int):
        return Waits(ledger.streams[found])
    counts, ahead = found
    if not len(counts):
        return ended(why_ended(ledger, entry, supply, ahead.halt))
    return write(ledger, entry, supply, counts, ahead)


def count(supply: Supply, size: int, limit: int) -> Counted | int:
    """Up to `limit` batches, none where the run ends; or the stream for whose parts the run waits."""
    room = list(supply.room)
    while True:
        ahead = look_ahead(supply.terms, room, supply.dry, size, limit)
        if not ahead.batches:
            return Counted(np.zeros((0, len(room)), np.int64), ahead)
        shares = np.array(ahead.shares, np.int64)
        if ahead.ending:
            counts = close(shares, supply.credits, supply.left, ahead.ending, size)
        else:
            counts = count_draws(shares, supply.credits, size, ahead.batches)
        over = (np.cumsum(counts, axis=0) > supply.left) & (counts > 0)
        batches = int(np.argmax(over.any(axis=1))) if over.any() else len(counts)
        if batches:
            return Counted(counts[:batches], ahead)
        short = int(np.argmax(over[0]))
        if not supply.waits[short]:  # only of more than 2,048 streams, or after a switch: counting is ahead of what is asked
            room[short] = ahead.shares[short] * size - SLACK - 1
        elif ahead.halt is None:
            return short
        else:
            return Counted(counts[:0], ahead)


def close(shares: Ints, credits: Ints, left: Ints, ending: Sequence[int], size: int) -> Ints:
    """Draws of each stream in a closing batch, (1, streams): what the ending ones have left, and the others by the rule."""
    counts = np.zeros_like(shares)
    counts[list(ending)] = left[list(ending)]
    excess = int(counts.sum()) - size
    while excess > 0:  # of many streams with a share below a sample each may have one left
        chosen = [index for index in reversed(ending) if counts[index]][:excess]
        counts[chosen] -= 1
        excess -= len(chosen)
    missing = size - int(counts.sum())
    if missing:
        others = np.setdiff1d(np.flatnonzero(shares), list(ending))
        whole, alone, owed = int(shares[others].sum()), np.zeros_like(shares), np.zeros_like(shares)
        alone[others] = [share * ONE // whole for share in shares[others].tolist()]
        alone[others[0]] += ONE - int(alone.sum())
        owed[others] = credits[others] + shares[others] * size - alone[others] * missing
        counts += count_draws(alone, owed, missing, 1)[0]
    return counts[None]


def write(ledger: Ledger, entry: int, supply: Supply, counts: Ints, ahead: Ahead) -> Body:
    """The body of a segment under the plan of an entry."""
    shares, before = np.array(ahead.shares, np.int64), ledger.segments[-1] if ledger.segments else None
    body: Body = {"format": FORMAT, "event": "segment", "start": ledger.end, "batches": len(counts), "plan": entry}
    if before is None or not np.array_equal(widen(before.shares, len(shares)), shares):
        body["shares"] = shares.tolist()
    late = supply.late_joins(supply.drawn + counts.sum(0))
    if late:
        body["order"] = WAITING_ROWS_JOIN
    if supply.joins or late:
        body["joins"] = supply.joins + late
    if ahead.ending:
        body["counts"] = counts[0].tolist()
    gone = [ledger.streams[number] for number in sorted([*ahead.dry, *ahead.ending])]
    if gone:
        body["reason"] = why_shared(gone, is_last=ahead.halt is not None)
    return body


def why_shared(gone: list[str], *, is_last: bool) -> str:
    """Why the shares are not those of the plan."""
    said = gone[0] if len(gone) == 1 else f"{', '.join(gone[:-1])} and {gone[-1]}"
    dry, theirs = ("has run dry", "its share goes") if len(gone) == 1 else ("have run dry", "their shares go")
    return f"{said} {dry}; " + ("the run ends with this batch" if is_last else f"{theirs} to the others")


def why_ended(ledger: Ledger, entry: int, supply: Supply, halt: int | None) -> str:
    """Why no batch follows: stream, cap and step, and the share that the stream could have had from the run's begin on."""
    shares, plan, step = supply.terms.shares, ledger.plans[entry], ledger.end
    index = shares.index(max(shares)) if halt is None else halt
    stream, drawn = ledger.streams[index], int(supply.drawn[index])
    capacity, before = drawn + int(supply.left[index]), int(widen(ledger.drawn_before, len(shares))[index])
    lasting = max(0, capacity - before) / ((step + 1 - ledger.begin) * ledger.settings.global_batch)
    cap = plan.max_passes[plan.streams.index(stream)]
    said = (
        f"stream {stream} has been drawn {drawn:,} times at step {step}, and max_passes = {cap} allows {capacity:,}; "
        f"a share of {min(lasting, 1):.6g} would have lasted longer"
    )
    return said if halt is not None else f"what all streams have left does not fill a batch: {said}"


def take_redactions(ledger: Ledger, rows: Rows) -> Body | None:
    """The body of an entry that takes in what was redacted in the plan's streams; None where the ledger has it all."""
    step = ledger.end
    if step == ledger.last_step:
        return None
    has, index = ledger.redacted_at(step), {name: number for number, name in enumerate(ledger.streams)}
    new = sorted(
        [index[name], snapshot.redacted_by]
        for name, snapshot in rows.items()
        if snapshot.redacted_by > has.get(index[name], 0)
    )
    return {"format": FORMAT, "event": "redacted", "at_step": step, "streams": new} if new else None


def ended(reason: str) -> Body:
    return {"format": FORMAT, "event": "ended", "reason": reason}
