"""Trace: from a global batch to the documents in it, and from a document to every position of the run that holds it.

Always holds: nothing is written; what is traced is what a reader of the run sees, and what lies past the ledger's end is
planned in memory and marked "forecast"; a batch that is skipped is traced all the same, marked "skipped". A fork's batches
before its first step are traced in its parent.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

import msgspec
import numpy as np

from mixer.errors import RunEnded, RunError, StepError, WaitError
from mixer.journal.journal import Forecast
from mixer.ledger.ancestry import Ancestry
from mixer.ledger.ledger import Ledger, widen
from mixer.order.ranges import Ranges
from mixer.planning.planner import Planner, Slots
from mixer.planning.states import States
from mixer.planning.tables import BoundParts, Tables
from mixer.reading.positions import Positions
from mixer.reading.redactions import BatchRedactions
from mixer.reading.turns import Row, Turn, turns_of
from streamer.catalog import redaction
from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo
from streamer.catalog.sidecar import Span, find_spans, spans_of
from streamer.reading.reader import Reader
from streamer.reading.texts import Texts
from streamer.store.store import MemoryStore, Store

MOST_AHEAD = 1 << 20  # batches past the ledger's end that are forecast


class PlacedRow(msgspec.Struct, frozen=True, kw_only=True):
    """Where one row of a global batch comes from. `source`: ledger, forecast or skipped."""

    step: int
    slot: int
    stream: str
    part: int
    row: int
    pass_index: int
    source: str


class TracedRow(PlacedRow, frozen=True, kw_only=True):
    """A row with what is in it. `documents`: None where the part has no sidecar; `redacted`: how many were taken out of it.

    On request `text`, or `tokens` where the catalog has no tokenizer for it.
    """

    documents: list[Span] | None
    redacted: int = 0
    text: str | None = None
    tokens: list[int] | None = None


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens [start, end) of a slot hold a document, or what of it stands in this row. `source` as in a row."""

    step: int
    slot: int
    start: int
    end: int
    pass_index: int
    stream: str
    part: int
    row: int
    document: str | None
    repository: str | None
    path: str | None
    source: str


class Overlay(MemoryStore):
    """A store over another one that is only read: what is put stays in this process."""

    def __init__(self, below: Store) -> None:
        super().__init__(below.url)
        self._below = below

    def get(self, key: str) -> bytes | None:
        found = super().get(key)
        return self._below.get(key) if found is None else found


