"""The dataset behind a MixedLoader: whole batches of one rank, in the order of their steps.

Always holds:
- the workers of a rank together read each batch that is not skipped once: of W workers, worker i reads the first K batches
  after i * K others, then leaves out (W - 1) * K, and so on, where K is how many batches one message holds. A DataLoader
  hands their messages out in turn, so in the order of steps;
- whether a batch is skipped is asked of a ledger that holds it, so that all workers and ranks jump alike;
- a position is computed from what was handed out and never from what workers have read ahead.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from mixer import RunReader
from streamer.errors import PhasemixError
from streamer.reading.snapshot_loader import Batch
from training.loading.fill_in_the_middle import FillInTheMiddle, starts_of
from training.loading.message import Arrays, Failure, Message, Numbered, batches_a_message, pack
from training.loading.position import Position, check_position, check_start, digest_ledger, read_position


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
        num_workers: int,
        start_step: int,
        wait_s: float,
        with_origin: bool,
        boundaries: bool | None,
        service: str | None = None,
        fill_in_the_middle: FillInTheMiddle | None = None,
        learn_document_starts: bool = True,
    ) -> None:
        self.root, self.run, self.rank, self.world_size = root, run, rank, world_size
        self.service = service
        self.fill_in_the_middle, self.learn_document_starts = fill_in_the_middle, learn_document_starts
        self.first_step = start_step
        self._start = torch.tensor([start_step])
        if num_workers:
            # Workers that outlive an epoch see where the next one begins.
            self._start.share_memory_()  # type: ignore[no-untyped-call]
        self.wait_s, self.with_origin, self.boundaries = wait_s, with_origin, boundaries
        with self._open(read_only=True) as reader:
            self.global_batch, self.seq_len = reader.settings.global_batch, reader.settings.seq_len
            self.streams = list(reader.streams)
            self._run_boundaries = reader.settings.boundaries
            batch_bytes = self.global_batch // world_size * reader.row_bytes
            segment_batches = reader.settings.segment_batches
        self.message_batches = batches_a_message(batch_bytes, num_workers=num_workers, segment_batches=segment_batches)

    @property
    def start_step(self) -> int:
        """Where the next iterator begins."""
        return int(self._start[0])

    def __iter__(self) -> Iterator[Any]:
        """`Numbered` batches; in a worker process `Message`s, each of several. A `Failure` comes last."""
        worker = get_worker_info()
        if worker is None:
            return Batches(self, self._open(read_only=False), skip=0)
        size = self.message_batches
        batches = Batches(self, self._open(read_only=False), skip=worker.id * size)
        return Messages(batches, size=size, skip=(worker.num_workers - 1) * size)

    def arrays_of(self, batch: Batch, step: int) -> Arrays:
        """What the batch of that number holds, by name."""
        if self.fill_in_the_middle is not None:
            batch = self.fill_in_the_middle.apply(batch, step=step, first_row=self.rank * len(batch.tokens))
        ignored = batch.redacted
        if not self.learn_document_starts and batch.boundaries is not None:
            starts = starts_of(batch.boundaries, self.seq_len)
            ignored = starts if ignored is None else ignored | starts
        arrays: dict[str, Any] = {"input_ids": batch.tokens, "stream": batch.origin["stream"].astype("int32")}
        if self.with_origin:
            arrays["origin"] = batch.origin.view("u1").reshape(len(batch.origin), -1)
        if batch.boundaries is not None and (self._run_boundaries if self.boundaries is None else self.boundaries):
            arrays["boundaries"] = batch.boundaries
        if ignored is not None:
            arrays["ignored"] = ignored
        return arrays

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
        with self._open(read_only=True) as reader:
            ledger = digest_ledger(reader, step)
        found = Position(run=self.run, step=step, first_step=self.first_step, ledger=ledger, boundaries=self.boundaries)
        return {name: getattr(found, name) for name in found.__struct_fields__}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues at a saved position. Raises: PositionError when it is of another run, format or ledger."""
        position = read_position(state)
        with self._open(read_only=True) as reader:
            check_position(position, reader)
        self.first_step, self._start[0] = position.first_step, position.step
        if position.boundaries is not None:
            self.boundaries = position.boundaries

    def begin_epoch(self, step: int) -> None:
        """Says that a new epoch, whose samples count from 0, begins at `step`."""
        self.first_step = self._start[0] = step

    def _open(self, *, read_only: bool) -> RunReader:
        needs_boundaries = self.fill_in_the_middle is not None or not self.learn_document_starts
        return RunReader(
            self.root, self.run, self.rank, self.world_size,
            wait_s=self.wait_s, read_only=read_only, boundaries=needs_boundaries or self.boundaries,
            service=None if read_only else self.service,
        )  # fmt: skip


class Batches(Iterator[Numbered | Failure]):
    """The batches of a dataset from its start on, one after the other, then what ended them.

    An iterator and no generator: one that was left behind would be closed while the interpreter is taken down, and its
    `except` would then meet modules that are gone. The reader is closed when the iterator is dropped.
    """

    def __init__(self, dataset: MixedDataset, reader: RunReader, *, skip: int) -> None:
        self._dataset, self._reader, self._step, self._skip = dataset, reader, dataset.start_step, skip
        self._is_checked = False
        self._failure: Failure | None = None
        weakref.finalize(self, reader.close).atexit = False

    def __next__(self) -> Numbered | Failure:
        if self._failure is not None:
            return self._failure
        try:
            return self._read()
        except PhasemixError as error:
            self._failure = Failure(error)
            self._reader.close()
            return self._failure

    def skip(self, batches: int) -> None:
        """Leaves out so many batches before the next one; where they are is found then."""
        self._skip = batches

    def _read(self) -> Numbered:
        reader = self._reader
        if not self._is_checked:
            check_start(reader, self._step)
            self._is_checked = True
        while self._skip:
            self._step = reader.next_step(self._step) + 1
            self._skip -= 1
        step = reader.next_step(self._step)
        found = Numbered(step, len(reader.streams), self._dataset.arrays_of(reader.read(step), step))
        self._step = step + 1  # last: after an interrupt the same batch is read again
        return found


class Messages(Iterator[Message]):
    """The batches of one worker process, `size` a message; between two messages are `skip` batches of other workers."""

    def __init__(self, batches: Batches, *, size: int, skip: int) -> None:
        self._batches, self._size, self._skip, self._is_over = batches, size, skip, False

    def __next__(self) -> Message:
        if self._is_over:
            raise StopIteration
        found: list[Numbered] = []
        for item in self._batches:
            if isinstance(item, Failure):
                self._is_over = True
                return pack(found, item)
            found.append(item)
            if len(found) == self._size:
                break
        self._batches.skip(self._skip)
        return pack(found, None)
