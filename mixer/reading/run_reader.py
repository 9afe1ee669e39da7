"""RunReader: a run's batches by position, as numpy. No torch and no service needed.

Always holds: `read(step)` of rank r of R is rows [r*G/R, (r+1)*G/R) of the one global batch that ledger and catalog
decide, on any machine and after any crash. A fork's batches before its first step are its parent's.
"""

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mixer.errors import RunError, StepError
from mixer.journal.journal import Forecast, Journal
from mixer.journal.service_journal import ServiceJournal
from mixer.ledger.ledger import Ledger, Settings
from mixer.order.permutation import Ints
from mixer.planning.planner import Planner, make_planner
from mixer.planning.states import State
from mixer.planning.tables import Tables
from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo, Schema, Shard
from streamer.errors import CacheFullError, StoreError
from streamer.reading.boundaries import Boundaries
from streamer.reading.gather import Memory
from streamer.reading.reader import Reader, max_mapped
from streamer.reading.snapshot_loader import ORIGIN, Batch
from streamer.store.object_store import ObjectStore
from streamer.store.store import Store

KEY_BITS = 32  # a shard's key: its stream's index, then its own in that stream
PLANNED_AT_ONCE = 1 << 15  # slots
MAX_PLANNED = 512  # batches
MAX_VIEWS = 2048  # shards that a reader refers to; the others that are mapped are its Reader's


class Stretch(NamedTuple):
    """Rows of batches [start, end), flat. `shards` (unique,): keys in the order of first use; `which`: of each row.

    `first` (unique,): address of a shard's first row, -1 while it is not mapped; `inside`: bytes from there to the row.
    """

    start: int
    end: int
    origin: npt.NDArray[Any]
    shards: Ints
    which: Ints
    first: Ints
    inside: Ints


