"""Has a run's ledger grow in a thread, so that whoever reads does not wait for an object store's answers.

Always holds: the thread has a journal of its own, and shares the log alone with the reader's: what it wrote, the reader's
journal finds there without asking the store. A segment that it could not write is written when a batch of it is read.
"""

import contextlib
import threading

from mixer.errors import RunError
from mixer.journal.journal import Journal
from streamer import background
from streamer.catalog.catalog import Catalog
from streamer.errors import StoreError


class Ahead:
    """Of one run of a reader's catalog. One thing is written at a time."""

    def __init__(self, catalog: Catalog, run: str) -> None:
        self._catalog, self._run = catalog, run
        self._journal: Journal | None = None
        self._thread: threading.Thread | None = None

    def ask(self, step: int) -> None:
        """Begins to have the ledger cover a step, where nothing is being written."""
        if not self.is_busy:
            self._thread = background.start(lambda: self._write(step), name="phasemix-ledger")

    @property
    def is_busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _write(self, step: int) -> None:
        with contextlib.suppress(RunError, StoreError):  # the reader meets it, if it is still there
            if self._journal is None:
                self._journal = Journal(self._catalog, self._run)
            self._journal.ensure(step)
