"""webdataset: RandomMix over four shuffled tar pipelines. It keeps no position, so a change of shares begins anew."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.workload import Rows

PER_TAR = 500


class WebDataset:
    name = "webdataset"

    def write(self, folder: Path, streams: list[Rows]) -> None:
        import webdataset

        for number, rows in enumerate(streams):
            (folder / str(number)).mkdir(parents=True)
            for start in range(0, len(rows), PER_TAR):
                with webdataset.TarWriter(str(folder / str(number) / f"{start:08d}.tar")) as out:
                    for index, row in enumerate(rows[start : start + PER_TAR], start=start):
                        out.write({"__key__": f"{index:08d}", "tokens": row.tobytes()})

    def batches(
        self, folder: Path, shares: tuple[float, ...], size: int, workers: int, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[object]:
        yield from self._loader(folder, shares, size, workers, world_size)

    def change(
        self, folder: Path, before: tuple[float, ...], after: tuple[float, ...], size: int, batches: int
    ) -> Iterator[object]:
        for number, batch in enumerate(self._loader(folder, before, size, 0), start=1):
            yield batch
            if number == batches:
                break
        yield from self._loader(folder, after, size, 0)

    def _loader(self, folder: Path, shares: tuple[float, ...], size: int, workers: int, world_size: int = 1) -> Any:
        import webdataset

        pipes = []
        for number in range(len(shares)):
            tars = [str(path) for path in sorted((folder / str(number)).glob("*.tar"))]
            split = webdataset.split_by_node if world_size > 1 else None
            pipe = webdataset.WebDataset(tars, shardshuffle=len(tars), nodesplitter=split, empty_check=False, seed=1)
            pipes.append(pipe.shuffle(1000).map(decode).repeat())
        mix = webdataset.RandomMix(pipes, probs=list(shares))
        mixed = webdataset.DataPipeline(mix, webdataset.batched(size, collation_fn=np.stack))
        return webdataset.WebLoader(mixed, batch_size=None, num_workers=workers)


def decode(sample: dict[str, Any]) -> Any:
    return np.frombuffer(sample["tokens"], np.uint16)
