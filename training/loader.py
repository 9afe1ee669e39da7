"""MixedLoader: a run's batches as a torch DataLoader that knows its position. Nothing of Composer.

Always holds:
- batch n of the loader is this rank's rows of the n-th global batch from `start_step` on that is not skipped, with any
  number of worker processes;
- a position is what was handed out, never what workers have read ahead: its step is the number right behind the last
  batch; it carries run, step and a digest of the ledger up to that step, and a ledger that does not match is refused;
- the positions of a run are positions of what forked from it later;
- an end or an error of the run reaches the caller as the object that was raised, from worker processes too.

How: worker i of W reads of the batches that are not skipped the i-th, the (i+W)-th, ...; whether one is skipped is asked of
a ledger that holds it, so all workers and ranks jump alike; a DataLoader hands their batches out in turn, so in the order
of steps. An error of phasemix travels as an item, for torch would make a traceback of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
import xxhash
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from mixer import RunEnded, RunReader
from streamer.errors import PhasemixError
from streamer.reading.snapshot_loader import Batch
from training.errors import PositionError

FORMAT = "position/1"

Item = dict[str, torch.Tensor]


class Failure(msgspec.Struct, frozen=True):
    """What a worker process hands over in place of a batch, and then stops."""

    error: PhasemixError


class Numbered(NamedTuple):
    """A batch on its way, with its number in the run."""

    step: int
    item: Item


class MixedDataset(IterableDataset[Any]):
    """Whole batches of one rank, from `start_step` on; Composer asks it for the position.

    `first_step` is the step at which the epoch began: Composer counts samples from there.
    """

    def __init__(
        self,
        root: str | Path,
        run: str,
        *,
        rank: int,
        world_size: int,
        start_step: int,
        wait_s: float,
        with_origin: bool,
        boundaries: bool | None,
        service: str | None = None,
    ) -> None:
        self.root, self.run, self.rank, self.world_size = root, run, rank, world_size
        self.service = service
        self.first_step = self.start_step = start_step
        self.wait_s, self.with_origin, self.boundaries = wait_s, with_origin, boundaries
        with self._open(read_only=True) as reader:
            self.global_batch, self.seq_len = reader.settings.global_batch, reader.settings.seq_len
            self.streams = list(reader.streams)

    def __iter__(self) -> Iterator[Numbered | Failure]:
        worker = get_worker_info()
        stride, ahead = (worker.num_workers, worker.id) if worker is not None else (1, 0)
        step = self.start_step
        with self._open(read_only=False) as reader:
            try:
                self._check_start(reader, step)
                while True:
                    for _ in range(ahead):
                        step = reader.next_step(step) + 1
                    step = reader.next_step(step)
                    yield Numbered(step, self._item(reader.read(step)))
                    ahead = stride
            except PhasemixError as error:
                yield Failure(error)

    def _item(self, batch: Batch) -> Item:
        item = {
            "input_ids": torch.from_numpy(batch.tokens),
            "stream": torch.from_numpy(batch.origin["stream"].astype("int32")),
        }
        if self.with_origin:
            item["origin"] = torch.from_numpy(batch.origin.view("u1").reshape(len(batch.origin), -1))
        if batch.boundaries is not None:
            item["boundaries"] = torch.from_numpy(batch.boundaries)
        return item

    def refresh_streams(self) -> list[str]:
        """Names by the index in a batch's `stream`, as the run's ledger has them now."""
        with self._open(read_only=True) as reader:
            self.streams = list(reader.streams)
        return self.streams

    def state_dict(self, num_samples: int, from_beginning: bool) -> dict[str, Any]:
        """The position after `num_samples` samples of all ranks.

        They count from the step at which the epoch began, or, with `from_beginning` false, from the last resumption.
        """
        with self._open(read_only=True) as reader:
            return self.position(reader.behind(self.first_step if from_beginning else self.start_step, num_samples))

    def position(self, step: int) -> dict[str, Any]:
        """The position right behind batch `step - 1`."""
        return {
            "format": FORMAT,
            "run": self.run,
            "step": step,
            "first_step": self.first_step,
            "ledger": self.ledger_digest(step),
            "boundaries": self.boundaries,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues at a saved position. Raises: PositionError when it is of another run, format or ledger."""
        if state.get("format") != FORMAT:
            raise PositionError(
                f"position format {state.get('format')!r} is not {FORMAT}; resume with the version that saved it"
            )
        lacking = [key for key in ("run", "step", "first_step", "ledger") if key not in state]
        if lacking:
            raise PositionError(f"the position lacks {', '.join(lacking)}; resume from a state that state_dict gave")
        with self._open(read_only=True) as reader:
            self._check_origin(reader, state["run"], state["step"])
            self._check_start(reader, state["step"])
        found = self.ledger_digest(state["step"])
        if found != state["ledger"]:
            raise PositionError(
                f"run {self.run}: up to step {state['step']} the ledger's digest is {found}, the checkpoint was trained on "
                f"{state['ledger']}; resume under the root where it was trained, or start another run with --from"
            )
        self.start_step, self.first_step = state["step"], state["first_step"]
        self.boundaries = state.get("boundaries", self.boundaries)

    def _check_origin(self, reader: RunReader, run: str, step: int) -> None:
        """Raises: PositionError for a position of a run that this one is not, up to there, the same as."""
        if run == self.run:
            return
        upto = reader.forked_from().get(run)
        if upto is None:
            raise PositionError(f"the checkpoint is of run {run}, not of {self.run}; resume that run, or use --from")
        if step > upto:
            raise PositionError(
                f"the checkpoint is of run {run} at step {step}; run {self.run} forked from it at {upto}: resume from one "
                "up to there"
            )

    def _check_start(self, reader: RunReader, step: int) -> None:
        """Raises: PositionError where a fork would go through batches of a parent's size."""
        forks = reader.forked_from()
        starts = sorted({first for first in forks.values() if first > step})
        sizes = {first: reader.settings_at(first).global_batch for first in (step, *starts)}
        odd = max((first for first, size in sizes.items() if size != self.global_batch), default=None)
        if odd is not None:
            first = min(start for start in starts if start > odd)
            parent = next(run for run, upto in forks.items() if upto >= first)
            raise PositionError(
                f"run {self.run} has a global batch of {self.global_batch}, before step {first} its parent's {sizes[odd]}: "
                f"resume from a checkpoint of {parent} at that step, or fork with its global batch"
            )

    def ledger_digest(self, step: int) -> str:
        """A digest of the settings and segments that decide the batches before `step`; of a fork's parent, if they do."""
        with self._open(read_only=True) as reader:
            settings = msgspec.json.encode(reader.settings_at(step - 1), order="sorted")
            return xxhash.xxh3_64_hexdigest(settings + reader.ledger_digest(step).encode())

    def begin_epoch(self, step: int) -> None:
        """Says that a new epoch, whose samples count from 0, begins at `step`."""
        self.first_step = self.start_step = step

    def _open(self, *, read_only: bool) -> RunReader:
        return RunReader(
            self.root, self.run, self.rank, self.world_size,
            wait_s=self.wait_s, read_only=read_only, boundaries=self.boundaries,
            service=None if read_only else self.service,
        )  # fmt: skip


