"""What the logs of synthetic streams say of their files, read incrementally.

Always holds: a file counts as accepted when an entry names its identity, and never before.
"""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from generators.errors import OrderError
from generators.publishing.identities import Identities
from mixer.pool.files import KIND
from streamer.catalog.catalog import Catalog
from streamer.catalog.part_files import read_parquet
from streamer.catalog.redaction import Span
from streamer.catalog.sidecar import read_rows
from streamer.store.log import Bodies


class PublishedFiles:
    """Identities, purposes and tokens of the files of one stream; the stream need not exist yet."""

    def __init__(self, catalog: Catalog, stream: str) -> None:
        self._log, self._read = catalog.stream_log(stream), 0
        self.identities = Identities()
        self.by_purpose: Counter[str] = Counter()
        self.by_recipe: Counter[str] = Counter()
        self.written: Counter[str] = Counter()  # by recipe, the tokens of engines for what is published,
        self.packed: Counter[str] = Counter()  # and how many of the stream's these are; of entries since these are counted
        self.tokens = 0

    def refresh(self) -> None:
        """Reads the entries that are new."""
        self.note(self._log.read())

    def note(self, bodies: Bodies) -> None:
        """Notes what `bodies`, all of the log, have beyond those noted before."""
        while self._read < len(bodies):
            with bodies.understood(self._read):
                body = bodies[self._read]
                extra: dict[str, Any] = body["extra"] if body["event"] == "part" else {}  # a new place brings no files
                self.identities.add(extra.get("jobs", ()))
                self.by_purpose.update(extra.get("purposes", ()))  # counts; entries of earlier versions have a list
                self.by_recipe.update(extra.get("recipes", {}))
                for recipe, (written, packed) in extra.get("costs", {}).items():
                    self.written[recipe] += written
                    self.packed[recipe] += packed
                self.tokens += extra.get("tokens", 0)
            self._read += 1


class AllPublished:
    """The published files of every language."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._streams: dict[str, PublishedFiles] = {}

    def refresh(self) -> None:
        """Reads the entries that are new, of streams that are new too."""
        for name in self._catalog.names("streams"):
            if name.startswith(f"{KIND}/"):
                self._streams.setdefault(name, PublishedFiles(self._catalog, name)).refresh()

    def of(self, language: str) -> PublishedFiles | None:
        """The files of a language, or None where it has no stream."""
        return self._streams.get(f"{KIND}/{language}")

    def tokens(self) -> dict[str, int]:
        """Tokens by language."""
        return {name.partition("/")[2]: one.tokens for name, one in self._streams.items()}

    def costs(self) -> dict[tuple[str, str], tuple[int, int]]:
        """By language and version of a recipe: the tokens that engines wrote for published files, and those published."""
        return {
            (name.partition("/")[2], recipe): (one.written[recipe], packed)
            for name, one in self._streams.items()
            for recipe, packed in one.packed.items()
        }

    def by_recipe(self) -> Counter[str]:
        """How many files each version of a recipe wrote, by label."""
        return sum((one.by_recipe for one in self._streams.values()), Counter())

    def by_stream(self, purpose: str) -> Counter[str]:
        """How many files each stream has that were written for a purpose."""
        return Counter({name: one.by_purpose[purpose] for name, one in self._streams.items()})

    def count(self, purpose: str | None = None) -> int:
        """How many files there are, or how many of them were written for a purpose."""
        if purpose is not None:
            return self.by_stream(purpose).total()
        return sum(len(one.identities) for one in self._streams.values())

    def among(self, identities: Iterable[str]) -> set[str]:
        """Those of some identities that are published."""
        asked = list(identities)
        return set[str]().union(*(found.identities.among(asked) for found in self._streams.values()))


def find_file(catalog: Catalog, identity: str) -> dict[str, Any]:
    """A published file: the columns of its document, its stream, and its origin, None for one of an earlier version.

    Raises: OrderError when no stream has it or it was redacted, PartError, StoreError.
    """
    for name in catalog.match_names(f"{KIND}/*"):
        for number, body in enumerate(catalog.stream_log(name).read()):
            if identity in body.get("extra", {}).get("jobs", ()):
                catalog.stream(name)
                part = catalog.manifest(name).part_of(number)
                its = ("document", "==", identity)
                rows = read_parquet(catalog.store, part, part.extra["files"], None, its).to_pylist()
                spans = read_rows(catalog.store, part, ["sample", "start", "end"], its)
                places = [] if spans is None else [Span(*span.values()) for span in spans.to_pylist()]
                redacted = catalog.redacted(name)
                if rows and not (places and all(redacted.covers(part.number, place) for place in places)):
                    origin = rows[0].pop("origin", None)
                    return {"stream": name, **rows[0], "origin": None if origin is None else json.loads(origin)}
                raise OrderError(f"file {identity} of {name} was redacted; name another")
    raise OrderError(f"no stream {KIND}/* under {catalog.store.url} has file {identity}; name one that a trace shows")
