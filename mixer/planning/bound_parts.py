"""The parts that a run is bound to: those of the snapshots that its ledger names.

Always holds: a run never draws from other parts than those that its segments took in. A segment that takes parts in names
a digest of the ids of all parts of the stream so far; a stream whose parts have another digest is refused by name.
"""

from mixer.errors import RunError
from mixer.ledger.ledger import Ledger
from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import Snapshot
from streamer.errors import StreamError


class BoundParts:
    """The snapshots of one run's streams, each compared once with what the ledger says of it."""

    def __init__(self, catalog: Catalog, run: str) -> None:
        self._catalog, self._run = catalog, run
        self._checked: dict[int, Snapshot] = {}

    def check(self, ledger: Ledger) -> None:
        """Compares all streams that the ledger has taken parts of. Raises: RunError, LogError."""
        held = [index for index, number in enumerate(ledger.snapshots) if number]
        try:
            self._catalog.snapshots([ledger.streams[index] for index in held])  # asks an object store for several at once
        except StreamError as error:
            raise RunError(
                f"run {self._run} draws from a stream that is not there: {error}; restore it from a backup of the root that "
                "the run was made under"
            ) from error
        for index in held:
            self.snapshot(ledger, index)

    def snapshot(self, ledger: Ledger, index: int) -> Snapshot:
        """The newest snapshot of a stream that the ledger has taken in. Raises: RunError when its parts are others."""
        number, wanted = ledger.snapshots[index], ledger.part_digests[index]
        known = self._checked.get(index)
        if known is not None and known.number == number:
            return known
        name = ledger.streams[index]
        snapshot = self._catalog.stream(name, number)
        found = snapshot.digest
        if wanted not in ("", found) or snapshot.samples < ledger.totals[index]:
            raise RunError(
                f"run {self._run} is bound to other parts of stream {name}: its ledger names {ledger.totals[index]:,} "
                f"samples in the first {number:,} entries, and parts whose ids have the digest {wanted or 'unknown'}; under "
                f"{self._catalog.store.url} there are {snapshot.samples:,} samples and the digest is {found}. Restore "
                f"streams/{name} from a backup of the root that the run was made under, or create another run"
            )
        self._checked[index] = snapshot
        return snapshot
