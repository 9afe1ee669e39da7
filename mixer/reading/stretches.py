"""Stretches of a run's batches: planned some way ahead, their shards fetched and mapped, their rows gathered.

Always holds: a stretch has the rows that the ledger says; once one is half read the next is planned, so that its shards are
there in time; what is mapped is dropped only where a bound asks for it, and then mapped again.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mixer.journal.journal import Journal
from mixer.journal.service_journal import ServiceJournal
from mixer.order.permutation import Ints
from mixer.planning.planner import PLANNED_AT_ONCE, Planner, make_planner
from mixer.planning.states import State
from mixer.planning.tables import Tables
from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo, Schema, Shard
from streamer.errors import CacheFullError
from streamer.reading.boundaries import Boundaries
from streamer.reading.gather import Memory
from streamer.reading.reader import Reader, max_mapped
from streamer.reading.snapshot_loader import ORIGIN, Batch

KEY_BITS = 32  # a shard's key: its stream's index, then its own in that stream
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


class Stretches:
    """The stretch in hand and the one after it, of rows `part` of every global batch of a journal's run.

    `boundaries`: whether batches say where documents begin.
    """

    def __init__(self, catalog: Catalog, journal: Journal | ServiceJournal, part: slice, *, boundaries: bool) -> None:
        ledger, self._catalog, self._journal = journal.ledger, catalog, journal
        self._settings, self._part, self._rows = ledger.settings, part, part.stop - part.start
        self._reader = Reader(catalog.store)
        self._memory = Memory(ledger.plans[0].dtype, ledger.settings.seq_len)
        self._boundaries = Boundaries(catalog.store) if boundaries else None
        self._planner: Planner | None = None
        self._tables: Tables | None = None
        self._state: State | None = None
        self._now: Stretch | None = None
        self._next: Stretch | None = None
        self._looked = -1  # the start of the last stretch that was looked ahead from

    @property
    def fetched_bytes(self) -> int:
        """Bytes of shards that were fetched from an object store."""
        return self._reader.fetched_bytes

    @property
    def end(self) -> int:
        """The batch behind the stretch in hand."""
        assert self._now is not None
        return self._now.end

    def close(self) -> None:
        """Drops the maps."""
        self._now = self._next = None
        self._memory.clear()
        self._reader.close()

    def holds(self, step: int) -> bool:
        """Whether the stretch in hand has a batch."""
        return self._now is not None and self._now.start <= step < self._now.end

    def open(self, step: int, *, anew: bool) -> None:
        """Takes in hand the stretch that was planned ahead, or one that begins at a step of the ledger.

        `anew`: what was planned ahead may have changed.
        """
        before, now = self._now, self._next
        if now is None or not now.start <= step < now.end or anew:
            grown = 4 * (before.end - before.start) if before is not None and 0 <= step - before.end < MAX_PLANNED else 1
            now = self._plan(step, grown)
            self._hold(now)
        self._now, self._next = now, None

    def should_look_ahead(self, step: int) -> bool:
        """Whether it is time to plan the stretch after the one in hand, which is said once."""
        now = self._now
        if now is None or self._looked == now.start or 2 * step < now.start + now.end:
            return False
        self._looked = now.start
        return True

    def look_ahead(self) -> None:
        """Plans the stretch after the one in hand, where the log has it."""
        assert self._now is not None
        following = self._journal.ledger.skips.next(self._now.end)
        if following < self._journal.written:
            self._next = self._plan(following, 4 * (self._now.end - self._now.start))
            self._hold(self._now, self._next)

    def read(self, step: int) -> Batch:
        """The rows of a batch of the stretch in hand. Raises: PartError."""
        now = self._now
        assert now is not None
        here = slice((step - now.start) * self._rows, (step - now.start + 1) * self._rows)
        which = now.which[here]
        first = now.first[which]
        if first.min() < 0:
            self._map(now, which)
            first = now.first[which]
        origin = now.origin[here].copy()
        boundaries = None if self._boundaries is None else self._lengths(self._boundaries, now, which, origin["row"])
        return Batch(self._memory.gather(first + now.inside[here]), origin, boundaries)

    def _plan(self, step: int, batches: int) -> Stretch:
        """The rows of up to so many batches from `step` on."""
        ledger = self._journal.ledger
        if self._planner is None or self._planner.ledger is not ledger:
            self._tables = Tables(self._catalog, ledger)
            run = self._journal.run
            self._planner = make_planner(ledger, self._catalog, run, write=self._journal.writes, tables=self._tables)
            self._state = None
        size, state = self._settings.global_batch, self._state
        if state is None or not 0 <= step - state.step < self._planner.interval:
            state = self._planner.state(step)
        batches = min(batches, MAX_PLANNED, max(1, PLANNED_AT_ONCE // size), ledger.skips.next_start(step) - step)
        slots, self._state = self._planner.plan(self._planner.advance(state, step), batches, self._part)
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
        return boundaries.lengths(parts, place, rows, self._settings.seq_len)
