"""Megatron Energon: a blend of four prepared datasets of tar files."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.webdataset_peer import WebDataset
from benchmarks.peers.workload import Rows


class Energon(WebDataset):
    name = "Energon"

    def write(self, folder: Path, streams: list[Rows]) -> None:
        super().write(folder, streams)
        energon = Path(sys.executable).with_name("energon")
        for number in range(len(streams)):
            options = [
                "--non-interactive",
                "--split-parts",
                "train:.*",
                "--sample-type",
                "CrudeWebdataset",
                "--force-overwrite",
            ]
            subprocess.run([str(energon), "prepare", *options, str(folder / str(number))], check=True, capture_output=True)

    def batches(
        self, folder: Path, shares: tuple[float, ...], size: int, workers: int, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[object]:
        yield from self._open(folder, shares, size, workers, rank, world_size)

    def change(
        self, folder: Path, before: tuple[float, ...], after: tuple[float, ...], size: int, batches: int
    ) -> Iterator[object]:
        first = self._open(folder, before, size, 0)
        for number, batch in enumerate(first, start=1):
            yield batch
            if number == batches:
                break
        second = self._open(folder, after, size, 0)
        second.restore_state_rank(first.save_state_rank())
        yield from second

    def _open(
        self, folder: Path, shares: tuple[float, ...], size: int, workers: int, rank: int = 0, world_size: int = 1
    ) -> Any:
        from megatron.energon import (
            Cooker,
            CrudeSample,
            DefaultTaskEncoder,
            WorkerConfig,
            get_savable_loader,
            get_train_dataset,
            stateless,
        )

        @stateless  # type: ignore[untyped-decorator]
        def cook(sample: CrudeSample) -> CrudeSample:
            return sample

        class Encoder(DefaultTaskEncoder):  # type: ignore[misc]
            decoder = None
            cookers = (Cooker(cook),)

            def batch(self, samples: list[Any]) -> Any:
                return np.stack([np.frombuffer(sample["tokens"], np.uint16) for sample in samples])

        config = WorkerConfig(rank=rank, world_size=world_size, num_workers=workers)
        dataset = get_train_dataset(
            describe(folder, shares),
            worker_config=config,
            batch_size=size,
            shuffle_buffer_size=1000,
            max_samples_per_sequence=100,
            task_encoder=Encoder(),
        )
        return get_savable_loader(dataset)


def describe(folder: Path, shares: tuple[float, ...]) -> Path:
    """The blend as a file. The path is the same for all shares, since a saved state names it."""
    lines = ["__module__: megatron.energon", "__class__: MetadatasetV2", "splits:", "  train:", "    blend:"]
    for number, share in enumerate(shares):
        lines += [f"      - path: ./{number}", f"        weight: {share}"]
    path = folder / "blend.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path
