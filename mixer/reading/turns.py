"""The turns of a row: when each pass comes to it. The order of a stream, inverted.

Always holds: a row has one turn in every pass that goes over it, and that turn is the draw at which the planner gives
the row.

How: pass -> range that holds the row -> place in the range's keyed order -> lane and block -> offset, by the inverse of
the block's permutation -> draw of the stream. Which draw an offset of a lane is depends on the batches before it, so
there a turn is only known as lane and offset, and a state says whether it has been.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mixer.ledger.ledger import Ledger, widen
from mixer.order.blocks import has_lanes, offsets_of
from mixer.order.passes import Era, remerge
from mixer.order.ranges import StreamShards, range_key
from mixer.planning.states import State

PASSES_AT_ONCE = 1 << 10


class Row(NamedTuple):
    """A row: stream by index, its part by entry number, row in the part."""

    stream: int
    part: int
    row: int


class Turn(NamedTuple):
    """A row in one pass, from 0, whose draws of the stream are [opens, ends).

    `draw` of the stream; None where the row is offset `offset` of lane `lane` of the range from row `low` on.
    """

    row: Row
    pass_index: int
    opens: int
    ends: int
    draw: int | None
    low: int
    lane: int
    offset: int

    def is_before(self, state: State) -> bool:
        """Whether it is among the draws before a state."""
        stream = self.row.stream
        drawn = int(state.drawn[stream]) if stream < len(state.drawn) else 0
        if self.draw is not None:
            return drawn > self.draw
        if not self.opens < drawn < self.ends:
            return drawn >= self.ends
        pass_index, given = state.lanes.get((stream, self.low), (-1, np.zeros(0, np.int64)))
        return pass_index == self.pass_index and int(given[self.lane]) > self.offset


def turns_of(ledger: Ledger, table: StreamShards, row: Row, drawn: int) -> Iterator[Turn]:
    """The turns of a row in the passes of a run that open before draw `drawn` of its stream, in their order.

    `table`: the stream's shards, as of a snapshot that holds the row. The first turn may be one of the run's lineage.
    """
    number = table.number_of(row.part, row.row)
    before = int(widen(ledger.drawn_before, len(ledger.streams))[row.stream])
    for era, first_draw, last in ledger.timelines[row.stream].between(before, drawn):
        for join, (low, high) in enumerate([(0, era.base), *((join.low, join.high) for join in era.joins)]):
            if low <= number < high:
                passes = -(-(last - era.start) // era.rows)
                place = table.place_of(low, high, number)
                for first in range((first_draw - era.start) // era.rows, passes, PASSES_AT_ONCE):
                    stretch = range(first, min(passes, first + PASSES_AT_ONCE))
                    yield from turns_in(ledger, row, era, join, (low, high), place, stretch)


def turns_in(
    ledger: Ledger, row: Row, era: Era, join: int, low_high: tuple[int, int], place: int, passes: range
) -> Iterator[Turn]:
    """The turns in some passes of an era, for a row at a place of the range that its join `join` brought (0: the base)."""
    settings, (low, high) = ledger.settings, low_high
    index = np.arange(passes.start, passes.stop) + era.pass_index
    sizes, places = np.full_like(index, high - low), np.full_like(index, place)
    keys = np.full(len(index), range_key(ledger.pool_seed, row.stream, low), np.uint64)
    lanes, offsets = offsets_of(sizes, keys, index, places, settings.canonical_nodes)
    laned = bool(has_lanes(sizes[:1], settings.canonical_nodes)[0])
    for pass_index, lane, offset in zip(index.tolist(), lanes.tolist(), offsets.tolist(), strict=True):
        opens = era.start + (pass_index - era.pass_index) * era.rows
        draw = None if laned else opens + remerge(era, join, offset)
        yield Turn(row, pass_index, opens, opens + era.rows, draw, low, lane, offset)
