"""How far a run or a lineage has come in its streams, as whoever looks ahead needs it.

Always holds: what is left of a stream is what a segment that was planned now would have of it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mixer.ledger.ledger import Ledger, Parent, widen
from mixer.order.passes import Timeline
from mixer.planning.states import State


class Standing(NamedTuple):
    """One stream: its passes, its draws so far, what it is owed, and what is asked of it before that counts, in 1/ONE."""

    timeline: Timeline
    drawn: int = 0
    owed: int = 0
    asked: int = 0

    def grown(self, samples: int) -> Timeline:
        """Its passes when it has so many samples now."""
        timeline = self.timeline.copy()
        if samples > timeline.total:
            timeline.extend(self.drawn, samples)
        return timeline

    def left(self, samples: int, max_passes: int | None) -> int | None:
        """Draws that are left until its cap when it has so many samples now; None without a limit."""
        capacity = self.grown(samples).capacity(max_passes)
        return None if capacity is None else max(0, capacity - self.drawn)


Standings = Mapping[str, Standing]


def standing_in(standings: Standings, stream: str) -> Standing:
    """That of a stream, which may be new."""
    return standings.get(stream) or Standing(Timeline())


def standings_of(ledger: Ledger, state: State) -> dict[str, Standing]:
    """Of the streams of a run in a state that is one of its ledger's last segment."""
    width = len(ledger.streams)
    rows = zip(ledger.timelines, widen(state.drawn, width).tolist(), widen(state.credits, width).tolist(), strict=True)
    return {name: Standing(*row) for name, row in zip(ledger.streams, rows, strict=True)}


def standings_behind(parent: Parent | None, owed: Sequence[int] = ()) -> dict[str, Standing]:
    """Of the streams of a run that begins where its parent has come to; only a fork is `owed` something."""
    pools = [] if parent is None else parent.pools
    return {
        pool.stream: Standing(Timeline(pool.eras, pool.total), pool.drawn, owed[index] if owed else 0)
        for index, pool in enumerate(pools)
    }
