"""Stretches of a run's batches: planned some way ahead, their shards fetched and mapped, their rows gathered.

Always holds: a batch that is handed out has the rows that the ledger says; once a stretch is half read the next is planned,
so that its shards are there in time; what is mapped is dropped only where a bound asks for it, and then mapped again.

How: a reader that writes the run's segments itself plans a stretch beyond the ledger's end, as if the run went on as it is.
Whenever the ledger has grown, the stretch holds as far as the ledger bears it out. What reading a batch needs is computed
once for all batches of a stretch whose shards are mapped, so that most reads are one gather.
"""

from typing import TYPE_CHECKING, NamedTuple

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

if TYPE_CHECKING:
    from mixer.reading.redactions import BatchRedactions

ORIGIN_BYTES = ORIGIN.itemsize
KEY_BITS = 32  # a shard's key: its stream's index, then its own in that stream
MAX_PLANNED = 2048  # batches
MAX_VIEWS = 2048  # shards that a reader refers to; the others that are mapped are its Reader's


class Stretch(NamedTuple):
    """Rows of batches [start, end), flat: `origin` their ORIGIN, an item each.

    `shards` (unique,): keys in the order of first use; `which`: of each row.
    `first` (unique,): address of a shard's first row, -1 while it is not mapped; `inside`: bytes from there to the row.
    `segment`: where the ledger's segment begins by which it was planned; `after`: the state behind it.
    """

    start: int
    end: int
    segment: int
    after: State
    origin: bytes
    shards: Ints
    which: Ints
    first: Ints
    inside: Ints


