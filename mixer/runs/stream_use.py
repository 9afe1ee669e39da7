"""What the streams of a run were to give and gave, in batches that were handed out.

Always holds: nothing is written; a fork's first batches are counted in its parent.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from mixer.journal.journal import Forecast, Journal
from mixer.ledger.ledger import Segment, widen
from mixer.order.shares import ONE
from streamer.catalog.catalog import Catalog


class StreamUse(msgspec.Struct, frozen=True, kw_only=True):
    """One stream's part in the first steps of a run: samples exact, the target a real number, passes of its lineage.

    Target and realised samples are of batches that were handed out; `drawn_samples` and passes also count those skipped and
    what the lineage drew before.
    """

    stream: str
    target_samples: float
    realised_samples: int
    drawn_samples: int
    passes: float


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A segment's batches [start_step, end_step) and the samples of each stream that one of them is to have on average."""

    start_step: int
    end_step: int
    samples: dict[str, float]


class Came(NamedTuple):
    """By stream, what segments have asked for (in 1/ONE, less what no segment of the run asked for) and what was drawn."""

    asked: Sequence[int]
    drawn: Sequence[int]

    @classmethod
    def to(cls, journal: Journal, step: int) -> "Came":
        """Before a step of the ledger."""
        state, width = journal.state(step), len(journal.ledger.streams)
        owed, drawn = widen(state.credits, width).tolist(), widen(state.drawn, width).tolist()
        return cls([one + other * ONE for one, other in zip(owed, drawn, strict=True)], drawn)


def use_of(catalog: Catalog, name: str, upto_step: int | None = None) -> list[StreamUse]:
    """Target beside realised samples of each stream in the ledger's first `upto_step` batches."""
    journal = Forecast(catalog, name)
    ledger = journal.ledger
    step = ledger.end if upto_step is None else min(upto_step, ledger.end)
    before: list[StreamUse] = []
    if ledger.fork is not None and ledger.parent is not None:
        before = use_of(catalog, ledger.parent.run, min(step, ledger.begin))
        if step < ledger.begin:
            return before
    targets, realised = [0.0] * len(ledger.streams), [0] * len(ledger.streams)
    for index, use in enumerate(before[: len(ledger.drawn_before)]):
        targets[index], realised[index] = use.target_samples, use.realised_samples
    for start, end in ledger.skips.handed_out(ledger.begin, step):
        first, last = Came.to(journal, start), Came.to(journal, end)
        for index in range(len(ledger.streams)):
            targets[index] += (last.asked[index] - first.asked[index]) / ONE
            realised[index] += last.drawn[index] - first.drawn[index]
    drawn = Came.to(journal, step).drawn
    return [
        StreamUse(
            stream=stream,
            target_samples=targets[index],
            realised_samples=realised[index],
            drawn_samples=drawn[index],
            passes=drawn[index] / ledger.totals[index] if ledger.totals[index] else 0.0,
        )
        for index, stream in enumerate(ledger.streams)
    ]


def targets_of(catalog: Catalog, name: str) -> list[Target]:
    """What the ledger's segments ask for, in their order, of batches that are handed out."""
    ledger = Journal(catalog, name).ledger
    global_batch = ledger.settings.global_batch
    before: list[Target] = []
    if ledger.fork is not None and ledger.parent is not None:
        for target in targets_of(catalog, ledger.parent.run):
            if target.start_step < ledger.begin:
                before.append(msgspec.structs.replace(target, end_step=min(target.end_step, ledger.begin)))

    def samples(segment: Segment) -> dict[str, float]:
        drawn = segment.shares * global_batch / ONE if segment.counts is None else segment.counts
        return dict(zip(ledger.streams, (float(count) for count in drawn), strict=False))

    return before + [
        Target(start_step=start, end_step=end, samples=samples(segment))
        for segment in ledger.segments
        for start, end in ledger.skips.handed_out(segment.start, segment.end)
    ]
