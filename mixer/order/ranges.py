"""Where the rows of a stream lie: its shards in a keyed order, cut into ranges of rows.

Always holds: the keyed order of a range is a pure function of key and rows; growth changes no range that was there.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mixer.order.permutation import Ints, Words, fold, mix
from streamer.catalog.manifest import PartInfo, Shard, Snapshot


class Pieces(NamedTuple):
    """A range in keyed order, a piece a shard: shard, row of the shard and rows; the part's number and row in it."""

    shard: Ints
    first: Ints
    rows: Ints
    part: Ints
    part_row: Ints


class StreamShards:
    """The shards of one snapshot, in the log's order."""

    def __init__(self, snapshot: Snapshot, key: int) -> None:
        self.schema, self._parts = snapshot.schema, snapshot.parts
        numbers, counts, sizes = snapshot.parts.columns()
        self.part = np.repeat(numbers, counts)
        self.ends = np.cumsum(sizes)
        self.starts = self.ends - sizes
        first = np.cumsum(counts) - counts  # shard of each part, and each has at least one
        self.part_rows = self.starts - np.repeat(self.starts[first], counts)
        self.order = np.argsort(mix(np.uint64(key), np.arange(len(sizes))), kind="stable")  # type: ignore[arg-type]

    def shard(self, place: int) -> tuple[PartInfo, Shard]:
        """The shard at a place in the log's order, with its part."""
        return self._parts.shard(place)

    def number_of(self, part: int, row: int) -> int:
        """The row's number in the stream, in the log's order, from its part's number and its row there."""
        return int(self.starts[np.searchsorted(self.part, part)]) + row

    def place_of(self, low: int, high: int, number: int) -> int:
        """The place of row `number` in the keyed order of rows [low, high): what `Ranges.locate` undoes."""
        pieces = self.pieces(low, high)
        first = self.starts[pieces.shard] + pieces.first
        here = int(np.flatnonzero((first <= number) & (number < first + pieces.rows))[0])
        return int(pieces.rows[:here].sum() + number - first[here])

    def pieces(self, low: int, high: int) -> Pieces:
        """Rows [low, high)."""
        order = self.order[(self.ends[self.order] > low) & (self.starts[self.order] < high)]
        first = np.maximum(low - self.starts[order], 0)
        rows = np.minimum(self.ends[order], high) - self.starts[order] - first
        return Pieces(order, first, rows, self.part[order], self.part_rows[order] + first)


class Ranges:
    """Ranges by number, with what places a draw of one. `tables` gives a stream's shards by its index.

    Without tables nothing can be located.
    """

    def __init__(self, seed: int, tables: Callable[[int], StreamShards] | None) -> None:
        self._seed, self._tables = seed, tables
        self.forget()

    def forget(self) -> None:
        """Starts again with none: numbers given before are void."""
        self._numbers: dict[tuple[int, int, int], int] = {}
        self.stream, self.low, self.size = (np.zeros(0, np.int64) for _ in range(3))
        self.keys: Words = np.zeros(0, np.uint64)
        self._ends: Ints = np.zeros(0, np.int64)
        self._starts: Ints = np.zeros(0, np.int64)
        self._pieces = Pieces(*(np.zeros(0, np.int64) for _ in range(5)))
        self._placed = 0  # ranges that have their pieces

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, stream: int, low: int, high: int) -> int:
        """The number of a range; a new one is the next."""
        return self._numbers.setdefault((stream, low, high), len(self._numbers))

    def complete(self) -> None:
        """Makes `stream`, `low`, `size` and `keys` hold every range that has a number."""
        new = list(self._numbers)[len(self.stream) :]
        if new:
            stream, low, high = np.array(new, np.int64).T
            keys = [range_key(self._seed, index, start) for index, start, _ in new]
            self.stream = np.concatenate([self.stream, stream])
            self.low = np.concatenate([self.low, low])
            self.size = np.concatenate([self.size, high - low])
            self.keys = np.concatenate([self.keys, np.array(keys, np.uint64)])

    def locate(self, ranges: Ints, places: Ints) -> Pieces:
        """Shard, row in it, part and row in that of the row at each place of a range's keyed order; `rows` is 1."""
        if self._placed < len(self._numbers):
            assert self._tables is not None
            found = [self._tables(stream).pieces(low, high) for stream, low, high in list(self._numbers)[self._placed :]]
            self._pieces = Pieces(*(np.concatenate(column) for column in zip(self._pieces, *found, strict=True)))
            self._ends = np.cumsum(self._pieces.rows)
            self._starts = np.cumsum(self.size) - self.size
            self._placed = len(self._numbers)
        places = self._starts[ranges] + places
        piece = np.searchsorted(self._ends, places, side="right")
        inside = places - (self._ends[piece] - self._pieces.rows[piece])
        shard, first, _, part, part_row = (column[piece] for column in self._pieces)
        return Pieces(shard, first + inside, np.ones_like(inside), part, part_row + inside)


def range_key(seed: int, stream: int, low: int) -> int:
    """What the permutations of a range are keyed by."""
    return fold(seed, 4, stream, low)
