"""What the streams of a run have for its next batches: draws until their caps, and what they are owed.

Always holds: nothing is decided here; rows that were published are counted from the segment on that takes them in. What is
listed by stream has the order of the ledger's streams, and a stream that the plan does not have has a share of zero.
"""

from typing import Any

import numpy as np

from mixer.ledger.ledger import Ledger, widen
from mixer.mixture.plan import Plan
from mixer.order.closing import Terms, is_spent
from mixer.order.permutation import Ints
from mixer.order.shares import ONE
from mixer.order.slots import even_out
from mixer.planning.states import State
from streamer.catalog.manifest import Snapshot

Rows = dict[str, Snapshot]  # the streams of the plan as they are now
Joins = list[list[Any]]  # [stream, rows, snapshot, drawn so far, digest of the parts]
UNBOUNDED = int(np.iinfo(np.int64).max)


class Supply:
    """The streams at the end of a ledger, under a plan.

    `left`: draws until the cap, UNBOUNDED without one; `waits`: whether the run waits for parts when the stream is dry, as
    it does for the first part of an empty one; `room` and `dry` as `mixer.order.closing` has them; `joins`: what the next
    segment takes in.
    """

    def __init__(self, ledger: Ledger, plan: Plan, rows: Rows, state: State) -> None:
        width = len(ledger.streams)
        self.credits, self.drawn = widen(state.credits, width), widen(state.drawn, width)
        index = {name: number for number, name in enumerate(ledger.streams)}
        self.indices = [index[name] for name in plan.streams]
        self._caps = dict(zip(self.indices, plan.max_passes, strict=True))
        self._rows = {index[name]: rows[name] for name in plan.streams}
        self._timelines = {number: ledger.timelines[number] for number in self.indices}
        self.joins = self._grow(ledger, plan)
        self.left = np.full(width, UNBOUNDED)
        shares, component, leaves, self.waits = [0] * width, [""] * width, [False] * width, [False] * width
        for number, share, name, when in zip(self.indices, plan.shares, plan.component, plan.when_dry, strict=True):
            timeline = self._timelines[number]
            capacity = timeline.capacity(self._caps[number])
            if capacity is not None:
                self.left[number] = max(0, capacity - int(self.drawn[number]))
            shares[number], component[number], leaves[number] = share, name, when == "share"
            self.waits[number] = when == "wait" or (when == "stop" and not timeline.total)
        self.terms = Terms(shares, component, leaves)
        self.dry: list[int] = []
        self.room = self._measure()
        while newly := [number for number, room in enumerate(self.room) if self._is_dry(number, room)]:
            self.dry += newly
            self.room = self._measure()

    def late_joins(self, drawn: Ints) -> Joins:
        """Rows that wait in the last pass that their stream may have, and would be in no pass if they did not join now.

        `drawn`: draws of each stream behind the segment.
        """
        return [
            self._join(number, self._timelines[number].total)
            for number in self.indices
            if self._timelines[number].leaves_waiting(int(drawn[number]), self._caps[number])
        ]

    def _grow(self, ledger: Ledger, plan: Plan) -> Joins:
        joins: Joins = []
        for number, limit in zip(self.indices, plan.limit, strict=True):
            samples = self._rows[number].samples
            total = samples if limit is None else min(samples, limit)
            if total > ledger.totals[number]:
                joins.append(self._join(number, total))
                self._timelines[number] = self._timelines[number].copy()
                self._timelines[number].extend(int(self.drawn[number]), total)
        return joins

    def _join(self, number: int, total: int) -> list[Any]:
        rows = self._rows[number]
        return [number, total, rows.number, int(self.drawn[number]), rows.digest]

    def _measure(self) -> list[int | None]:
        """What may still be asked of each stream; what the absent and the dry are owed is shared out among the others."""
        is_present = np.array(self.terms.shares, np.int64) > 0
        is_present[self.dry] = False
        owed = even_out(is_present, self.credits).tolist()
        return [
            None if left == UNBOUNDED or waits else left * ONE - debt
            for left, waits, debt in zip(self.left.tolist(), self.waits, owed, strict=True)
        ]

    def _is_dry(self, number: int, room: int | None) -> bool:
        """Whether a stream has been asked for all that it has, and has given it."""
        return is_spent(room) and not self.left[number] and self.terms.shares[number] > 0 and number not in self.dry
