"""What people see of a global batch: some of its rows, with the text and the scores of the documents in them.

Always holds: the rows are those that a reader of the run gets (trace.py); nothing is written.
"""

import threading
from collections import defaultdict

import msgspec

from mixer.errors import RunError
from mixer.reading.trace import Trace, TracedRow
from streamer.catalog.catalog import Catalog
from streamer.reading.passages import Passage, Passages, Place


class BatchRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row: its slot in the batch, where it comes from, which pass over the stream it is, and what is in it."""

    slot: int
    stream: str
    part: int
    row: int
    pass_index: int
    passages: list[Passage]


class BatchPage(msgspec.Struct, frozen=True, kw_only=True):
    """`rows` of the `size` rows of a batch. `source`: ledger, forecast or skipped."""

    step: int
    source: str
    size: int
    rows: list[BatchRow]


class BatchPages:
    """The batches of one run. Threads may share it."""

    def __init__(self, catalog: Catalog, run: str) -> None:
        self._trace, self._passages = Trace(catalog, run), Passages(catalog)
        self._lock = threading.Lock()

    def page(self, step: int, first: int, count: int) -> BatchPage:
        """`count` rows of a batch from slot `first` on. Raises: as `Trace.batch`; RunError for a slot that there is not."""
        with self._lock:
            size = self._trace.ledger.settings.global_batch
            if first >= size:
                raise RunError(
                    f"run {self._trace.run}: a global batch has slots 0 to {size - 1}, not {first}; ask for one of those"
                )
            rows = self._trace.slots(step, range(first, min(first + count, size)))
            found = self._passages_of(rows)
        return BatchPage(
            step=step,
            source=rows[0].source,
            size=size,
            rows=[
                BatchRow(
                    slot=row.slot,
                    stream=row.stream,
                    part=row.part,
                    row=row.row,
                    pass_index=row.pass_index,
                    passages=found[row.stream][Place(row.part, row.row)],
                )
                for row in rows
            ],
        )

    def _passages_of(self, rows: list[TracedRow]) -> dict[str, dict[Place, list[Passage]]]:
        places: dict[str, list[Place]] = defaultdict(list)
        for row in rows:
            places[row.stream].append(Place(row.part, row.row))
        return {stream: self._passages.read(stream, own) for stream, own in places.items()}
