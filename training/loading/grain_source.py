"""A run as a random-access source for grain, which torchtitan and MaxText read through.

Always holds:
- element n is this rank's rows of the n-th global batch that the run hands out, so that the position that grain saves counts
  global batches, and a training goes on from it with any number of ranks;
- only batches that the run's ledger holds are given. What lies behind them can still change, and is never read ahead.

How: grain asks for `len` and `[]` alone, so nothing of it is imported here. It reads with several threads, which take turns.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from mixer import RunReader
from mixer.errors import RunError
from mixer.runs.runs import Runs
from training.loading.position import check_start

Element = dict[str, npt.NDArray[Any]]


class RunSource:
    """A `grain.sources.RandomAccessDataSource` over a run. Read-only; it pickles.

    An element is a dictionary: `input_ids`, (rows, seq_len), in the stream's own dtype; `stream`, (rows,) int32, an index
    into `streams`; `step`, the batch's number in the run; `ignored`, (rows, seq_len) of bool, which tokens are to be left
    out of the loss.

    Args:
        rank: number of this process among the data-parallel ones.
        world_size: number of the data-parallel processes. It must divide the global batch.
        samples: makes an element of each of this rank's samples, without the dimension of rows, in the same order.
        num_batches: how many global batches there are. Default: all that the ledger holds.

    Raises: RunError for an unknown run, a world size that does not divide the batch, or a ledger with fewer batches.

    Example:
        source = RunSource(root, run, rank=jax.process_index(), world_size=jax.process_count())
        batches = iter(grain.MapDataset.source(source).to_iter_dataset())
        batches.set_state(saved)  # what get_state gave, in a training of any number of ranks
    """

    def __init__(
        self,
        root: str | Path,
        run: str,
        *,
        rank: int = 0,
        world_size: int = 1,
        samples: bool = False,
        num_batches: int | None = None,
    ) -> None:
        self._lock, self._reader = Lock(), RunReader(root, run, rank, world_size, read_only=True)
        self._held: tuple[int, Element] | None = None
        check_start(self._reader, 0)
        info = Runs(root).show(run)
        end = info.end_step
        there = end - sum(min(start + count, end) - start for start, count in info.skipped if start < end)
        if num_batches is not None and num_batches > there:
            raise RunError(
                f"run {run} holds {there:,} batches, not {num_batches:,}; write the others first with "
                f"phasemix runs extend {run} --to {end + num_batches - there}"
            )
        self._global_batch = info.global_batch
        self._num_batches = there if num_batches is None else num_batches
        self._rows = info.global_batch // world_size if samples else 0
        self._arguments = (root, run, rank, world_size, samples, self._num_batches)

    @property
    def streams(self) -> list[str]:
        """Names by the index in an element's `stream`."""
        return self._reader.streams

    def __len__(self) -> int:
        return self._num_batches * (self._rows or 1)

    def __getitem__(self, index: int) -> Element:
        if not 0 <= index < len(self):
            raise IndexError(f"{self!r} has {len(self):,} elements, so there is none at {index}")
        with self._lock:
            if not self._rows:
                return self._read(index)
            batch, row = divmod(index, self._rows)
            if self._held is None or self._held[0] != batch:
                self._held = batch, self._read(batch)
            return {name: array if name == "step" else array[row] for name, array in self._held[1].items()}

    def __repr__(self) -> str:  # grain compares it with the one that a position was saved with, whatever the world size
        return f"RunSource(run={self._arguments[1]!r}, samples={bool(self._rows)})"

    def __getstate__(self) -> tuple[Any, ...]:
        return self._arguments

    def __setstate__(self, arguments: tuple[Any, ...]) -> None:
        root, run, rank, world_size, samples, num_batches = arguments
        self.__init__(  # type: ignore[misc]
            root, run, rank=rank, world_size=world_size, samples=samples, num_batches=num_batches
        )

    def _read(self, index: int) -> Element:
        """This rank's part of the batch that is handed out as number `index`."""
        step = self._reader.next_step(self._reader.behind(0, index * self._global_batch))
        batch = self._reader.read(step)
        found: Element = {
            "input_ids": batch.tokens,
            "stream": batch.origin["stream"].astype(np.int32),
            "step": np.array(step),
        }
        if batch.redacted is not None or self._rows:  # grain batches samples whose parts are the same alone
            found["ignored"] = np.zeros(batch.tokens.shape, bool) if batch.redacted is None else batch.redacted
        return found
