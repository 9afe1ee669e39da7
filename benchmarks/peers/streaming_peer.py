"""mosaicml-streaming: one StreamingDataset over four streams with proportions."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers.workload import Rows


class Streaming:
    name = "StreamingDataset"

    def write(self, folder: Path, streams: list[Rows]) -> None:
        from streaming import MDSWriter

        for number, rows in enumerate(streams):
            columns = {"tokens": f"ndarray:uint16:{rows.shape[1]}"}
            with MDSWriter(out=str(folder / str(number)), columns=columns) as out:
                for row in rows:
                    out.write({"tokens": row})

    def batches(
        self, folder: Path, shares: tuple[float, ...], size: int, workers: int, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[object]:
        while True:  # an epoch is of the dataset: the next one begins anew
            yield from (batch["tokens"] for batch in self._loader(folder, shares, size, workers))

    def change(
        self, folder: Path, before: tuple[float, ...], after: tuple[float, ...], size: int, batches: int
    ) -> Iterator[object]:
        loader = self._loader(folder, before, size, 0)
        for number, batch in enumerate(loader):
            if number == batches:
                break
            yield batch["tokens"]
        state = loader.state_dict()
        loader = self._loader(folder, after, size, 0)
        loader.load_state_dict(state)
        while True:
            yield from (batch["tokens"] for batch in loader)

    def _loader(self, folder: Path, shares: tuple[float, ...], size: int, workers: int) -> Any:
        from streaming import Stream, StreamingDataLoader, StreamingDataset
        from streaming.base.util import clean_stale_shared_memory

        if "RANK" not in os.environ:  # the ranks of a world would clean up after one another
            clean_stale_shared_memory()
        streams = [Stream(local=str(folder / str(number)), proportion=share) for number, share in enumerate(shares)]
        dataset = StreamingDataset(streams=streams, batch_size=size, shuffle=True, num_canonical_nodes=1)
        return StreamingDataLoader(dataset, batch_size=size, num_workers=workers)
