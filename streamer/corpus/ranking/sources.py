"""Where the documents lie that are to be scored: parts of streams, or the spools of a build.

Always holds: documents lie under keys, at places that are numbers; a key's documents are read in the same order each time.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo
from streamer.catalog.shard_rows import iterate_shard
from streamer.corpus.spool import read_at, read_places


class Placed(NamedTuple):
    """A document and where it lies."""

    place: int
    document: str
    language: str
    text: str


class Source(Protocol):
    """Documents under keys, which can be read in order and by their places."""

    def keys(self) -> Sequence[str]: ...

    def read(self, key: str) -> Iterator[Placed]: ...

    def at(self, key: str, places: Sequence[int]) -> Iterator[Placed]:
        """Those at some places, given in order."""


class StreamParts:
    """Some parts of streams of documents, given as part ids by stream. Each is a key, and a place is a row of it."""

    def __init__(self, catalog: Catalog, parts: dict[str, list[str]]) -> None:
        self.catalog, self.parts = catalog, parts
        self._infos: dict[str, dict[str, PartInfo]] = {}

    def __reduce__(self) -> tuple[type["StreamParts"], tuple[Catalog, dict[str, list[str]]]]:
        return StreamParts, (self.catalog, self.parts)  # what a process has read of the logs stays there

    def keys(self) -> Sequence[str]:
        return [key for stream in self.parts for key in self.keys_of(stream)]

    def keys_of(self, stream: str) -> list[str]:
        return [f"{stream} {part}" for part in self.parts[stream]]

    def read(self, key: str) -> Iterator[Placed]:
        yield from self._rows(key, None)

    def at(self, key: str, places: Sequence[int]) -> Iterator[Placed]:
        yield from self._rows(key, set(places))

    def _rows(self, key: str, wanted: Collection[int] | None) -> Iterator[Placed]:
        stream, _, part_id = key.partition(" ")
        if stream not in self._infos:
            self._infos[stream] = {part.part_id: part for part in self.catalog.stream(stream).parts}
        part, redacted, first = self._infos[stream][part_id], self.catalog.redacted(stream), 0
        for shard in part.shards:
            span, first = range(first, first + shard.samples), first + shard.samples
            if wanted is not None and not any(row in span for row in wanted):
                continue
            for row, found in zip(
                span, iterate_shard(self.catalog.store, part, shard, ("document", "language", "text")), strict=True
            ):
                if (wanted is None or row in wanted) and not redacted.has(part.number, row):
                    yield Placed(row, found["document"], found["language"], found["text"])


class Spools:
    """The documents of spools. Each is a key, and a place is an offset in the file."""

    def __init__(self, spools: Sequence[Path]) -> None:
        self.spools = list(spools)

    def keys(self) -> Sequence[str]:
        return [str(spool) for spool in self.spools]

    def read(self, key: str) -> Iterator[Placed]:
        for place, kept in read_places(Path(key)):
            yield Placed(place, kept.document.document, kept.document.language, kept.document.text)

    def at(self, key: str, places: Sequence[int]) -> Iterator[Placed]:
        with Path(key).open("rb") as file:
            for place in places:
                found = read_at(file, place).document
                yield Placed(place, found.document, found.language, found.text)
