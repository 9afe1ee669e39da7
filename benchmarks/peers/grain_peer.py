"""grain: MapDataset.mix over memory-mapped arrays, its own worker processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.workload import Rows


class Grain:
    name = "grain"

    def write(self, folder: Path, streams: list[Rows]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for number, rows in enumerate(streams):
            np.save(folder / f"{number}.npy", rows)

    def batches(
        self, folder: Path, shares: tuple[float, ...], size: int, workers: int, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[object]:
        return iter(self._dataset(folder, shares, size, workers, rank, world_size))

    def change(
        self, folder: Path, before: tuple[float, ...], after: tuple[float, ...], size: int, batches: int
    ) -> Iterator[object]:
        first = iter(self._dataset(folder, before, size, 0))
        for _ in range(batches):
            yield next(first)
        second = iter(self._dataset(folder, after, size, 0))
        second.set_state(first.get_state())
        yield from second

    def _dataset(
        self, folder: Path, shares: tuple[float, ...], size: int, workers: int, rank: int = 0, world_size: int = 1
    ) -> Any:
        import grain

        sources = [
            grain.MapDataset.source(np.load(folder / f"{number}.npy", mmap_mode="r")).seed(number).shuffle().repeat()
            for number in range(len(shares))
        ]
        mixed = grain.MapDataset.mix(sources, weights=list(shares))[rank::world_size].batch(size).to_iter_dataset()
        return mixed.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers)) if workers else mixed
