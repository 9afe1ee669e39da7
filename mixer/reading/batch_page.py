"""What people see of a global batch: some of its rows, with the text and the scores of the documents in them.

Always holds: the rows are those that a reader of the run gets (trace.py); nothing is written.
"""

import threading
from collections import defaultdict

import msgspec

from mixer.errors import RunError
from mixer.reading.trace import PlacedRow, Trace
from streamer.catalog.catalog import Catalog
from streamer.reading.looking.passages import Passage, Passages, Place

MOST_AHEAD = 1 << 12  # batches past the ledger's end that a request may have planned


class BatchRow(PlacedRow, frozen=True, kw_only=True):
    """A row with the documents in it."""

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
        self._trace, self._passages = Trace(catalog, run, most_ahead=MOST_AHEAD), Passages(catalog)
        self._lock = threading.Lock()

    def page(self, step: int, first: int, count: int) -> BatchPage:
        """`count` rows of a batch from slot `first` on. Raises: as `Trace.batch`; RunError for a slot that there is not."""
        with self._lock:
            size = self._trace.ledger.settings.global_batch
            if first >= size:
                raise RunError(
                    f"run {self._trace.run}: a global batch has slots 0 to {size - 1}, not {first}; ask for one of those"
                )
            rows = self._trace.places(step, range(first, min(first + count, size)))
            found = self._passages_of(rows)
        filled = [
            BatchRow(**msgspec.structs.asdict(row), passages=found[row.stream][Place(row.part, row.row)]) for row in rows
        ]
        return BatchPage(step=step, source=rows[0].source, size=size, rows=filled)

    def _passages_of(self, rows: list[PlacedRow]) -> dict[str, dict[Place, list[Passage]]]:
        places: dict[str, list[Place]] = defaultdict(list)
        for row in rows:
            places[row.stream].append(Place(row.part, row.row))
        return {stream: self._passages.read(stream, own) for stream, own in places.items()}
