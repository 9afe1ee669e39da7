"""torchdata nodes: MultiNodeWeightedSampler over shuffled, memory-mapped arrays."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.grain_peer import Grain


class Torchdata(Grain):
    name = "torchdata nodes"

    def batches(
        self, folder: Path, shares: tuple[float, ...], size: int, workers: int, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[object]:
        yield from self._loader(folder, shares, size, workers, rank, world_size)

    def change(
        self, folder: Path, before: tuple[float, ...], after: tuple[float, ...], size: int, batches: int
    ) -> Iterator[object]:
        first = self._loader(folder, before, size, 0)
        for number, batch in enumerate(first, start=1):
            yield batch
            if number == batches:
                break
        second = self._loader(folder, after, size, 0)
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        yield from second

    def _loader(
        self, folder: Path, shares: tuple[float, ...], size: int, workers: int, rank: int = 0, world_size: int = 1
    ) -> Any:
        import torchdata.nodes as nodes
        from torch.utils.data import RandomSampler

        names = [str(number) for number in range(len(shares))]
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}
        sources = {}
        for name in names:
            order = nodes.SamplerWrapper(RandomSampler(range(len(arrays[name]))))
            sources[name] = nodes.Mapper(order, lambda row, name=name: (name, row))
        mixed = nodes.MultiNodeWeightedSampler(
            sources,
            dict(zip(names, shares, strict=True)),
            stop_criteria="CYCLE_FOREVER",
            rank=rank,
            world_size=world_size,
        )
        batched = nodes.Batcher(mixed, size)

        def gather(batch: list[tuple[str, int]]) -> Any:
            return np.stack([arrays[name][row] for name, row in batch])

        if not workers:
            return nodes.Loader(nodes.Mapper(batched, gather))
        return nodes.Loader(nodes.ParallelMapper(batched, gather, num_workers=workers, method="process"))
