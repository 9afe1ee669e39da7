"""The shards of a run's streams, as its planner asks for them."""

from mixer.ledger.ledger import Ledger
from mixer.order.permutation import fold
from mixer.order.ranges import StreamShards
from streamer.catalog.catalog import Catalog


class Tables:
    """The shards of a run's streams by index, as of the newest snapshot in its ledger."""

    def __init__(self, catalog: Catalog, ledger: Ledger) -> None:
        self._catalog, self._ledger = catalog, ledger
        self._found: dict[int, tuple[int, StreamShards]] = {}

    def __call__(self, index: int) -> StreamShards:
        number = self._ledger.snapshots[index]
        if index not in self._found or self._found[index][0] != number:
            snapshot = self._catalog.stream(self._ledger.streams[index], number)
            self._found[index] = number, StreamShards(snapshot, fold(self._ledger.pool_seed, 2, index))
        return self._found[index][1]
