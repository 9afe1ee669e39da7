"""RunReader: a run's batches by position, as numpy. No torch and no service needed.

Always holds: `read(step)` of rank r of R is rows [r*G/R, (r+1)*G/R) of the one global batch that ledger and catalog
decide, on any machine and after any crash.
"""

from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mixer.client import ServiceJournal
from mixer.errors import RunError
from mixer.journal import Forecast, Journal, make_planner
from mixer.ledger import Ledger
from mixer.permutation import fold
from mixer.planner import Planner
from mixer.ranges import StreamShards
from mixer.states import State
from streamer.catalog import Catalog
from streamer.reader import Reader, gather
from streamer.snapshot_loader import ORIGIN, Batch
from streamer.store import Store

KEY_BITS = 32  # a shard's key: its stream's index, then its own in that stream
PLANNED_AT_ONCE = 1 << 15  # slots
MAX_PLANNED = 512  # batches
MAX_VIEWS = 4096


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


class Planned(NamedTuple):
    """Rows of batches [start, end), flat: their origins, keys of their shards, rows in those."""

    start: int
    end: int
    origin: npt.NDArray[Any]
    keys: list[int]
    rows: list[int]


class RunReader:
    """Reads a run by step. A reader sees later switches and growth; it pickles and may be forked.

    `wait_s` is how long a read waits for parts where a component says `when_dry = "wait"`. `read_only`: never writes, and
    what lies past the ledger's end is a forecast (`is_forecast`) that a later switch or new part can change.
    `service`: the address of a mixer service that writes and hands out the segments; without it the store is used.
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
        service: str | None = None,
    ) -> None:
        self._arguments = (root, run, rank, world_size, wait_s, read_only, service)
        self._catalog = Catalog(root)
        self._journal: Journal | ServiceJournal
        if service is not None:
            self._journal = ServiceJournal(service, run)
        else:
            self._journal = Forecast(self._catalog, run) if read_only else Journal(self._catalog, run)
        settings = self._journal.ledger.settings
        assert settings is not None
        if world_size < 1 or settings.global_batch % world_size or not 0 <= rank < world_size:
            raise RunError(
                f"run {run}: rank {rank} of world size {world_size} does not fit a global batch of {settings.global_batch}; "
                "use a world size that divides it and a rank below it"
            )
        self.run, self.rank, self.world_size, self.settings = run, rank, world_size, settings
        self._wait_s, self._read_only = wait_s, read_only
        self._reader = Reader(self._catalog.store)
        self._planner: Planner | None = None
        self._tables: Tables | None = None
        self._state: State | None = None
        self._planned: Planned | None = None
        self._views: dict[int, npt.NDArray[Any]] = {}

    def __getstate__(self) -> tuple[Any, ...]:
        return self._arguments

    def __setstate__(self, arguments: tuple[Any, ...]) -> None:
        root, run, rank, world_size, wait_s, read_only, service = arguments
        self.__init__(root, run, rank, world_size, wait_s=wait_s, read_only=read_only, service=service)  # type: ignore[misc]

    def __enter__(self) -> "RunReader":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Drops the maps."""
        self._views.clear()
        self._reader = Reader(self._catalog.store)

    @property
    def streams(self) -> list[str]:
        """Names by the index that `origin["stream"]` holds; only ever grows."""
        return self._journal.ledger.streams

    def ledger_digest(self, step: int) -> str:
        """A digest of what decides the batches before `step`."""
        return self._journal.ledger.digest(step)

    def is_forecast(self, step: int) -> bool:
        """Whether no segment of the run's log covers a step yet."""
        return step >= self._journal.written

    def read(self, step: int) -> Batch:
        """This rank's rows of global batch `step`. Raises: StepError, RunEnded, WaitError, PartError."""
        planned = self._planned
        if planned is None or not planned.start <= step < planned.end or (self._read_only and self.is_forecast(step)):
            planned = self._planned = self._plan(step)
        rows = self.settings.global_batch // self.world_size
        here = slice((step - planned.start) * rows, (step - planned.start + 1) * rows)
        keys = planned.keys[here]
        try:
            views = [self._views[key] for key in keys]
        except KeyError:
            self._map(set(keys))
            views = [self._views[key] for key in keys]
        return Batch(gather(views, planned.rows[here]), planned.origin[here].copy())

    def _plan(self, step: int) -> Planned:
        """This rank's rows of some batches from `step` on: ever more while reading goes on in order."""
        self._journal.ensure(step, wait_s=self._wait_s)
        ledger = self._journal.ledger
        if self._planner is None or self._planner.ledger is not ledger:
            self._tables = Tables(self._catalog, ledger)
            self._planner = make_planner(
                ledger, self._catalog, self.run, write=not self._read_only, tables=self._tables
            )  # fmt: skip
            self._views.clear()
        size = self.settings.global_batch
        before, most = self._planned, max(1, min(MAX_PLANNED, PLANNED_AT_ONCE // size))
        batches = min(most, 4 * (before.end - before.start)) if before is not None and before.end == step else 1
        state = self._state if self._state is not None and self._state.step == step else self._planner.state(step)
        part = slice(*(size * rank // self.world_size for rank in (self.rank, self.rank + 1)))
        slots, self._state = self._planner.plan(state, batches, part)
        origin = np.zeros(slots.stream.size, ORIGIN)
        origin["stream"], origin["part"] = slots.stream.ravel(), slots.rows.part.ravel()
        origin["row"] = slots.rows.part_row.ravel()
        keys = (slots.stream << KEY_BITS | slots.rows.shard).ravel().tolist()
        return Planned(step, self._state.step, origin, keys, slots.rows.first.ravel().tolist())

    def _map(self, keys: set[int]) -> None:
        """Has a view of each shard."""
        assert self._tables is not None
        if len(self._views) + len(keys) > MAX_VIEWS:
            self._views.clear()
        for key in sorted(keys - self._views.keys()):
            table = self._tables(key >> KEY_BITS)
            self._views[key] = self._reader.rows(*table.shards[key & (1 << KEY_BITS) - 1], table.schema)
