"""What is redacted in a run's batches, as its ledger says from which batch on.

Always holds: batches before the entry of the ledger stay what they were; from it on every reader leaves out the same.
"""

from mixer.ledger.ancestry import Logged
from streamer.catalog.catalog import Catalog
from streamer.catalog.redaction import Redacted
from streamer.reading.snapshot_loader import Batch, without_redacted


class BatchRedactions:
    """The redactions of one run's batches."""

    def __init__(self, catalog: Catalog, journal: Logged) -> None:
        self._catalog, self._journal = catalog, journal
        self._count, self._found = 0, dict[int, Redacted]()

    def blank(self, step: int, batch: Batch) -> Batch:
        """A batch of the ledger without what is redacted in it; its tokens are changed in place."""
        return without_redacted(batch, self.at(step))

    def at(self, step: int) -> dict[int, Redacted]:
        """What is redacted in the streams of a batch, by their indices."""
        ledger = self._journal.ledger
        count = sum(redactions.step <= step for redactions in ledger.redactions)
        if count != self._count:
            names, wanted = ledger.streams, ledger.redacted_at(step)
            self._found = {index: self._catalog.redacted(names[index], number) for index, number in wanted.items()}
            self._count = count
        return self._found
