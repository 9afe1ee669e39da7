"""RunReader: a run's batches by position, as numpy. No torch and no service needed.

Always holds: `read(step)` of rank r of R is rows [r*G/R, (r+1)*G/R) of the one global batch that ledger and catalog
decide, on any machine and after any crash. A fork's batches before its first step are its parent's. A reader that an
interrupt stopped in the middle of something opens the run anew before it goes on.
"""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from mixer.errors import RunError, StepError
from mixer.journal.journal import Ahead, Forecast, Journal
from mixer.journal.service_journal import ServiceJournal
from mixer.ledger.ancestry import Ancestry
from mixer.ledger.ledger import Settings
from mixer.planning.tables import BoundParts
from mixer.reading.stretches import Stretches
from streamer.catalog.catalog import Catalog
from streamer.errors import PartError, StoreError
from streamer.reading.snapshot_loader import Batch
from streamer.store.object_store import ObjectStore
from streamer.store.store import Store


class RunReader:
    """Reads a run by step. A reader sees later switches and growth; it pickles and may be forked.

    `wait_s` is how long a read waits for parts where a component says `when_dry = "wait"`. `read_only`: never writes, and
    what lies past the ledger's end is a forecast (`is_forecast`) that a later switch or new part can change.
    `boundaries`: whether batches say where documents begin; None as the run was created.
    `service`: the address of a mixer service that writes and hands out the segments; then nothing is written here. Without
    it the store is used.
    Raises: RunError for an unknown run, a world size that does not divide the global batch, or streams whose parts are
    others than those that the run draws from.
    """

    def __init__(
        self,
        root: str | Path | Store,
        run: str,
        rank: int = 0,
        world_size: int = 1,
        *,
        wait_s: float = 0.0,
        read_only: bool = False,
        boundaries: bool | None = None,
        service: str | None = None,
    ) -> None:
        self._arguments = (root, run, rank, world_size, wait_s, read_only, boundaries, service)
        if service is not None and read_only:
            raise RunError(f"run {run}: a forecast is planned from the root; give read_only or a service, not both")
        self._catalog = Catalog(root)
        self._service, self._read_only = service, read_only
        self._journal = self._open_journal(run)
        BoundParts(self._catalog, run).check(self._journal.ledger)
        settings = self._journal.ledger.settings
        if world_size < 1 or settings.global_batch % world_size or not 0 <= rank < world_size:
            raise RunError(
                f"run {run}: rank {rank} of world size {world_size} does not fit a global batch of {settings.global_batch}; "
                "use a world size that divides it and a rank below it"
            )
        self.run, self.rank, self.world_size, self.settings = run, rank, world_size, settings
        self._rows = settings.global_batch // world_size
        self._wait_s = wait_s
        self._asks_ahead = not read_only and (service is not None or isinstance(self._catalog.store, ObjectStore))
        self._ahead = Ahead(self._catalog, run) if self._asks_ahead and service is None else None
        self._is_ahead = False  # whether the ledger is being written ahead for the stretch in hand
        part = slice(rank * self._rows, (rank + 1) * self._rows)
        with_boundaries = settings.boundaries if boundaries is None else boundaries
        self._stretches = Stretches(
            self._catalog,
            self._journal,
            part,
            boundaries=with_boundaries,
            beyond=not read_only and not self._asks_ahead,
        )
        self._parent: RunReader | None = None
        self._line = Ancestry(self._journal, self._open_journal)
        self._is_torn = False

    def __getstate__(self) -> tuple[Any, ...]:
        return self._arguments

    def __setstate__(self, arguments: tuple[Any, ...]) -> None:
        root, run, rank, world_size, wait_s, read_only, boundaries, service = arguments
        self.__init__(  # type: ignore[misc]
            root, run, rank, world_size, wait_s=wait_s, read_only=read_only, boundaries=boundaries, service=service
        )

    def __enter__(self) -> "RunReader":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """What is read inside comes from a whole state: where an interrupt left one half changed, the run is opened anew."""
        if self._is_torn:
            self.__setstate__(self._arguments)
        self._is_torn = True
        try:
            yield
        except Exception:
            self._is_torn = False
            raise
        self._is_torn = False

    _is_finalizing = staticmethod(sys.is_finalizing)  # of the class, which outlives the names of its module

    def close(self) -> None:
        """Drops the maps. A later read maps again. Nothing is left to do where the interpreter is taken down."""
        if self._is_finalizing():
            return
        self._stretches.close()
        self._is_ahead = False
        if self._parent is not None:
            self._parent.close()

    @property
    def streams(self) -> list[str]:
        """Names by the index that `origin["stream"]` holds; only ever grows."""
        return self._journal.ledger.streams

    @property
    def row_bytes(self) -> int:
        """Bytes of one sample's tokens."""
        return self._stretches.row_bytes

    @property
    def fetched_bytes(self) -> int:
        """Bytes of shards that this reader has fetched from an object store."""
        return self._stretches.fetched_bytes + (0 if self._parent is None else self._parent.fetched_bytes)

    def ledger_digest(self, step: int) -> str:
        """A digest of what decides the batches before `step`; up to its first step a fork's is its parent's."""
        return self._line.owner(step - 1).ledger.digest(step)

    def settings_at(self, step: int) -> Settings:
        """What a batch of the run is bound to: before a fork's first step its parent's."""
        return self._line.owner(step).ledger.settings

    def forked_from(self) -> dict[str, int]:
        """The runs that the run is the same as, each with the step up to which it is."""
        return {span.of.run: span.end for span in self._line if span.of is not self._journal}

    def next_step(self, step: int) -> int:
        """The first batch at or after `step` that is handed out, once the ledger has it.

        Raises: StepError, RunEnded, WaitError. A skipped batch is jumped over.
        """
        ledger = self._journal.ledger
        if not self._is_torn and step < ledger.end and ledger.skips.next(step) == step:
            return step
        with self._whole():
            while True:
                if step >= self._journal.ledger.begin:
                    self._journal.ensure(step, wait_s=self._wait_s)
                found = self._journal.ledger.skips.next(step)
                if found == step:
                    return step
                step = found

    def behind(self, step: int, samples: int) -> int:
        """The position behind so many samples of all ranks that were handed out from `step` on."""
        for span in self._line.oldest_first():
            size = span.of.ledger.settings.global_batch
            for first, last in self._journal.ledger.skips.handed_out(max(span.start, step), span.end):
                batches = min(last - first, samples // size)
                step, samples = first + batches if batches else step, samples - batches * size
                if batches < last - first:
                    return step
        return step

    def is_forecast(self, step: int) -> bool:
        """Whether no segment of the run's log covers a step yet."""
        return step >= self._journal.written

    def read(self, step: int) -> Batch:
        """This rank's rows of global batch `step`. Raises: StepError, RunEnded, WaitError, PartError.

        A skipped batch is a StepError, which names the next one. Where parts were compacted and their old files are gone,
        the new ones are read.
        """
        try:
            return self._read_whole(step)
        except PartError:
            if not self._catalog.has_moved(self.streams):
                raise
            return self._read_whole(step)

    def _read_whole(self, step: int) -> Batch:
        if self._is_ahead and self._ahead is not None and not self._ahead.is_busy:
            with self._whole():
                self._take_ahead()
        batch = self._stretches.at_hand(step)
        if batch is not None:
            return batch
        with self._whole():
            return self._read(step)

    def _read(self, step: int) -> Batch:
        stretches = self._stretches
        if 0 <= step < self._journal.ledger.begin:
            self._refuse_skipped(step)
            return self._open_parent().read(step)
        if not stretches.holds(step):
            self._is_ahead = False
            self._journal.ensure(step, wait_s=self._wait_s)
            self._refuse_skipped(step)
            stretches.open(step, anew=self._read_only)
        elif stretches.should_look_ahead(step):
            self._look_ahead()
        return stretches.read(step)

    def _open_journal(self, run: str) -> Journal | ServiceJournal:
        if self._service is not None:
            return ServiceJournal(self._service, run)
        return Forecast(self._catalog, run) if self._read_only else Journal(self._catalog, run)

    def _open_parent(self) -> "RunReader":
        """A reader of the parent, which looks no further than its ledger. Raises: RunError for another one of its name."""
        if self._parent is None:
            parent = self._journal.ledger.parent
            assert parent is not None
            found = self._line.owner(parent.step - 1).ledger.digest(parent.step)
            if found != parent.ledger:
                raise RunError(
                    f"run {self.run} forked from {parent.run} at step {parent.step}, where its ledger's digest was "
                    f"{parent.ledger}; it is {found} now: restore that run's log from a copy"
                )
            root, _, rank, world_size, wait_s, read_only, boundaries, service = self._arguments
            self._parent = RunReader(
                root, parent.run, rank, world_size,
                wait_s=wait_s, read_only=read_only, boundaries=boundaries, service=service,
            )  # fmt: skip
            self._parent._asks_ahead, self._parent._ahead = False, None
        return self._parent

    def _refuse_skipped(self, step: int) -> None:
        following = self._journal.ledger.skips.next(step)
        if following != step:
            start = max(start for start, _ in self._journal.ledger.skips.stretches if start <= step)
            raise StepError(
                f"run {self.run}: batch {step} is one of the {following - start:,} from {start} on that are skipped; "
                f"the next one is {following}"
            )

    def _look_ahead(self) -> None:
        """Has the stretch after the one in hand planned, where the ledger has it, so that its shards are there in time.

        Behind a service, or on an object store, the ledger is first asked to have it; that it cannot now is no error. An
        object store is asked from a thread, and the stretch is planned at the first read behind its answers.
        """
        if self._asks_ahead:
            step = self._journal.ledger.skips.next(self._stretches.end)
            if self._ahead is not None:
                self._ahead.ask(step)
                self._is_ahead = True
                return
            with contextlib.suppress(RunError, StoreError):
                self._journal.ensure(step, patience_s=0.0)
        self._stretches.look_ahead()

    def _take_ahead(self) -> None:
        """Plans the stretch after the one in hand, now that the thread has written what it could."""
        if not self._is_ahead:
            return  # an interrupt had the run opened anew
        self._is_ahead = False
        if isinstance(self._journal, Journal):
            self._journal.take_known()
        self._stretches.look_ahead()
