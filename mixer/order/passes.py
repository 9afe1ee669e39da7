"""The passes of a stream: which rows a pass goes over, and how rows that join in a pass are spread over its rest.

Always holds:
- pass j+1 opens only when pass j has ended; in a pass every row that is in it comes exactly once;
- rows that join in a pass leave earlier draws where they were and are spread evenly over what remains of it.

How: a stream's rows are numbered in its log's order, and a join extends that range. A pass has a base range and a range
for each join; a join is merged into what remains by rounding, so that any draw is found without a walk.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mixer.order.permutation import Ints

MAX_JOINS = 32


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
    joins: tuple[Join, ...] = ()

    @property
    def rows(self) -> int:
        return self.base + sum(join.high - join.low for join in self.joins)

    @property
    def end(self) -> int:
        """The draw at which its first pass ends."""
        return self.start + self.rows


class Timeline:
    """What one stream has held, by draw. `extend` is called in the order of draws."""

    def __init__(self, eras: Sequence[Era] = (Era(0, 0, 0),), total: int = 0) -> None:
        self.eras, self.total = list(eras), total

    def copy(self) -> "Timeline":
        return Timeline(self.eras, self.total)

    def extend(self, drawn: int, total: int) -> None:
        """From draw `drawn` on, the stream has rows [0, total)."""
        self._open_passes(drawn)
        era = self.eras[-1]
        waiting, remains = total - era.rows, era.end - drawn
        self.total = total
        if drawn == era.start:
            self.eras[-1] = era._replace(base=total, joins=())
        elif waiting and (len(era.joins) < MAX_JOINS or waiting * MAX_JOINS >= remains):
            self.eras[-1] = era._replace(joins=(*era.joins, Join(drawn - era.start, era.rows, total)))

    def merge(self, drawn: int) -> None:
        """Rows that wait are merged into what remains of the pass in which draw `drawn` falls, however little it is."""
        self._open_passes(drawn)
        era = self.eras[-1]
        if era.rows < self.total:
            self.eras[-1] = era._replace(joins=(*era.joins, Join(drawn - era.start, era.rows, self.total)))

    def leaves_waiting(self, drawn: int, max_passes: int | None) -> bool:
        """Whether draws before `drawn` go past the last pass that may be, while rows wait that are not in it."""
        era = self.eras[-1]
        return max_passes == era.pass_index + 1 and era.rows < self.total and drawn > era.end

    def _open_passes(self, drawn: int) -> None:
        """Makes the last era the pass in which draw `drawn` falls; its very end still belongs to it."""
        era = self.eras[-1]
        while era.rows and drawn > era.end:
            passes = (drawn - era.start - 1) // era.rows if self._plain(era) else 1
            era = Era(era.start + passes * era.rows, era.pass_index + passes, self.total)
            self.eras.append(era)

    def _plain(self, era: Era) -> bool:
        """Whether the passes after an era have its shape."""
        return not era.joins and era.rows == self.total

    def capacity(self, max_passes: int | None) -> int | None:
        """Draws there are until pass `max_passes` ends, with the rows that wait; None without a limit."""
        if max_passes is None:
            return None if self.total else 0
        era = self.eras[-1]
        if era.pass_index >= max_passes:
            return era.start
        later = max_passes - era.pass_index - 1
        return era.end + later * self.total if later else era.start + self.total

    def between(self, low: int, high: int) -> list[tuple[Era, int, int]]:
        """The eras of draws [low, high), each with the draws of it that are among them."""
        last = self.eras[-1]
        eras = self.eras if self._plain(last) else [*self.eras, Era(last.end, last.pass_index + 1, self.total)]
        first = bisect_right(eras, low, key=lambda era: era.start) - 1
        found: list[tuple[Era, int, int]] = []
        for era, following in zip(eras[first:], [*eras[first + 1 :], None], strict=False):
            if era.start >= high:
                break
            end = high if following is None else min(high, following.start)
            if end > max(low, era.start):
                found.append((era, max(low, era.start), end))
        return found

    def pass_index(self, draw: int) -> int:
        """The pass, from 0, in which a draw falls."""
        ((era, _, _),) = self.between(draw, draw + 1)
        return era.pass_index + (draw - era.start) // max(era.rows, 1)


def unmerge(era: Era, offsets: Ints) -> tuple[Ints, Ints]:
    """The range of each offset of a pass (0: its base, n: its nth join) and the offset in that range."""
    ranges, found = np.zeros(len(offsets), np.int64), offsets.copy()
    place, length = np.arange(len(offsets)), era.rows
    for number, join in reversed(list(enumerate(era.joins, 1))):
        added = join.high - join.low
        length -= added
        inside = found[place]
        left, after = length - join.offset, inside - join.offset
        later = after >= 0
        before = np.where(later, merged(after, added, left + added), 0)
        is_new = later & (merged(after + 1, added, left + added) > before)
        ranges[place[is_new]], found[place[is_new]] = number, before[is_new]
        place, inside = place[~is_new], (inside - before)[~is_new]
        found[place] = inside
    return ranges, found


def remerge(era: Era, number: int, offset: int) -> int:
    """The offset in the pass at which a range's draw `offset` comes: what `unmerge` undoes, for one."""
    length, low = era.base, number - 1
    if number:
        length = era.base + sum(join.high - join.low for join in era.joins[:low])
        join = era.joins[low]
        added, total = join.high - join.low, length - join.offset + join.high - join.low
        offset = join.offset + first_merged(offset + 1, added, total) - 1
        length += added
    for join in era.joins[number:]:
        added = join.high - join.low
        if offset >= join.offset:
            offset = join.offset + first_merged(offset - join.offset + 1, added, length - join.offset + added, old=True) - 1
        length += added
    return offset


def merged(count: Ints, added: int, total: int) -> Ints:
    """How many of the first `count` draws after a join are of the added rows: the share, rounded."""
    return (2 * count * added + total) // (2 * total)


def first_merged(wanted: int, added: int, total: int, *, old: bool = False) -> int:
    """The fewest draws after a join among which `wanted` are of the added rows, or of the old ones."""
    low, high = 0, total
    while low < high:
        middle = (low + high) // 2
        new = (2 * middle * added + total) // (2 * total)
        low, high = (low, middle) if (middle - new if old else new) >= wanted else (middle + 1, high)
    return low
