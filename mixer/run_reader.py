"""RunReader: a run's batches by position, as numpy. No torch and no service needed.

Always holds: `read(step)` of rank r of R is rows [r*G/R, (r+1)*G/R) of the one global batch that ledger and catalog
decide, on any machine and after any crash.
"""

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from mixer.client import ServiceJournal
from mixer.errors import RunError
from mixer.journal import Journal
from mixer.ledger import State
from mixer.permutation import fold, mix
from mixer.slots import Ints, arrange, stream_hashes
from streamer.catalog import Catalog
from streamer.manifest import PartInfo, Shard, Snapshot
from streamer.reader import Reader, gather
from streamer.snapshot_loader import ORIGIN, Batch
from streamer.store import Store


class Shards:
    """The shards of one stream, by row, and their keyed order."""

    def __init__(self, snapshot: Snapshot, key: int) -> None:
        self.schema = snapshot.schema
        self.shards: list[tuple[PartInfo, Shard, int]] = []  # part, shard, first row of the shard inside its part
        for part in snapshot.parts:
            first = 0
            for shard in part.shards:
                self.shards.append((part, shard, first))
                first += shard.samples
        self.ends = np.cumsum([shard.samples for _, shard, _ in self.shards], dtype=np.int64)
        self._hashes = mix(key, 3, np.arange(len(self.shards)))
        self._layouts: dict[tuple[int, int], tuple[Ints, Ints]] = {}

    def layout(self, low: int, high: int) -> tuple[Ints, Ints]:
        """Rows [low, high) as (starts, lengths), a range a shard, in the order of the shards' hashes."""
        if (low, high) not in self._layouts:
            first = int(np.searchsorted(self.ends, low, side="right"))
            last = int(np.searchsorted(self.ends, high - 1, side="right")) + 1 if high > low else first
            ends = np.minimum(self.ends[first:last], high)
            starts = np.concatenate([[low], ends[:-1]]).astype(np.int64)
            order = np.argsort(self._hashes[first:last], kind="stable")
            self._layouts[low, high] = (starts[order], (ends - starts)[order])
        return self._layouts[low, high]


class RunReader:
    """Reads a run by step. A reader sees later switches and growth; it pickles and may be forked.

    `wait_s` is how long a read waits for parts where a component says `when_dry = "wait"`. `read_only`: never writes.
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
        self._journal = Journal(self._catalog, run) if service is None else ServiceJournal(service, run)
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
        self._state: State | None = None
        self._shards: dict[tuple[str, int], Shards] = {}

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
        self._reader = Reader(self._catalog.store)

    @property
    def streams(self) -> list[str]:
        """Names by the index that `origin["stream"]` holds; only ever grows."""
        return self._journal.ledger.streams

    def ledger_digest(self, step: int) -> str:
        """A digest of what decides the batches before `step`."""
        return self._journal.ledger.digest(step)

    def read(self, step: int) -> Batch:
        """This rank's rows of global batch `step`. Raises: StepError, RunEnded, WaitError, PartError."""
        streams, rows = self._plan(step)
        part = slice(*(self.settings.global_batch * r // self.world_size for r in (self.rank, self.rank + 1)))
        return self._fetch(streams[part], rows[part])

    def _plan(self, step: int) -> tuple[Ints, Ints]:
        """Stream and row of every slot of a global batch."""
        self._journal.ensure(step, write=not self._read_only, wait_s=self._wait_s)
        ledger, seed = self._journal.ledger, self.settings.seed
        kept = self._state
        state = kept if kept is not None and kept.step == step else ledger.state(step)
        width = len(ledger.streams)
        if len(state.drawn) != width:
            state = ledger.state(step)
        counts = ledger.counts(state)
        streams, draws = arrange(stream_hashes(seed, width), state.drawn, counts)
        rows = np.empty(len(streams), np.int64)
        for index in np.flatnonzero(counts).tolist():
            here = streams == index
            key = fold(seed, 2, index)
            ordered = np.sort(draws[here])
            found = ledger.timelines[index].rows(ordered, key, self._shards_of(index, key).layout)
            rows[here] = found[np.searchsorted(ordered, draws[here])]
        self._state = ledger.after(state)
        return streams, rows

    def _shards_of(self, index: int, key: int) -> Shards:
        name, number = self.streams[index], self._journal.ledger.snapshots[index]
        if (name, number) not in self._shards:
            self._shards[name, number] = Shards(self._catalog.stream(name, number), key)
        return self._shards[name, number]

    def _fetch(self, streams: Ints, rows: Ints) -> Batch:
        origin = np.zeros(len(streams), ORIGIN)
        origin["stream"] = streams
        views: list[npt.NDArray[Any]] = []
        which, inside = np.zeros(len(streams), np.int64), np.zeros(len(streams), np.int64)
        for index in np.unique(streams).tolist():
            here = np.flatnonzero(streams == index)
            table = self._shards_of(index, fold(self.settings.seed, 2, index))
            places = np.searchsorted(table.ends, rows[here], side="right")
            for place in np.unique(places).tolist():
                part, shard, first = table.shards[place]
                chosen = here[places == place]
                which[chosen] = len(views)
                inside[chosen] = rows[chosen] - (int(table.ends[place]) - shard.samples)
                origin["part"][chosen], origin["row"][chosen] = part.number, inside[chosen] + first
                views.append(self._reader.rows(part, shard, table.schema))
        return Batch(gather(views, which, inside), origin)