class RunReader:
    """Reads a run by step. A reader sees later switches and growth; it pickles and may be forked.

    `wait_s` is how long a read waits for parts where a component says `when_dry = "wait"`. `read_only`: never writes, and
    what lies past the ledger's end is a forecast (`is_forecast`) that a later switch or new part can change.
    `boundaries`: whether batches say where documents begin; None as the run was created.
    `service`: the address of a mixer service that writes and hands out the segments; then nothing is written here. Without
    it the store is used.
    Raises: RunError for an unknown run or a world size that does not divide the global batch.
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
        settings = self._journal.ledger.settings
        assert settings is not None
        if world_size < 1 or settings.global_batch % world_size or not 0 <= rank < world_size:
            raise RunError(
                f"run {run}: rank {rank} of world size {world_size} does not fit a global batch of {settings.global_batch}; "
                "use a world size that divides it and a rank below it"
            )
        self.run, self.rank, self.world_size, self.settings = run, rank, world_size, settings
        self._rows = settings.global_batch // world_size
        self._wait_s = wait_s
        self._keeps_states = not read_only and service is None
        self._reader = Reader(self._catalog.store)
        self._asks_ahead = not read_only and (service is not None or isinstance(self._catalog.store, ObjectStore))
        self._memory = Memory(self._journal.ledger.plans[0].dtype, settings.seq_len)
        with_boundaries = settings.boundaries if boundaries is None else boundaries
        self._boundaries = Boundaries(self._catalog.store) if with_boundaries else None
        self._planner: Planner | None = None
        self._tables: Tables | None = None
        self._state: State | None = None
        self._now: Stretch | None = None
        self._next: Stretch | None = None
        self._looked = -1  # the start of the last stretch that was looked ahead from
        self._parent: RunReader | None = None
        self._parents: list[Journal | ServiceJournal] = []

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

    def close(self) -> None:
        """Drops the maps. A later read maps again."""
        self._now = self._next = None
        self._memory.clear()
        self._reader.close()
        if self._parent is not None:
            self._parent.close()

    @property
    def streams(self) -> list[str]:
        """Names by the index that `origin["stream"]` holds; only ever grows."""
        return self._journal.ledger.streams

    @property
    def fetched_bytes(self) -> int:
        """Bytes of shards that this reader has fetched from an object store."""
        return self._reader.fetched_bytes + (0 if self._parent is None else self._parent.fetched_bytes)

    def ledger_digest(self, step: int) -> str:
        """A digest of what decides the batches before `step`; up to its first step a fork's is its parent's."""
        return self._owner(step - 1).digest(step)

    def settings_at(self, step: int) -> Settings:
        """What a batch of the run is bound to: before a fork's first step its parent's."""
        settings = self._owner(step).settings
        assert settings is not None
        return settings

    def forked_from(self) -> dict[str, int]:
        """The runs that the run is the same as, each with the step up to which it is."""
        found: dict[str, int] = {}
        step, above = 1 << 62, self._journal
        for journal in self._history():
            step, above = min(step, above.ledger.begin), journal
            found[journal.run] = step
        return found

    def next_step(self, step: int) -> int:
        """The first batch at or after `step` that is handed out, once the ledger has it.

        Raises: StepError, RunEnded, WaitError. A skipped batch is jumped over.
        """
        while True:
            if step >= self._journal.ledger.begin:
                self._journal.ensure(step, wait_s=self._wait_s)
            found = self._journal.ledger.skips.next(step)
            if found == step:
                return step
            step = found

    def behind(self, step: int, samples: int) -> int:
        """The position behind so many samples of all ranks that were handed out from `step` on."""
        edges = [0, *sorted({*self.forked_from().values(), self._journal.ledger.begin}), 1 << 62]
        for start, end in zip(edges, edges[1:], strict=False):
            size = self.settings_at(start).global_batch
            for first, last in self._journal.ledger.skips.handed_out(max(start, step), end):
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

        A skipped batch is a StepError, which names the next one.
        """
        if 0 <= step < self._journal.ledger.begin:
            self._refuse_skipped(step)
            return self._open_parent().read(step)
        now = self._now
        if now is None or not now.start <= step < now.end or (self._read_only and self.is_forecast(step)):
            now = self._open(step)
        elif self._looked != now.start and 2 * step >= now.start + now.end:
            self._looked = now.start
            self._look_ahead(now)
        here = slice((step - now.start) * self._rows, (step - now.start + 1) * self._rows)
        which = now.which[here]
        first = now.first[which]
        if first.min() < 0:
            self._map(now, which)
            first = now.first[which]
        origin = now.origin[here].copy()
        boundaries = None if self._boundaries is None else self._lengths(self._boundaries, now, which, origin["row"])
        return Batch(self._memory.gather(first + now.inside[here]), origin, boundaries)

    def _open_journal(self, run: str) -> Journal | ServiceJournal:
        if self._service is not None:
            return ServiceJournal(self._service, run)
        return Forecast(self._catalog, run) if self._read_only else Journal(self._catalog, run)

    def _history(self) -> list[Journal | ServiceJournal]:
        """The journals of the runs that the run forked from, its parent first."""
        newest = self._parents[-1] if self._parents else self._journal
        while newest.ledger.fork is not None:
            assert newest.ledger.parent is not None
            newest = self._open_journal(newest.ledger.parent.run)
            self._parents.append(newest)
        return self._parents

    def _owner(self, step: int) -> Ledger:
        """The ledger in which a batch stands."""
        ledgers = [journal.ledger for journal in (self._journal, *self._history())]
        return next(ledger for ledger in ledgers if ledger.fork is None or step >= ledger.begin)

    def _open_parent(self) -> "RunReader":
        """A reader of the parent, which looks no further than its ledger. Raises: RunError for another one of its name."""
        if self._parent is None:
            parent = self._journal.ledger.parent
            assert parent is not None
            found = self._owner(parent.step - 1).digest(parent.step)
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
            self._parent._asks_ahead = False
        return self._parent

    def _refuse_skipped(self, step: int) -> None:
        following = self._journal.ledger.skips.next(step)
        if following != step:
            start = max(start for start, _ in self._journal.ledger.skips.stretches if start <= step)
            raise StepError(
                f"run {self.run}: batch {step} is one of the {following - start:,} from {start} on that are skipped; "
                f"the next one is {following}"
            )

    def _open(self, step: int) -> Stretch:
        """The stretch that begins at a step, or the one that was planned ahead."""
        self._journal.ensure(step, wait_s=self._wait_s)
        self._refuse_skipped(step)
        before, now = self._now, self._next
        if now is None or not now.start <= step < now.end or self._read_only:
            grown = 4 * (before.end - before.start) if before is not None and 0 <= step - before.end < MAX_PLANNED else 1
            now = self._plan(step, grown)
            self._hold(now)
        self._now, self._next = now, None
        return now

    def _look_ahead(self, now: Stretch) -> None:
        """Plans the stretch after this one, where the ledger has it, so that its shards are there in time.

        Behind a service, or on an object store, the ledger is asked to have it; that it cannot now is no error.
        """
        skips = self._journal.ledger.skips
        if self._asks_ahead:
            with contextlib.suppress(RunError, StoreError):
                self._journal.ensure(skips.next(now.end), patience_s=0.0)
        following = skips.next(now.end)
        if following < self._journal.written:
            self._next = self._plan(following, 4 * (now.end - now.start))
            self._hold(now, self._next)

    def _plan(self, step: int, batches: int) -> Stretch:
        """This rank's rows of up to so many batches from `step` on."""
        ledger = self._journal.ledger
        if self._planner is None or self._planner.ledger is not ledger:
            self._tables = Tables(self._catalog, ledger)
            self._planner = make_planner(ledger, self._catalog, self.run, write=self._keeps_states, tables=self._tables)
            self._state = None
        size, state = self.settings.global_batch, self._state
        if state is None or not 0 <= step - state.step < self._planner.interval:
            state = self._planner.state(step)
        batches = min(batches, MAX_PLANNED, max(1, PLANNED_AT_ONCE // size), ledger.skips.next_start(step) - step)
        part = slice(self.rank * self._rows, (self.rank + 1) * self._rows)
        slots, self._state = self._planner.plan(self._planner.advance(state, step), batches, part)
        origin = np.zeros(slots.stream.size, ORIGIN)
        origin["stream"], origin["part"] = slots.stream.ravel(), slots.rows.part.ravel()
        origin["row"] = slots.rows.part_row.ravel()
        shards, first_use, which = np.unique(
            (slots.stream << KEY_BITS | slots.rows.shard).ravel(), return_index=True, return_inverse=True
        )
        order = np.argsort(first_use)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        inside = slots.rows.first.ravel() * self._memory.row_bytes
        return Stretch(step, self._state.step, origin, shards[order], place[which], np.full(len(shards), -1), inside)

    def _shard(self, key: int) -> tuple[PartInfo, Shard, Schema]:
        assert self._tables is not None
        table = self._tables(key >> KEY_BITS)
        return *table.shards[key & (1 << KEY_BITS) - 1], table.schema

    def _hold(self, *stretches: Stretch) -> None:
        """Has the shards of stretches fetched or hashed ahead, in the order of their use."""
        keys = dict.fromkeys(key for stretch in stretches for key in stretch.shards[:MAX_VIEWS].tolist())
        self._reader.read_ahead([self._shard(key) for key in keys])

    def _map(self, now: Stretch, which: Ints) -> None:
        """Fills in the addresses of some of a stretch's shards."""
        wanted = np.unique(which)
        if len(self._memory) + len(wanted) > min(MAX_VIEWS, max_mapped() // 2):
            self._unmap()
        try:
            self._add(now, wanted)
        except CacheFullError:
            self._unmap()
            self._add(now, wanted)

    def _add(self, now: Stretch, wanted: Ints) -> None:
        for place in wanted[now.first[wanted] < 0].tolist():
            now.first[place] = self._memory.add(self._reader.rows(*self._shard(int(now.shards[place]))))

    def _unmap(self) -> None:
        self._memory.clear()
        for stretch in (self._now, self._next):
            if stretch is not None:
                stretch.first[:] = -1

    def _lengths(self, boundaries: Boundaries, now: Stretch, which: Ints, rows: Ints) -> npt.NDArray[np.int32]:
        shards, place = np.unique(which, return_inverse=True)
        parts = [self._shard(int(now.shards[shard]))[0] for shard in shards]
        return boundaries.lengths(parts, place, rows, self.settings.seq_len)
