"""What the logs of synthetic streams say of their files, read incrementally.

Always holds: a file counts as accepted when an entry names its identity, and never before.
"""

from collections import Counter
from typing import Any

from mixer.pool.files import KIND
from streamer.catalog.catalog import Catalog
from streamer.store.log import Bodies


class PublishedFiles:
    """Identities, purposes and tokens of the files of one stream; the stream need not exist yet."""

    def __init__(self, catalog: Catalog, stream: str) -> None:
        self._log, self._read = catalog.stream_log(stream), 0
        self.identities: set[str] = set()
        self.by_purpose: Counter[str] = Counter()
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
                self.identities |= set(extra.get("jobs", ()))
                self.by_purpose.update(extra.get("purposes", ()))
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

    def count(self, purpose: str | None = None) -> int:
        """How many files there are, or how many of them were written for a purpose."""
        found = self._streams.values()
        return sum(len(one.identities) if purpose is None else one.by_purpose[purpose] for one in found)

    def __contains__(self, identity: str) -> bool:
        return any(identity in found.identities for found in self._streams.values())