class Stretches:
    """The stretch in hand and the one after it, of rows `part` of every global batch of a journal's run.

    `boundaries`: whether batches say where documents begin. `beyond`: whether stretches are planned beyond the ledger's end.
    """

    def __init__(
        self, catalog: Catalog, journal: Journal | ServiceJournal, part: slice, *, boundaries: bool, beyond: bool
    ) -> None:
        ledger, self._catalog, self._journal = journal.ledger, catalog, journal
        self._settings, self._part, self._rows = ledger.settings, part, part.stop - part.start
        self._reader = Reader(catalog.store)
        self._memory = Memory(ledger.plans[0].dtype, ledger.settings.seq_len)
        self._boundaries = Boundaries(catalog.store) if boundaries else None
        self._redactions: BatchRedactions | None = None
        self._beyond = beyond
        self._planner: Planner | None = None
        self._tables: Tables | None = None
        self._planned: Stretch | None = None  # the last one that was
        self._now: Stretch | None = None
        self._next: Stretch | None = None
        self._looked = -1  # the start of the last stretch that was looked ahead from
        self._ready = range(0)  # batches that `read` can hand out at once
        self._placed = range(0)  # batches in hand whose rows have their offsets
        self._offsets: Ints = np.zeros(0, np.int64)  # of each row in hand

    @property
    def row_bytes(self) -> int:
        """Bytes of one sample's tokens."""
        return self._memory.row_bytes

    @property
    def fetched_bytes(self) -> int:
        """Bytes of shards that were fetched from an object store."""
        return self._reader.fetched_bytes

    @property
    def end(self) -> int:
        """The batch behind the stretch in hand."""
        assert self._now is not None
        return self._end(self._now)

    def close(self) -> None:
        """Drops the maps."""
        self._now = self._next = None
        self._ready = self._placed = range(0)
        self._memory.clear()
        self._reader.close()

    def holds(self, step: int) -> bool:
        """Whether the stretch in hand has a batch that the log has too."""
        now = self._now
        return now is not None and now.start <= step < min(self._end(now), self._journal.written)

    def open(self, step: int, *, anew: bool) -> None:
        """Takes in hand the stretch that was planned ahead, or one that begins at a step of the ledger.

        `anew`: what was planned ahead may have changed.
        """
        now, following = self._now, self._next
        if now is not None and now.start <= step < self._end(now) and not anew:
            return
        self._ready = self._placed = range(0)  # first: they are of the stretch in hand
        if following is not None and following.start <= step < self._end(following) and not anew:
            self._now, self._next = following, None
        else:
            end = step + 1 if now is None else self._end(now)
            grown = 4 * (end - now.start) if now is not None and 0 <= step - end < MAX_PLANNED else 1
            self._now, self._next = self._plan(step, max(1, grown)), None
            self._hold(self._now)

    def should_look_ahead(self, step: int) -> bool:
        """Whether it is time to plan the stretch after the one in hand, which is said once."""
        now = self._now
        if now is None or self._looked == now.start or step < self._turn(now):
            return False
        self._looked = now.start
        return True

    def look_ahead(self) -> None:
        """Plans the stretch after the one in hand, where the log has it, or may come to have it."""
        now = self._now
        assert now is not None
        ledger, end = self._journal.ledger, self._end(now)
        following = ledger.skips.next(end)
        may_come = self._beyond and end == following == now.end < ledger.reach(ledger.segment_at(now.start))
        if following < self._journal.written or may_come:
            self._next = self._plan(following, 4 * (end - now.start))
            self._hold(now, self._next)

    def at_hand(self, step: int) -> Batch | None:
        """The rows of a batch for which nothing has to be done first; None for another."""
        return self._gather(step) if self._ready.start <= step < self._ready.stop else None

    def read(self, step: int) -> Batch:
        """The rows of a batch of the stretch in hand. Raises: PartError."""
        now = self._now
        assert now is not None
        if not self._placed.start <= step < self._placed.stop:
            self._place(now, step)
        until = min(self._placed.stop, self._end(now), self._journal.written)
        self._ready = range(self._placed.start, until if self._looked == now.start else min(until, self._turn(now)))
        return self._gather(step)

    def _gather(self, step: int) -> Batch:
        now = self._now
        assert now is not None
        low = (step - now.start) * self._rows
        high = low + self._rows
        tokens = self._memory.gather(self._offsets[low:high])
        origin = np.frombuffer(bytearray(now.origin[low * ORIGIN_BYTES : high * ORIGIN_BYTES]), ORIGIN)  # the caller's own
        batch = Batch(tokens, origin)
        if self._boundaries is not None:
            batch = Batch(tokens, origin, self._lengths(self._boundaries, now, now.which[low:high], origin["row"]))
        is_redacted = self._journal.ledger.redactions or self._catalog.compacted
        return self._without_redacted(step, batch) if is_redacted else batch

    def _without_redacted(self, step: int, batch: Batch) -> Batch:
        if self._redactions is None:
            from mixer.reading.redactions import BatchRedactions  # few runs have any

            self._redactions = BatchRedactions(self._catalog, self._journal)
        return self._redactions.blank(step, batch)

    def _place(self, now: Stretch, step: int) -> None:
        """Maps the shards of a batch, and finds the rows of it and of those behind it whose shards are mapped."""
        low = (step - now.start) * self._rows
        which = now.which[low : low + self._rows]
        self._ready = self._placed = range(0)  # first: a shard that is mapped moves the offsets of all rows
        if now.first[which].min() < 0:
            self._map(now, which)
        first = now.first[now.which]
        self._offsets = self._memory.offsets(first + now.inside)
        missing = first[low:] < 0
        batches = int(missing.argmax()) // self._rows if missing.any() else now.end - step
        self._placed = range(step, step + batches)

    def _end(self, stretch: Stretch) -> int:
        """The batch behind those of a stretch that the ledger bears out, or may yet."""
        ledger = self._journal.ledger
        segment = ledger.segment_at(stretch.start)
        if segment.start != stretch.segment:
            return stretch.start
        return min(stretch.end, ledger.reach(segment), ledger.skips.next_start(stretch.start))

    def _turn(self, now: Stretch) -> int:
        """The batch at which it is time to look ahead: half of the stretch in hand is read."""
        return -(-(now.start + self._end(now)) // 2)

    def _plan(self, step: int, batches: int) -> Stretch:
        """The rows of up to so many batches from `step` on."""
        ledger = self._journal.ledger
        if self._planner is None or self._planner.ledger is not ledger:
            run = self._journal.run
            self._tables = Tables(self._catalog, ledger, run)
            self._planner = make_planner(ledger, self._catalog, run, write=self._journal.writes, tables=self._tables)
            self._planned = None
        size, before = self._settings.global_batch, self._planned
        if before is not None and self._end(before) == before.end <= step < before.end + self._planner.interval:
            state = self._planner.advance(before.after, step)
        else:
            state = self._planner.state(step)
        batches = min(batches, MAX_PLANNED, max(1, PLANNED_AT_ONCE // size), ledger.skips.next_start(step) - step)
        slots, after = self._planner.plan(state, batches, self._part, beyond=self._beyond)
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
        first = np.full(len(shards), -1)
        segment = ledger.segment_at(step).start
        self._planned = Stretch(
            step, after.step, segment, after, origin.tobytes(), shards[order], place[which], first, inside
        )
        return self._planned

    def _shard(self, key: int) -> tuple[PartInfo, Shard, Schema]:
        assert self._tables is not None
        table = self._tables(key >> KEY_BITS)
        return *table.shard(key & (1 << KEY_BITS) - 1), table.schema

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
