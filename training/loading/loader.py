"""MixedLoader: a run's batches as a torch DataLoader that knows its position. It does not depend on Composer.

Always holds:
- Batch n of the loader is this rank's rows of the n-th global batch, counted from `start_step`, that is not skipped. The
  number of worker processes does not matter.
- A position describes what was handed out, never what workers have read ahead: its step is the number after the last
  batch. The positions of a run are also positions of the runs that later fork from it (position.py).
- The end of a run, or an error, reaches the caller as the object that was raised, also from worker processes.
- Worker processes send token ids in the stream's own dtype. They are converted after the hand-over, in the caller's process,
  so that a message does not grow four times.

How: worker processes send several batches in one message (message.py). An error travels as the last item of a message,
because torch would turn a raised error into a text with a traceback.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from mixer import RunEnded
from training.errors import PositionError
from training.loading.dataset import MixedDataset
from training.loading.fill_in_the_middle import FillInTheMiddle
from training.loading.message import Failure, Item, Message, Numbered, unpack
from training.loading.worker_signals import leave_signals

IGNORED = -100  # the label that torch's cross entropy leaves out


class MixedLoader(DataLoader[Any]):
    """A run's batches, ready for a plain training loop: `model(input_ids=batch["input_ids"], labels=batch["labels"])`.

    A batch is a dictionary of tensors: `input_ids`, (rows, seq_len), token ids; `labels`, the same tensor as `input_ids`,
    because the causal models of transformers shift labels themselves; `stream`, (rows,) int32, an index into `streams`.
    Where tokens of a batch are not to be learned, because their documents were redacted or by `learn_document_starts`,
    `labels` is a tensor of its own with -100 there, which losses leave out; without labels such a batch has `ignored`,
    (rows, seq_len) of bool.

    Args:
        rank: number of this process among the data-parallel ones. Default: that of torch.distributed, or 0.
        world_size: number of the data-parallel processes. Default: that of torch.distributed, or 1.
        num_workers: number of reading processes; with 0 the calling process reads. `persistent_workers` keeps them from one
            iterator to the next.
        start_step: number of the first batch.
        wait_s: seconds to wait for new parts where a component of the mixture says `when_dry = "wait"`.
        dtype: dtype of `input_ids`. Default: int64, which PyTorch's embeddings take. None keeps the stream's own dtype
            (uint16 or uint32), for a trainer that converts on the device. A batch in int64 is four times as large as in
            uint16. Measured with rows of 8192 ids on 2 busy cores: 8 rows a batch are read 0.7 to 1.1 times as fast as with
            None, 512 rows (a batch of 33 MB) 0.1 times as fast. Both are far faster than a training step.
        labels: adds `labels`. This costs nothing, since the tensor is shared; do not change it in place.
        with_stream: adds `stream`. Without it a batch holds only what a model's `forward` takes.
        with_origin: adds `origin`, (rows, 16) bytes of the origin's structure.
        boundaries: adds `boundaries`, (rows, width) int32, the cumulative lengths of each row's documents as `RunReader`
            gives them. Default: as the run was created.
        service: address of a mixer service that writes the segments in this trainer's place.
        fill_in_the_middle: rearranges some documents (fill_in_the_middle.py); the order of samples and what a
            position says stay.
        learn_document_starts: whether the first token of a document is learned where another document stands before it.
        pin_memory: hands out tensors in page-locked memory, if CUDA is there.

    `waited_s` is how long `next` took for the batch that was handed out last: what a trainer has waited for its data.

    Join a thread that reads before the program ends. A daemon thread that drops a tensor while the interpreter is taken down
    aborts the process, since torch frees tensors without Python's lock; `mixer.RunReader`, which gives arrays, does not.

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
        dtype: torch.dtype | None = torch.int64,
        labels: bool = True,
        with_stream: bool = True,
        with_origin: bool = False,
        boundaries: bool | None = None,
        service: str | None = None,
        fill_in_the_middle: FillInTheMiddle | None = None,
        learn_document_starts: bool = True,
        pin_memory: bool = False,
        persistent_workers: bool = False,
    ) -> None:
        rank, world_size = data_parallel(rank, world_size)
        dataset = MixedDataset(
            root,
            run,
            rank=rank,
            world_size=world_size,
            num_workers=num_workers,
            start_step=start_step,
            wait_s=wait_s,
            with_origin=with_origin,
            boundaries=boundaries,
            service=service,
            fill_in_the_middle=fill_in_the_middle,
            learn_document_starts=learn_document_starts,
        )
        self.dtype, self.labels, self.with_stream = dtype, labels, with_stream
        self.ended: RunEnded | None = None
        self.waited_s = 0.0
        self._pins = pin_memory and torch.cuda.is_available()
        self._step: int | None = None  # behind what was handed out, once something was
        remote = num_workers > 0 and "://" in str(root)  # an object store's client has threads, which do not survive a fork
        super().__init__(
            dataset,
            batch_size=None,
            num_workers=num_workers,
            collate_fn=_as_it_is,
            worker_init_fn=leave_signals,
            pin_memory=pin_memory,
            persistent_workers=persistent_workers,
            generator=torch.Generator(),  # an iterator with workers would draw their seed from the model's random state
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
        if self.num_workers:
            return HandedOut(self, super().__iter__())
        return HandedOutHere(self, iter(self.dataset))

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
        self._step, self._iterator = None, None  # workers that are kept have the position, but not all that belongs to it

    def hand_out(self, step: int, num_streams: int, item: Item, *, asked_s: float) -> Item:
        """Notes a batch as handed out, and returns it as the caller asked for it, which was at `asked_s`, monotonic."""
        self._step = step + 1
        self.names(num_streams)
        if self.dtype is not None:
            item["input_ids"] = converted(item["input_ids"], self.dtype, pinned=self._pins)
        if not self.with_stream:
            del item["stream"]
        if self._pins:
            item = {name: tensor.pin_memory() for name, tensor in item.items()}
        if self.labels:
            ignored = item.pop("ignored", None)
            item["labels"] = item["input_ids"] if ignored is None else labels_of(item["input_ids"], ignored)
        self.waited_s = time.monotonic() - asked_s
        return item

    def end(self, failure: Failure) -> None:
        """Raises what came in place of a batch: StopIteration at the run's end, else the error."""
        if isinstance(failure.error, RunEnded):
            self.ended = failure.error
            raise StopIteration from failure.error
        raise failure.error


class HandedOut(Iterator[Item]):
    """Hands out the batches of the messages that come from worker processes."""

    def __init__(self, loader: MixedLoader, messages: Iterator[Message]) -> None:
        self._loader, self._messages = loader, messages
        self._waiting: deque[tuple[int, int, Item]] = deque()
        self._failure: Failure | None = None

    def __next__(self) -> Item:
        asked_s = time.monotonic()
        while not self._waiting:
            if self._failure is not None:
                self._loader.end(self._failure)
            message = next(self._messages)
            self._waiting.extend(unpack(message))
            self._failure = message.failure
        return self._loader.hand_out(*self._waiting.popleft(), asked_s=asked_s)


class HandedOutHere(Iterator[Item]):
    """Hands out the batches that this process reads, without torch's own iterator, which costs more than the reading."""

    def __init__(self, loader: MixedLoader, batches: Iterator[Numbered | Failure]) -> None:
        self._loader, self._batches = loader, batches

    def __next__(self) -> Item:
        asked_s, found = time.monotonic(), next(self._batches)
        if isinstance(found, Failure):
            self._loader.end(found)
            raise AssertionError
        item = {name: torch.from_numpy(array) for name, array in found.arrays.items()}
        return self._loader.hand_out(found.step, found.num_streams, item, asked_s=asked_s)


def labels_of(ids: torch.Tensor, ignored: torch.Tensor) -> torch.Tensor:
    """Labels of a dtype that has the one that losses leave out."""
    signed = ids if ids.dtype in (torch.int32, torch.int64) else ids.to(torch.int64)
    return signed.masked_fill(ignored, IGNORED)


def converted(ids: torch.Tensor, dtype: torch.dtype, *, pinned: bool) -> torch.Tensor:
    """A copy in another dtype.

    NumPy makes it, in one thread. Torch would use several, and on busy cores they wait for each other: 4 times slower or
    more.
    """
    if pinned:
        found = torch.empty(ids.shape, dtype=dtype, pin_memory=True)
        found.numpy()[...] = ids.numpy()
        return found
    return torch.from_numpy(ids.numpy().astype(str(dtype).removeprefix("torch.")))


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
