"""litData: CombinedStreamingDataset with weights over four optimized datasets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers.workload import Rows


class LitData:
    name = "litData"

    def write(self, folder: Path, streams: list[Rows]) -> None:
        from litdata.streaming.cache import Cache

        for number, rows in enumerate(streams):
            cache = Cache(str(folder / str(number)), chunk_bytes="64MB")
            for index, row in enumerate(rows):
                cache[index] = {"tokens": row}
            cache.done()
            cache.merge()

    def batches(
        self, folder: Path, shares: tuple[float, ...], size: int, workers: int, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[object]:
        loader = self._loader(folder, shares, size, workers)
        while True:
            yield from (batch["tokens"] for batch in loader)

    def change(
        self, folder: Path, before: tuple[float, ...], after: tuple[float, ...], size: int, batches: int
    ) -> Iterator[object]:
        first = self._loader(folder, before, size, 0)
        for number, batch in enumerate(first, start=1):
            yield batch["tokens"]
            if number == batches:
                break
        second = self._loader(folder, after, size, 0)
        second.load_state_dict(first.state_dict())
        while True:
            yield from (batch["tokens"] for batch in second)

    def _loader(self, folder: Path, shares: tuple[float, ...], size: int, workers: int) -> Any:
        from litdata import CombinedStreamingDataset, StreamingDataLoader, StreamingDataset

        datasets = [StreamingDataset(str(folder / str(number)), shuffle=True) for number in range(len(shares))]
        mixed = CombinedStreamingDataset(datasets, weights=list(shares), iterate_over_all=False)
        return StreamingDataLoader(mixed, batch_size=size, num_workers=workers)
