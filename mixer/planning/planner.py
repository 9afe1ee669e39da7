"""Which row stands in every slot of a run's batches: a pure function of ledger and catalog.

Always holds: whatever state it starts from and however many batches it plans at once, a batch comes out the same; a row
of a pass is drawn once in it; a row's two draws in consecutive passes are at least a pass less a few blocks apart, when
nothing joined between them.

How: counts, then slots, then passes, ranges and lanes, then a keyed permutation inside a block of a lane, then the
shard. Blocks are gone through in one order; a stretch of batches is planned at once, with arrays over all its slots.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mixer.ledger.ledger import Ledger, widen
from mixer.order.blocks import has_lanes, places_of
from mixer.order.lanes import bounds, take
from mixer.order.passes import unmerge
from mixer.order.permutation import Ints, Tables
from mixer.order.ranges import Pieces, Ranges, StreamShards
from mixer.order.slots import arrange, count_draws, settle, stream_hashes
from mixer.planning.states import State, States
from streamer.catalog.catalog import Catalog

INTERVAL, LANED_INTERVAL = 512, 256  # batches between the states that are kept
PLANNED_AT_ONCE = 1 << 15  # slots
MAX_RANGES = 1 << 13  # then those of ended passes are forgotten


class Slots(NamedTuple):
    """Slots of consecutive batches, two-dimensional (batches, slots): stream index, place of its row, pass from 0."""

    stream: Ints
    rows: Pieces
    passes: Ints


class Drawn(NamedTuple):
    """Draws, flat in the order of batches and slots: range, pass, lane and offset in it. Without lanes lane is 0."""

    ranges: Ints
    passes: Ints
    lanes: Ints
    offsets: Ints


class Planner:
    """Plans one run. `states` finds and keeps states; `ranges` may lack its tables where only states are asked for."""

    def __init__(self, ledger: Ledger, ranges: Ranges, states: States) -> None:
        self.ledger, self._ranges, self._states = ledger, ranges, states
        self._seed, self._nodes = ledger.settings.seed, ledger.settings.canonical_nodes
        self._size = ledger.settings.global_batch
        self._small = Tables()
        self.interval = INTERVAL if self._nodes == 1 else LANED_INTERVAL
        self._kept = State.first(ledger)

    def state(self, step: int) -> State:
        """The state before a batch of the ledger, or at its end: replays at most one interval where states are kept."""
        state = self._kept
        if not step - self.interval < state.step <= step:
            state = self._states.nearest(step // self.interval, self.interval) or State.first(self.ledger)
            if self._kept.step <= step and state.step < self._kept.step:
                state = self._kept
        while state.step < step:
            mark = (state.step // self.interval + 1) * self.interval
            state = self.advance(state, min(step, mark))
            if state.step == mark:
                self._states.keep(state)
        self._kept = state
        return state

    def advance(self, state: State, step: int) -> State:
        """The state at a later step, nothing located."""
        while state.step < step:
            batches = min(step - state.step, max(1, PLANNED_AT_ONCE // self._size))
            state, *_ = self._draw(state, batches, slots=self._nodes > 1)
        return state

    def plan(self, state: State, batches: int, part: slice = slice(None), *, beyond: bool = False) -> tuple[Slots, State]:
        """The slots `part` of up to `batches` batches of one segment from a state on, and the state after them.

        `beyond`: as if the ledger's last segment went on for as long as nothing that the ledger knows ends it.
        """
        after, streams, drawn = self._draw(state, batches, slots=True, beyond=beyond)
        assert streams is not None
        assert drawn is not None
        shape = streams[:, part].shape
        own = Drawn(*(column.reshape(streams.shape)[:, part].ravel() for column in drawn))
        rows = self._ranges.locate(own.ranges, self._places(own))
        slots = Pieces(*(column.reshape(shape) for column in rows))
        return Slots(streams[:, part], slots, own.passes.reshape(shape)), after

    def _draw(
        self, state: State, batches: int, *, slots: bool, beyond: bool = False
    ) -> tuple[State, Ints | None, Drawn | None]:
        counts, before, after = self.count(state, batches, beyond=beyond)
        if not slots:
            return after, None, None
        streams, draws = arrange(stream_hashes(self._seed, len(before.drawn)), before.drawn, counts)
        ranges, passes, offsets = self._split(streams.ravel(), draws.ravel(), before.drawn, after.drawn)
        lanes = np.zeros_like(offsets)
        if self._nodes > 1:
            after = self._take_lanes(after, streams.shape, ranges, passes, lanes, offsets)
        return after, streams, Drawn(ranges, passes, lanes, offsets)

    def count(self, state: State, batches: int, *, beyond: bool = False) -> tuple[Ints, State, State]:
        """Draws of each stream in each of up to `batches` batches of one segment from a state on: (batches, streams).

        With it the states before and after them, as wide as there are streams; what lanes give is not counted.
        `beyond`: as `plan` has it.
        """
        segment, width = self.ledger.segment_at(state.step), len(self.ledger.streams)
        shares = widen(segment.shares, width)
        before = State(state.step, widen(state.credits, width), widen(state.drawn, width), state.lanes)
        if segment.counts is not None:
            counts = widen(segment.counts, width)[None]
        else:
            end = self.ledger.reach(segment) if beyond else segment.end
            counts = count_draws(shares, before.credits, self._size, min(batches, end - state.step))
        credits, drawn = settle(shares, before.credits, counts), before.drawn + counts.sum(0)
        return counts, before, State(state.step + len(counts), credits, drawn, state.lanes)

    def _split(self, streams: Ints, draws: Ints, low: Ints, high: Ints) -> tuple[Ints, Ints, Ints]:
        """Range, pass and offset in the range of each draw. Stream k has draws [low[k], high[k])."""
        if len(self._ranges) > MAX_RANGES:
            self._ranges.forget()
        start, first_pass, size, number = np.zeros((4, len(low)), np.int64)
        size += 1
        special = []
        for stream in np.flatnonzero(high - low).tolist():
            found = self.ledger.timelines[stream].between(int(low[stream]), int(high[stream]))
            era = found[0][0]
            if len(found) == 1 and not era.joins:
                start[stream], first_pass[stream], size[stream] = era.start, era.pass_index, era.base
                number[stream] = self._ranges.number(stream, 0, era.base)
            else:
                special.append((stream, found))
        offsets = draws - start[streams]
        sizes = size[streams]
        passes = offsets // sizes
        offsets -= passes * sizes
        passes += first_pass[streams]
        ranges = number[streams]
        if special:
            order = np.argsort(streams.astype(np.uint16), kind="stable")
            ends = np.cumsum(np.bincount(streams, minlength=len(low)))
            for stream, found in special:
                here = order[ends[stream] - int(high[stream] - low[stream]) : ends[stream]]
                for era, first, last in found:
                    inside = here[(draws[here] >= first) & (draws[here] < last)]
                    index = (draws[inside] - era.start) // era.rows
                    passes[inside] = era.pass_index + index
                    which, offsets[inside] = unmerge(era, draws[inside] - era.start - index * era.rows)
                    lows_highs = [(0, era.base), *((join.low, join.high) for join in era.joins)]
                    numbers = [self._ranges.number(stream, *low_high) for low_high in lows_highs]
                    ranges[inside] = np.array(numbers)[which]
        self._ranges.complete()
        return ranges, passes, offsets

    def _take_lanes(
        self, state: State, shape: tuple[int, ...], ranges: Ints, passes: Ints, lanes: Ints, offsets: Ints
    ) -> State:
        """Fills in lanes and indices of the draws of ranges that have lanes; the state with what they gave."""
        draws = np.flatnonzero(has_lanes(self._ranges.size, self._nodes)[ranges])
        if not len(draws):
            return state
        each, which = np.unique(passes[draws] << 32 | ranges[draws], return_inverse=True)
        opened, numbers = each >> 32, each & 0xFFFFFFFF
        sizes = np.stack([np.diff(bounds(int(self._ranges.size[number]), self._nodes)) for number in numbers])
        keys = list(zip(self._ranges.stream[numbers].tolist(), self._ranges.low[numbers].tolist(), strict=True))
        used = np.zeros_like(sizes)
        for row, (key, index) in enumerate(zip(keys, opened.tolist(), strict=True)):
            if key in state.lanes and state.lanes[key][0] == index:
                used[row] = state.lanes[key][1]
        nodes = np.tile(np.arange(shape[1]) * self._nodes // shape[1], shape[0])
        lanes[draws], offsets[draws] = take(used, sizes, which, nodes[draws])
        found = dict(state.lanes)
        for row, (key, index) in enumerate(zip(keys, opened.tolist(), strict=True)):  # by pass, ascending
            found[key] = (index, used[row])
        newest: dict[int, int] = {}
        for (stream, _), (index, _) in found.items():
            newest[stream] = max(index, newest.get(stream, 0))
        kept = {key: value for key, value in sorted(found.items()) if value[0] == newest[key[0]]}
        return state._replace(lanes=kept)

    def _places(self, drawn: Drawn) -> Ints:
        """The place of each draw in the keyed order of its range."""
        ranges, kept = drawn.ranges, self._ranges
        return places_of(
            kept.size[ranges], kept.keys[ranges], drawn.passes, drawn.lanes, drawn.offsets, self._nodes, self._small
        )


def make_planner(
    ledger: Ledger, catalog: Catalog, run: str, *, write: bool, tables: Callable[[int], StreamShards] | None = None
) -> Planner:
    """A planner of a run. `write`: whether it keeps states that it had to derive."""
    return Planner(ledger, Ranges(ledger.pool_seed, tables), States(catalog.store, run, ledger, write=write))
