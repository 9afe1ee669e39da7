"""The order inside a stream: draw number to row, pass by pass, while parts join.

Always holds:
- pass j+1 opens only when pass j has ended; in a pass every row that is in it comes exactly once;
- rows that join in a pass leave earlier draws where they were and are spread evenly over what remains of it;
- a row's two draws in consecutive passes are at least a pass less one block apart, when nothing joined between them.

How: a stream's rows are numbered in its log's order, and a join extends that range. A pass goes over its base range
in blocks of the shards in a keyed order, permuted inside a block anew in each pass; a join merges its own range
into what remains by rounding, so that any draw is found without a walk.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixer.permutation import fold, permutation

Ints = npt.NDArray[np.int64]
BLOCK_ROWS = 1 << 14
MAX_JOINS = 32
Layout = Callable[[int, int], tuple[Ints, Ints]]  # rows [low, high) as ranges in keyed order: starts, lengths


class Join(NamedTuple):
    """From `offset` draws into the pass, rows [low, high) are merged into what remains."""

    offset: int
    low: int
    high: int


class Era(NamedTuple):
    """Consecutive passes of one shape: the first opens at draw `start` as pass `pass_index`, over rows [0, base)."""

    start: int
    pass_index: int
    base: int
    joins: tuple[Join, ...]

    @property
    def rows(self) -> int:
        return self.base + sum(join.high - join.low for join in self.joins)


class Timeline:
    """What one stream has held, by draw. `extend` is called in the order of draws."""

    def __init__(self) -> None:
        self.eras: list[Era] = [Era(0, 0, 0, ())]
        self.total = 0

    def extend(self, drawn: int, total: int) -> None:
        """From draw `drawn` on, the stream has rows [0, total)."""
        self._open_passes(drawn)
        era = self.eras[-1]
        waiting, remains = total - era.rows, era.start + era.rows - drawn
        self.total = total
        if waiting and (len(era.joins) < MAX_JOINS or waiting * MAX_JOINS >= remains):
            self.eras[-1] = era._replace(joins=(*era.joins, Join(drawn - era.start, era.rows, total)))

    def _open_passes(self, drawn: int) -> None:
        """Makes the last era the pass in which draw `drawn` falls; its very end still belongs to it."""
        era = self.eras[-1]
        while era.rows and drawn > era.start + era.rows:
            plain = not era.joins and era.rows == self.total
            passes = (drawn - era.start - 1) // era.rows if plain else 1
            era = Era(era.start + passes * era.rows, era.pass_index + passes, self.total, ())
            self.eras.append(era)

    def capacity(self, max_passes: int | None) -> int | None:
        """Draws there are until pass `max_passes` ends; None without a limit."""
        if max_passes is None:
            return None if self.total else 0
        era = self.eras[-1]
        if era.pass_index >= max_passes:
            return era.start
        return era.start + era.rows + (max_passes - era.pass_index - 1) * self.total

    def rows(self, draws: Ints, key: int, layout: Layout) -> Ints:
        """The row of each draw (ascending). Asks `layout` for the keyed order of a range."""
        out = np.empty(len(draws), np.int64)
        eras = [*self.eras]
        if not eras[-1].joins and eras[-1].rows == self.total:
            last = None
        else:  # passes after the last era have another shape than it
            last = Era(eras[-1].start + eras[-1].rows, eras[-1].pass_index + 1, self.total, ())
        if last is not None:
            eras.append(last)
        starts = np.array([era.start for era in eras])
        which = np.searchsorted(starts, draws, side="right") - 1
        for number in np.unique(which).tolist():
            era, here = eras[number], which == number
            in_era = draws[here] - era.start
            passes = in_era // max(era.rows, 1)
            found = np.empty(len(in_era), np.int64)
            for index in np.unique(passes).tolist():
                chosen = passes == index
                pass_key = fold(key, era.pass_index + index)
                found[chosen] = rows_in_pass(era, in_era[chosen] - index * era.rows, pass_key, layout)
            out[here] = found
        return out

    def pass_index(self, draw: int) -> int:
        """The pass, from 0, in which a draw falls."""
        era = next(era for era in reversed(self.eras) if era.start <= draw)
        return era.pass_index + (draw - era.start) // max(era.rows, 1)


def rows_in_pass(era: Era, offsets: Ints, key: int, layout: Layout) -> Ints:
    """Rows at offsets of one pass: undoes the joins from the last to the first, then looks into the blocks."""
    out = np.full(len(offsets), -1, np.int64)
    place, offsets, length = np.arange(len(offsets)), offsets.copy(), era.rows
    for join in reversed(era.joins):
        added = join.high - join.low
        length -= added
        left = length - join.offset
        later = offsets >= join.offset
        after = offsets - join.offset
        before = merged(after, added, left + added)
        is_new = later & (merged(after + 1, added, left + added) > before)
        out[place[is_new]] = rows_in_range(join.low, join.high, before[is_new], key, layout)
        offsets = np.where(later, offsets - before, offsets)[~is_new]
        place = place[~is_new]
    out[place] = rows_in_range(0, era.base, offsets, key, layout)
    return out


def merged(count: Ints, added: int, total: int) -> Ints:
    """How many of the first `count` draws after a join are of the added rows: the share, rounded."""
    return (2 * count * added + total) // (2 * total)


def rows_in_range(low: int, high: int, offsets: Ints, key: int, layout: Layout) -> Ints:
    """Rows of [low, high) at offsets of its keyed order: at least two blocks, permuted inside."""
    size = high - low
    if not len(offsets):
        return offsets
    blocks = max(2, -(-size // BLOCK_ROWS))
    block = (offsets * blocks + blocks - 1) // size
    first = block * size // blocks
    out = np.empty(len(offsets), np.int64)
    for number in np.unique(block).tolist():
        chosen = block == number
        start, end = number * size // blocks, (number + 1) * size // blocks
        out[chosen] = start + permutation(fold(key, low, number), end - start)[offsets[chosen] - first[chosen]]
    starts, lengths = layout(low, high)
    ends = np.cumsum(lengths)
    piece = np.searchsorted(ends, out, side="right")
    return starts[piece] + out - (ends[piece] - lengths[piece])