class Trace:
    """Traces one run, at most `most_ahead` batches past its ledger's end. Raises: RunError for an unknown run."""

    def __init__(self, root: "str | Path | Store | Catalog", run: str, *, most_ahead: int = MOST_AHEAD) -> None:
        self._most_ahead = most_ahead
        self.catalog = root if isinstance(root, Catalog) else Catalog(root)
        self.run = run
        self._journal = Forecast(self.catalog, run)
        self._reader, self._bound = Reader(self.catalog.store), BoundParts(self.catalog, run)
        self._redactions = BatchRedactions(self.catalog, self._journal)
        self._planner: Planner | None = None
        self._texts = Texts(self.catalog)
        self._searched: dict[tuple[str, ...], list[Span] | None] = {}  # by folder, part, column and value
        self._line: Ancestry[Trace] = Ancestry(self, lambda parent: Trace(self.catalog, parent))

    @property
    def ledger(self) -> Ledger:
        """The run's ledger, with what is forecast so far."""
        return self._journal.ledger

    def batch(self, step: int, rank: int = 0, world_size: int = 1, *, text: bool = False) -> list[TracedRow]:
        """The rows of a global batch, or those of one rank. Raises: StepError, RunEnded, WaitError, RunError, PartError."""
        if 0 <= step < self.ledger.begin:
            return self._line.owner(step).batch(step, rank, world_size, text=text)
        return self.catalog.follow(self.ledger.streams, lambda: self._batch(step, rank, world_size, text))

    def _batch(self, step: int, rank: int, world_size: int, text: bool) -> list[TracedRow]:
        size = self.ledger.settings.global_batch
        if world_size < 1 or size % world_size or not 0 <= rank < world_size:
            raise RunError(
                f"run {self.run}: rank {rank} of world size {world_size} does not fit a global batch of {size}; use a world "
                "size that divides it and a rank below it"
            )
        slots, placed = self._place(step, range(*(size * r // world_size for r in (rank, rank + 1))))
        rows = [Row(stream, row.part, row.row) for stream, row in zip(slots.stream[0].tolist(), placed, strict=True)]
        spans, traced = self._spans(rows), []
        for number, (row, place) in enumerate(zip(rows, placed, strict=True)):
            ids = said = None
            if text:
                table = self._tables(row.stream)
                part, shard = table.shard(int(slots.rows.shard[0, number]))
                tokens = self._reader.rows(part, shard, table.schema)[slots.rows.first[0, number]][None].copy()
                if (redacted := self._redactions.at(step).get(row.stream)) is not None:
                    redacted.blank(tokens, np.array([row.part]), np.array([row.row]))
                ids = tokens[0].tolist()
                said = self._texts.decode(table.schema.tokenizer, ids)
            known, own = msgspec.structs.asdict(place), spans[row] or []
            left = [span for span in own if not self.is_redacted(step, row, span)]
            documents = None if spans[row] is None else left
            plain = ids if said is None else None
            traced.append(TracedRow(**known, documents=documents, redacted=len(own) - len(left), text=said, tokens=plain))
        return traced

    def places(self, step: int, slots: range) -> list[PlacedRow]:
        """Where the rows in some slots of a global batch come from. Raises: as `batch`."""
        if 0 <= step < self.ledger.begin:
            return self._line.owner(step).places(step, slots)
        return self._place(step, slots)[1]

    def _place(self, step: int, wanted: range) -> tuple[Slots, list[PlacedRow]]:
        self._journal.refresh()
        self._check_ahead(step)
        self._journal.ensure(step, to=step)
        planner = self._plan()[0]
        slots, _ = planner.plan(planner.state(step), 1, slice(wanted.start, wanted.stop))
        columns = (slots.stream, slots.rows.part, slots.rows.part_row, slots.passes)
        placed = [
            PlacedRow(
                step=step,
                slot=slot,
                stream=planner.ledger.streams[stream],
                part=part,
                row=row,
                pass_index=passes,
                source=self._source(step),
            )
            for slot, stream, part, row, passes in zip(wanted, *(column[0].tolist() for column in columns), strict=True)
        ]
        return slots, placed

    def document(self, document: str, *, to_step: int | None = None) -> list[Position]:
        """Every position before `to_step` (default: the ledger's end) that holds a document, by its id or path, in order.

        From the batch on that its redaction counts from, there are none.

        A run that ends or waits before `to_step` has no positions after that. Raises: StepError for a step below 0, RunError
        for a document that no sidecar of the run's parts names.
        """
        end = self._reach(to_step)
        spans = self.catalog.follow(self.ledger.streams, lambda: self._find(document))
        found = [
            Position(
                step=step,
                slot=slot,
                start=span.start,
                end=span.end,
                pass_index=turn.pass_index,
                stream=self.ledger.streams[turn.row.stream],
                part=turn.row.part,
                row=turn.row.row,
                document=span.document,
                repository=span.repository,
                path=span.path,
                source=self._source(step),
            )
            for turn, step, slot in self.find(spans, end)
            for span in spans[turn.row]
            if not self.is_redacted(step, turn.row, span)
        ]
        return sorted(found, key=lambda position: (position.step, position.slot, position.start))

    def find(self, rows: Iterable[Row], end: int) -> Iterator[tuple[Turn, int, int]]:
        """The turns of rows with their steps and slots, in the batches before `end`, which the ledger covers."""
        rows = list(rows)
        for span in self._line:
            if end > span.start:
                yield from span.of.find_own([row for row in rows if span.of.has(row)], min(end, span.end))
            rows = [row for row in rows if row.stream < len(span.of.ledger.drawn_before)]

    def find_own(self, rows: list[Row], end: int) -> Iterator[tuple[Turn, int, int]]:
        """As `find`, in the batches of the run's own log."""
        planner, tables = self._plan()
        drawn = widen(planner.state(end).drawn, len(planner.ledger.streams))
        turns = (turns_of(planner.ledger, tables(row.stream), row, int(drawn[row.stream])) for row in rows)
        yield from Positions(planner, end).find(chain.from_iterable(turns))

    def is_redacted(self, step: int, row: Row, span: Span) -> bool:
        """Whether all tokens of a span of a row are redacted in a batch."""
        found = self._line.owner(step)._redactions.at(step).get(row.stream)
        return found is not None and found.covers(row.part, redaction.Span(row.row, span.start, span.end))

    def has(self, row: Row) -> bool:
        """Whether the ledger has taken the row's part in."""
        snapshots = self.ledger.snapshots
        return row.stream < len(snapshots) and row.part < snapshots[row.stream]

    def _reach(self, to_step: int | None) -> int:
        """The step up to which the ledger, with its forecast, goes."""
        if to_step is not None and to_step < 0:
            raise StepError(f"run {self.run}: step {to_step} is below 0; give at least 0")
        self._journal.refresh()
        end = self._journal.written if to_step is None else to_step
        self._check_ahead(end)
        if end > self.ledger.end:
            with suppress(RunEnded, WaitError):
                self._journal.ensure(end - 1, to=end)
        return min(end, self.ledger.end)

    def _check_ahead(self, step: int) -> None:
        """Raises: StepError for a step that is too far past the ledger's end to be forecast."""
        if step > self._journal.written + self._most_ahead:
            raise StepError(
                f"run {self.run}: step {step} is more than {self._most_ahead:,} batches past the ledger's end, "
                f"{self._journal.written}; name one up to there"
            )

    def _plan(self) -> tuple[Planner, Tables]:
        """A planner of the ledger as it is now, whose states stay in memory."""
        ledger = self.ledger
        if self._planner is None or self._planner.ledger is not ledger:
            self._tables = Tables(self.catalog, ledger, self.run)
            states = States(Overlay(self.catalog.store), self.run, ledger, write=True)
            self._planner = Planner(ledger, Ranges(ledger.pool_seed, self._tables), states)
        return self._planner, self._tables

    def _source(self, step: int) -> str:
        if self.ledger.skips.next(step) != step:
            return "skipped"
        return "ledger" if step < self._journal.written else "forecast"

    def _parts(self, stream: int) -> Sequence[PartInfo]:
        """The parts of a stream that the ledger has taken in."""
        ledger = self.ledger
        return self._bound.snapshot(ledger, stream).parts if ledger.snapshots[stream] else ()

    def _spans(self, rows: list[Row]) -> dict[Row, list[Span] | None]:
        by_part: dict[tuple[int, int], list[int]] = defaultdict(list)
        for row in rows:
            by_part[row.stream, row.part].append(row.row)
        parts = {(s, part.number): part for s in {row.stream for row in rows} for part in self._parts(s)}
        found: dict[Row, list[Span] | None] = {}
        for (stream, part), samples in by_part.items():
            spans = spans_of(self.catalog.store, parts[stream, part], samples)
            for sample in samples:
                own = None if spans is None else [span for span in spans if span.sample == sample]
                found[Row(stream, part, sample)] = own
        return found

    def _find(self, document: str) -> dict[Row, list[Span]]:
        """The rows that hold a document of this id, or where there is none of this path."""
        parts = [(stream, part) for stream in range(len(self.ledger.streams)) for part in self._parts(stream)]
        found: dict[Row, list[Span]] = defaultdict(list)
        for column in ("document", "path"):
            for stream, part in parts:
                key = part.folder, part.part_id, column, document
                if key not in self._searched:
                    self._searched[key] = find_spans(self.catalog.store, part, column, document)
                for span in self._searched[key] or []:
                    found[Row(stream, part.number, span.sample)].append(span)
            if found:
                return found
        if not parts:
            raise RunError(
                f"run {self.run} has taken in no parts yet, so it gives no document up to there; name a later step with --to"
            )
        without = sum(part.sidecar is None for _, part in parts)
        silent = f", {without:,} of which do not say what they hold" if without else ""
        raise RunError(
            f"run {self.run}: document {document} is in none of its {len(parts):,} parts{silent}; ids and paths are "
            f"shown by phasemix runs trace {self.run} --batch 0"
        )
