"""What the streams of a run were to give and gave, in batches that were handed out.

Always holds: nothing is written; a fork's first batches are counted in its parent.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from mixer.journal.journal import Journal, line_of
from mixer.ledger.ledger import Ledger, Segment, widen
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
    line = line_of(catalog, name)
    end = line.newest.ledger.end
    step = end if upto_step is None else min(upto_step, end)
    targets, realised = defaultdict[str, float](float), defaultdict[str, int](int)
    for span in line.oldest_first():
        for start, end in line.newest.ledger.skips.handed_out(span.start, min(span.end, step)):
            first, last = Came.to(span.of, start), Came.to(span.of, end)
            for index, stream in enumerate(span.of.ledger.streams):
                targets[stream] += (last.asked[index] - first.asked[index]) / ONE
                realised[stream] += last.drawn[index] - first.drawn[index]
    owner = line.owner(step)
    drawn = Came.to(owner, step).drawn
    return [
        StreamUse(
            stream=stream,
            target_samples=targets[stream],
            realised_samples=realised[stream],
            drawn_samples=drawn[index],
            passes=drawn[index] / total if total else 0.0,
        )
        for index, (stream, total) in enumerate(zip(owner.ledger.streams, owner.ledger.totals, strict=True))
    ]


def targets_of(catalog: Catalog, name: str) -> list[Target]:
    """What the ledger's segments ask for, in their order, of batches that are handed out."""
    line = line_of(catalog, name)
    return [
        Target(start_step=start, end_step=end, samples=samples_of(span.of.ledger, segment))
        for span in line.oldest_first()
        for segment in span.of.ledger.segments
        for start, end in line.newest.ledger.skips.handed_out(segment.start, min(segment.end, span.end))
    ]


def samples_of(ledger: Ledger, segment: Segment) -> dict[str, float]:
    """The samples of each stream that a batch of a segment is to have on average."""
    asked = segment.shares * ledger.settings.global_batch / ONE
    return dict(zip(ledger.streams, asked.tolist(), strict=False))
