"""How far a writer lets the ledger run ahead of what is asked of it.

Always holds: an entry covers what is asked for, in whole segments. It covers more only where whoever reads has gone through
`BATCHES` batches with few entries among them that took `LEAD_S` to go through, the last one not; and then no more than it
goes through in `LEAD_S`. A switch takes effect behind the segment at hand, or `LEAD_S` later.

A step of training takes longer than that, so that its ledger grows by one segment at a time. A loop that only reads goes
through a segment in less time than an entry takes to become durable. Deciding only; docs/decisions.md has the figures.
"""

LEAD_S = 0.05
BATCHES = 2048
SLOW_COST = 4  # a slow entry counts against so many fast ones: other work on the machine may delay a reader now and then


class Lead:
    """Chooses the batches of the next entry. `most`: of them, whatever is asked for."""

    def __init__(self, segment_batches: int, most: int) -> None:
        self._segment_batches, self._most = segment_batches, max(segment_batches, most)
        self._start = self._end = -1  # of the last entry
        self._wrote_s, self._batches = 0.0, 0

    def wrote(self, now_s: float, start: int, end: int) -> None:
        """An entry has just been written that covers batches [start, end)."""
        self._wrote_s, self._start, self._end = now_s, start, end

    def choose(self, now_s: float, start: int, asked: int) -> int:
        """How many batches an entry that begins at `start` covers, of which `asked` are asked for now."""
        length, gone_s, wanted = self._end - self._start, now_s - self._wrote_s, asked
        if start != self._end:
            self._batches = 0
        elif gone_s >= LEAD_S:
            self._batches = max(0, self._batches - SLOW_COST * length)
        else:
            self._batches = min(2 * BATCHES, self._batches + length)
        if self._batches >= BATCHES and gone_s < LEAD_S:
            rounded = min(2 * length, int(length * LEAD_S / max(gone_s, 1e-6))) // self._segment_batches
            wanted = max(asked, rounded * self._segment_batches)
        return min(-(-wanted // self._segment_batches) * self._segment_batches, self._most)