class MixedLoader(DataLoader[Any]):
    """A run's batches from `start_step` on: {"input_ids": (rows, seq_len) in the stream's dtype, "stream": (rows,) int32}.

    Args: rank and world_size, the data-parallel ones; None: torch.distributed's, or 0 of 1. wait_s, how long to wait where a
    component says `when_dry = "wait"`. with_origin adds "origin", (rows, 16) bytes of the origin's structure. boundaries
    adds "boundaries", (rows, width) int32, the cumulative lengths of each row's documents as `RunReader` gives them; None
    as the run was created. service, the address of a mixer service that writes the segments in this trainer's place.
    Raises: RunError for an unknown run or a world size that does not divide the batch. When the run ends, `next` raises
    StopIteration with RunEnded as its cause, which `ended` then holds too.
    """

    dataset: MixedDataset

    def __init__(
        self,
        root: str | Path,
        run: str,
        *,
        rank: int | None = None,
        world_size: int | None = None,
        num_workers: int = 0,
        start_step: int = 0,
        wait_s: float = 0.0,
        with_origin: bool = False,
        boundaries: bool | None = None,
        service: str | None = None,
        pin_memory: bool = False,
    ) -> None:
        rank, world_size = data_parallel(rank, world_size)
        dataset = MixedDataset(
            root,
            run,
            rank=rank,
            world_size=world_size,
            start_step=start_step,
            wait_s=wait_s,
            with_origin=with_origin,
            boundaries=boundaries,
            service=service,
        )
        self.ended: RunEnded | None = None
        self._step: int | None = None  # behind what was handed out, once something was
        remote = num_workers > 0 and "://" in str(root)  # an object store's client has threads, which do not survive a fork
        super().__init__(
            dataset,
            batch_size=None,
            num_workers=num_workers,
            collate_fn=_as_it_is,
            pin_memory=pin_memory,
            multiprocessing_context="forkserver" if remote else None,
        )

    @property
    def streams(self) -> list[str]:
        """Names by the index in a batch's `stream`; only ever grows."""
        return self.dataset.streams

    def names(self, count: int) -> list[str]:
        """`streams`, at least so many: what other ranks have come to may be newer than what this one has."""
        return self.streams if count <= len(self.streams) else self.dataset.refresh_streams()

    @property
    def step(self) -> int:
        """The number right behind the last global batch that was handed out: the next one, unless that is skipped."""
        return self.dataset.start_step if self._step is None else self._step

    def __iter__(self) -> Iterator[Item]:  # type: ignore[override]
        """Goes on behind what was handed out before, in a new epoch."""
        if self._step is not None:
            self.begin_epoch()
        return _HandedOut(self, super().__iter__())

    def begin_epoch(self) -> None:
        """Says that what was handed out was an epoch: samples count from 0 again, steps go on."""
        self.dataset.begin_epoch(self.step)
        self._step = None

    def state_dict(self) -> dict[str, Any]:
        """The position of what was handed out."""
        return self.dataset.position(self.step)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues at a saved position with the next iterator. Raises: PositionError."""
        self.dataset.load_state_dict(state)
        self._step = None

    def take(self, found: Numbered | Failure) -> Item:
        """Notes a batch as handed out, or raises what came in its place."""
        if isinstance(found, Failure):
            if isinstance(found.error, RunEnded):
                self.ended = found.error
                raise StopIteration from found.error
            raise found.error
        self._step, item = found.step + 1, found.item
        if len(item["stream"]):
            self.names(int(item["stream"].max()) + 1)
        return item


class _HandedOut(Iterator[Item]):
    """Counts what a DataLoader's own iterator hands out."""

    def __init__(self, loader: MixedLoader, items: Any) -> None:
        self._loader, self._items = loader, items

    def __next__(self) -> Item:
        return self._loader.take(next(self._items))


def data_parallel(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """The rank and world size asked for; what is None comes from torch.distributed, or is 0 of 1."""
    from torch import distributed

    here = distributed.is_available() and distributed.is_initialized()
    found = (distributed.get_rank(), distributed.get_world_size()) if here else (0, 1)
    if here is False and int(os.environ.get("WORLD_SIZE", "1")) > 1 and (rank is None or world_size is None):
        raise PositionError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but torch.distributed has no process group yet; "
            "initialise it first, or give rank and world_size"
        )
    return found[0] if rank is None else rank, found[1] if world_size is None else world_size


def _as_it_is(item: Any) -> Any:
    return item
