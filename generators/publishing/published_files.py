"""What a synthetic stream's log says of its files, read incrementally.

Always holds: a file counts as accepted when an entry names its identity, and never before.
"""

from collections import Counter
from typing import Any

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
                extra: dict[str, Any] = bodies[self._read].get("extra", {})
                self.identities |= set(extra.get("jobs", ()))
                self.by_purpose.update(extra.get("purposes", ()))
                self.tokens += extra.get("tokens", 0)
            self._read += 1
