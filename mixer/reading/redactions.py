"""What is redacted in a run's batches, as its ledger says from which batch on.

Always holds: batches before the entry of the ledger stay what they were, as long as the files have their text; from it on
every reader leaves out the same. What a compaction took out of the files is left out of all batches, and said so.
"""

from mixer.ledger.ancestry import Logged
from streamer.catalog.catalog import Catalog
from streamer.catalog.redaction import Redacted
from streamer.reading.snapshot_loader import Batch, without_redacted


class BatchRedactions:
    """The redactions of one run's batches."""

    def __init__(self, catalog: Catalog, journal: Logged) -> None:
        self._catalog, self._journal = catalog, journal
        self._seen, self._found = (0, 0, 0), dict[int, Redacted]()

    def blank(self, step: int, batch: Batch) -> Batch:
        """A batch of the ledger without what is redacted in it; its tokens are changed in place."""
        return without_redacted(batch, self.at(step))

    def at(self, step: int) -> dict[int, Redacted]:
        """What is redacted in the streams of a batch, by their indices."""
        ledger = self._journal.ledger
        manifests = [self._catalog.manifest(name) for name in self._catalog.compacted]
        count = sum(redactions.step <= step for redactions in ledger.redactions)
        seen = count, sum(one.compacted_by for one in manifests), len(ledger.streams)
        if seen != self._seen:
            index = {name: place for place, name in enumerate(ledger.streams)}
            found = {index[one.name]: one.redacted(0) for one in manifests if one.name in index}
            for place, number in ledger.redacted_at(step).items():
                found[place] = self._catalog.redacted(ledger.streams[place], number)
            self._seen, self._found = seen, found
        return self._found
