"""The order in which mosaicml-streaming's StreamingDataset draws, by its own partition, for several ranks at once.

Always holds: a sample is known by its tokens, as read by the dataset itself; no shared memory of the process stays.

How: `generate_work` is what every rank of a StreamingDataset takes its sample ids from. Call `orders` in a process of its
own, which streaming's shared memory ends with. Each stretch goes on where the one before it stopped in its epoch, as a
dataset does that loads a state.
"""

import logging
import tempfile
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


class Stretch(NamedTuple):
    """Batches of `global_batch` samples up to step `end`. `streams`: arguments of each `streaming.Stream`, which hold
    `samples` together."""

    streams: list[dict[str, Any]]
    samples: int
    global_batch: int
    ranks: int
    end: int


class Order(NamedTuple):
    """One life of a dataset: its batching method and stretches."""

    method: str
    stretches: list[Stretch]


def orders(wanted: list[Order], folder: str) -> list[Ids | str]:
    """The ids of the samples of each order, (batches, global batch), or why streaming refuses it.

    `folder` takes its lock files.
    """
    tempfile.tempdir = folder
    logging.disable(logging.WARNING)
    datasets = Datasets()
    found: list[Ids | str] = []
    for order in wanted:
        found.append(draw(order, datasets))
    return found


class Datasets:
    """One dataset for each stretch: a method decides nothing before `generate_work`."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Any, Ids]] = {}
        self._contents: dict[str, Ids] = {}

    def get(self, stretch: Stretch) -> tuple[Any, Ids]:
        """The dataset, and by sample id what the tokens say."""
        key = repr(stretch._replace(end=0))
        if key not in self._made:
            dataset = self._make(stretch)
            self._made[key] = dataset, self._ids(dataset)
        return self._made[key]

    def _make(self, stretch: Stretch) -> Any:
        from streaming import Stream, StreamingDataset

        dataset = StreamingDataset(
            streams=[Stream(**arguments) for arguments in stretch.streams],
            epoch_size=stretch.samples // stretch.global_batch * stretch.global_batch,
            batch_size=stretch.global_batch // stretch.ranks,
            num_canonical_nodes=1,
            shuffle=True,
            shuffle_block_size=1 << 18,
        )
        dataset.initial_physical_nodes = 1
        return dataset

    def _ids(self, dataset: Any) -> Ids:
        for stream, first, count in zip(
            dataset.streams, dataset.sample_offset_per_stream, dataset.samples_per_stream, strict=True
        ):
            if stream.local not in self._contents:
                tokens = np.array([dataset[index]["tokens"] for index in range(first, first + count)], np.int64)
                self._contents[stream.local] = tokens[:, 0] << 32 | tokens[:, 1]
        return np.concatenate([self._contents[stream.local] for stream in dataset.streams])


def draw(order: Order, datasets: Datasets) -> Ids | str:
    from streaming.base.batching import generate_work
    from streaming.base.world import World

    batches: list[Ids] = []
    epoch = in_epoch = 0
    for stretch in order.stretches:
        size = stretch.global_batch
        dataset, contents = datasets.get(stretch)
        while len(batches) < stretch.end:
            try:
                work = generate_work(order.method, dataset, World(1, stretch.ranks, 1, 0), epoch, in_epoch * size)
            except ValueError as error:  # there would be a batch without some stream
                return str(error)
            drawn = work.transpose(3, 2, 0, 1, 4).reshape(-1, size)  # (batches, ranks and their rows)
            drawn = drawn[(drawn >= 0).all(axis=1)]
            taken = drawn[: stretch.end - len(batches)]
            batches.extend(contents[taken])
            in_epoch += len(taken)
            if len(taken) == len(drawn):
                epoch, in_epoch = epoch + 1, 0
    return np.array(batches)
