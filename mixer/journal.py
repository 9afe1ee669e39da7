"""Writes segments through the store and hands the ledger out: the library that needs no service.

Always holds: every reader of a run takes in the same entries in the same order; a segment is planned from the ledger it
is appended to, or planned again.
"""

import time

from mixer.errors import RunEnded, RunError, StepError, WaitError
from mixer.ledger import Ledger
from mixer.segment import Rows, Waits, plan_segment
from streamer.catalog import Catalog
from streamer.log import Body

POLL_S = 0.5


class Journal:
    """One run of one catalog."""

    def __init__(self, catalog: Catalog, run: str) -> None:
        self.catalog, self.run, self.ledger = catalog, run, Ledger()
        self._log = catalog.log(f"runs/{run}/ledger")
        self.refresh()
        if self.ledger.settings is None:
            have = ", ".join(catalog.names("runs")) or "none yet"
            raise RunError(f"run {run} does not exist under {catalog.store.url}; runs there: {have}")

    def refresh(self) -> None:
        """Takes in what was written since."""
        self.ledger.take(self._log.read())

    def ensure(self, step: int, *, write: bool = True, wait_s: float = 0.0, to: int | None = None) -> None:
        """Has the ledger cover `step`, writing segments where it must. Raises: StepError, RunEnded, WaitError."""
        if step < 0:
            raise StepError(f"run {self.run}: step {step} is below 0")
        if step >= self.ledger.end:
            self.refresh()
        settings = self.ledger.settings
        assert settings is not None
        if step < self.ledger.end:
            return
        furthest = self.ledger.end + settings.write_ahead - 1
        if to is None and step > furthest and self.ledger.ended is None:
            raise StepError(
                f"run {self.run}: step {step} is past the furthest allowed, {furthest} (write_ahead = "
                f"{settings.write_ahead} batches past the ledger's end); read up to there first or run phasemix runs extend"
            )
        deadline = time.monotonic() + wait_s
        while step >= self.ledger.end:
            if self.ledger.ended is not None:
                raise RunEnded(f"run {self.run} has {self.ledger.end} global batches: {self.ledger.ended}")
            if not write:
                raise StepError(f"run {self.run}: step {step} is not in the ledger yet, which ends at {self.ledger.end}")
            waits = self._write()
            if waits is not None:
                if time.monotonic() >= deadline:
                    raise WaitError(
                        f"run {self.run} waits at step {self.ledger.end} for parts of stream {waits.stream}, which has run "
                        f"dry; none came within {wait_s:g} s: scale the generators, or wait longer with --wait"
                    )
                time.sleep(POLL_S)

    def _write(self) -> Waits | None:
        found: list[Waits] = []

        def decide(bodies: list[Body]) -> Body | None:
            before = self.ledger.end
            self.ledger.take(bodies)
            if self.ledger.end > before or self.ledger.ended is not None:
                return None  # somebody else wrote it
            settings = self.ledger.settings
            assert settings is not None
            planned = plan_segment(self.ledger, self._rows(), at_most=settings.segment_batches)
            if isinstance(planned, Waits):
                found.append(planned)
                return None
            return planned

        self._log.append(decide)
        self.refresh()
        return found[-1] if found and self.ledger.ended is None else None

    def _rows(self) -> Rows:
        snapshots = (self.catalog.stream(name) for name in self.ledger.streams)
        return {snapshot.name: (snapshot.samples, snapshot.number) for snapshot in snapshots}
