"""Passages: the documents in some rows of a stream, with their text and their scores, as people look at them.

Always holds: nothing is written; only the shards that hold the rows are opened. A stream of documents has one passage a row;
a row of tokens has one for each document in it, or a single one without a document where its part has no sidecar.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import msgspec

from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo, Shard, Snapshot
from streamer.catalog.redaction import Span
from streamer.catalog.shard_rows import iterate_shard
from streamer.catalog.sidecar import find_spans, read_rows
from streamer.errors import StreamError
from streamer.reading.reader import Reader
from streamer.reading.texts import Texts


class Place(NamedTuple):
    """A row of a part of a stream."""

    part: int
    row: int


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """What a row holds of one document: its tokens [start, end), or the whole of it where the stream has documents.

    `text` is None where the catalog has no tokenizer for the stream, and of a document that is redacted (`is_redacted`);
    what is known of the document is None where the part has no sidecar.
    """

    part: int
    row: int
    start: int | None = None
    end: int | None = None
    document: str | None = None
    repository: str | None = None
    path: str | None = None
    language: str | None = None
    license: str | None = None
    score: float | None = None
    text: str | None = None
    is_redacted: bool = False


MOST_ROWS = 64  # of a document that is shown
ABOUT = ("document", "repository", "path", "language", "license", "score")


class Passages:
    """Reads passages of a catalog's streams. One thread at a time."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog, self._reader, self._texts = catalog, Reader(catalog.store), Texts(catalog)

    def window(self, stream: str, first: int, count: int) -> list[Passage]:
        """The passages of rows [first, first + count), counted over a stream's parts. Raises: StreamError, PartError."""
        snapshot = self._snapshot(stream)
        places = list(places_between(snapshot.parts, first, first + count))
        found = self.read(stream, places)
        return [passage for place in places for passage in found[place]]

    def read(self, stream: str, places: Iterable[Place]) -> dict[Place, list[Passage]]:
        """The passages of each of some rows. Raises: PartError."""
        by_part: dict[int, list[int]] = defaultdict(list)
        for place in places:
            by_part[place.part].append(place.row)
        return self._catalog.follow([stream], lambda: self._read(stream, by_part))

    def document(self, stream: str, part: int, document: str) -> list[Passage]:
        """A document of a part of a stream of tokens, in the rows that have some of it, at most `MOST_ROWS` of them.

        Raises: StreamError where the stream, the part or the document is not there, PartError.
        """
        info = next((one for one in self._snapshot(stream).parts if one.number == part), None)
        find = partial(find_spans, self._catalog.store, column="document", value=document)
        spans = None if info is None else self._catalog.of_part(stream, info, find)
        if not spans:
            raise StreamError(f"stream {stream} has no document {document} in part {part}; reload what named it")
        places = list(dict.fromkeys(Place(part, span.sample) for span in spans))[:MOST_ROWS]
        found = self.read(stream, places)
        return [passage for place in places for passage in found[place] if passage.document == document]

    def _snapshot(self, stream: str) -> Snapshot:
        if stream not in self._catalog.names("streams"):
            raise StreamError(f"stream {stream} does not exist under {self._catalog.store.url}; see phasemix streams list")
        return self._catalog.stream(stream)

    def _read(self, stream: str, by_part: dict[int, list[int]]) -> dict[Place, list[Passage]]:
        snapshot = self._catalog.stream(stream)
        read = self._documents if snapshot.kind == "documents" else self._tokens
        found: dict[Place, list[Passage]] = {}
        for part in snapshot.parts:
            if part.number in by_part:
                found.update(read(snapshot, part, sorted(set(by_part[part.number]))))
        return found

    def _documents(self, snapshot: Snapshot, part: PartInfo, rows: list[int]) -> Iterator[tuple[Place, list[Passage]]]:
        redacted = self._catalog.redacted(snapshot.name)
        for shard, first, inside in shards_of(part, rows):
            for number, row in enumerate(iterate_shard(self._catalog.store, part, shard)):
                if number in inside:
                    place = Place(part.number, first + number)
                    gone = redacted.has(*place)
                    text = None if gone else row["text"]
                    yield place, [Passage(**place._asdict(), **about(row), text=text, is_redacted=gone)]

    def _tokens(self, snapshot: Snapshot, part: PartInfo, rows: list[int]) -> Iterator[tuple[Place, list[Passage]]]:
        table = read_rows(self._catalog.store, part, None, ("sample", "in", rows))
        spans: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for span in table.to_pylist() if table is not None else ():
            spans[span["sample"]].append(span)
        redacted = self._catalog.redacted(snapshot.name)
        for shard, first, inside in shards_of(part, rows):
            view = self._reader.rows(part, shard, snapshot.schema)
            for number in sorted(inside):
                place, ids = Place(part.number, first + number), view[number].tolist()
                whole = [{"start": 0, "end": len(ids)}]
                passages = []
                for span in whole if table is None else spans[place.row]:
                    start, end = span["start"], span["end"]
                    gone = redacted.covers(place.part, Span(place.row, start, end))
                    text = None if gone else self._texts.decode(snapshot.tokenizer, ids[start:end])
                    known = about(span)
                    passages.append(Passage(**place._asdict(), start=start, end=end, **known, text=text, is_redacted=gone))
                yield place, passages


def places_between(parts: Iterable[PartInfo], first: int, end: int) -> Iterator[Place]:
    """The rows [first, end) of parts that lie one behind the other."""
    start = 0
    for part in parts:
        for row in range(max(first - start, 0), min(end - start, part.samples)):
            yield Place(part.number, row)
        start += part.samples


def shards_of(part: PartInfo, rows: list[int]) -> Iterator[tuple[Shard, int, set[int]]]:
    """The shards that hold rows of a part: each with its first row, and which of its own rows are asked for."""
    first = 0
    for shard in part.shards:
        inside = {row - first for row in rows if first <= row < first + shard.samples}
        if inside:
            yield shard, first, inside
        first += shard.samples


def about(row: dict[str, Any]) -> dict[str, Any]:
    """What a row of documents or of a sidecar says of a document; a score that is not a number is none."""
    found = {name: row.get(name) for name in ABOUT}
    score = found["score"]
    return found if score is None or math.isfinite(score) else {**found, "score": None}
