"""From turns to positions: the batch and the slot at which a run comes to a row.

Always holds: a turn has one position, the one slot of a planned batch that holds its row in its pass, or none before the
end.

How: the interval between two marks by halving over the planner's states; in it the batch, by counting again; that batch
is planned. With lanes the whole interval is planned. Positions of one interval share the work.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np

from mixer.planning.planner import PLANNED_AT_ONCE, Planner, Slots
from mixer.planning.states import State
from mixer.reading.turns import Turn

STATES_HELD = 256


class Positions:
    """Finds positions in the batches before `end`, which the planner's ledger covers."""

    def __init__(self, planner: Planner, end: int) -> None:
        settings = planner.ledger.settings
        self._planner, self._end = planner, end
        self._has_lanes, self._at_once = settings.canonical_nodes > 1, max(1, PLANNED_AT_ONCE // settings.global_batch)
        self._first, self._marks = planner.ledger.begin // planner.interval, -(-end // planner.interval)
        self._state = lru_cache(STATES_HELD)(self._load)

    def find(self, turns: Iterable[Turn]) -> Iterator[tuple[Turn, int, int]]:
        """Each turn that comes in the run before the end, with its step and slot."""
        intervals: dict[int, list[Turn]] = defaultdict(list)
        for turn in turns:
            marks = range(self._first, self._marks + 1)
            after = bisect_left(marks, True, key=lambda mark: turn.is_before(self._state(mark)))
            if 0 < after < len(marks):
                intervals[marks[after - 1]].append(turn)
        for interval, found in sorted(intervals.items()):
            start, end = self._state(interval), min(self._end, (interval + 1) * self._planner.interval)
            yield from self._plan(start, end, found) if self._has_lanes else self._count(start, end, found)

    def _load(self, mark: int) -> State:
        return self._planner.state(min(self._end, max(self._planner.ledger.begin, mark * self._planner.interval)))

    def _count(self, state: State, end: int, turns: list[Turn]) -> Iterator[tuple[Turn, int, int]]:
        """Without lanes: plans only the batches that hold one of the turns, all of which come before `end`."""
        batches: dict[int, list[Turn]] = defaultdict(list)
        counted = state
        while counted.step < end:
            counts, before, counted = self._planner.count(counted, end - counted.step)
            for stream in {turn.row.stream for turn in turns}:
                drawn = before.drawn[stream] + np.cumsum(counts[:, stream])
                for turn in turns:
                    assert turn.draw is not None
                    if turn.row.stream == stream and before.drawn[stream] <= turn.draw < drawn[-1]:
                        batches[before.step + int(np.searchsorted(drawn, turn.draw, side="right"))].append(turn)
        for step, found in sorted(batches.items()):
            state = self._planner.advance(state, step)
            slots, _ = self._planner.plan(state, 1)
            yield from locate(slots, step, found)

    def _plan(self, state: State, end: int, turns: list[Turn]) -> Iterator[tuple[Turn, int, int]]:
        while state.step < end:
            step = state.step
            slots, state = self._planner.plan(state, min(self._at_once, end - step))
            yield from locate(slots, step, turns)


def locate(slots: Slots, step: int, turns: list[Turn]) -> Iterator[tuple[Turn, int, int]]:
    """Those of the turns that stand in planned slots, the first batch of which is `step`."""
    for turn in turns:
        here = (slots.stream == turn.row.stream) & (slots.rows.part == turn.row.part)
        here &= (slots.rows.part_row == turn.row.row) & (slots.passes == turn.pass_index)
        for batch, slot in np.argwhere(here).tolist():
            yield turn, step + batch, slot
