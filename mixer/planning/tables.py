"""The parts that a run's streams consist of, and where their shards stand, as its planner asks for them.

Always holds: a run never draws from other parts than those that its segments took in. A segment that takes parts in names
a digest of the ids of all parts of the stream so far; a stream whose parts have another digest is refused by name.
"""

from mixer.errors import RunError
from mixer.ledger.ledger import Ledger
from mixer.order.permutation import fold
from mixer.order.ranges import StreamShards
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


class Tables:
    """The shards of a run's streams by index, as of the newest snapshot in its ledger.

    Raises: RunError, when it is asked for a stream whose parts are others than those that the run took in.
    """

    def __init__(self, catalog: Catalog, ledger: Ledger, run: str) -> None:
        self._parts, self._ledger = BoundParts(catalog, run), ledger
        self._found: dict[int, tuple[int, StreamShards]] = {}

    def __call__(self, index: int) -> StreamShards:
        number = self._ledger.snapshots[index]
        if index not in self._found or self._found[index][0] != number:
            snapshot = self._parts.snapshot(self._ledger, index)
            self._found[index] = number, StreamShards(snapshot, fold(self._ledger.pool_seed, 2, index))
        return self._found[index][1]
