"""phasemix: a run over a mixture, read by MixedLoader."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers.workload import Rows

KEYS = ("a", "b", "c", "d")


class Phasemix:
    name = "phasemix"

    def write(self, folder: Path, streams: list[Rows]) -> None:
        from streamer import Catalog

        catalog = Catalog(folder)
        for key, rows in zip(KEYS, streams, strict=True):
            catalog.append(f"raw/{key}", rows, seq_len=rows.shape[1])

    def batches(
        self, folder: Path, shares: tuple[float, ...], size: int, workers: int, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[object]:
        from training import MixedLoader

        run = self._run(folder, shares, size)
        loader = MixedLoader(folder, run, rank=rank, world_size=world_size, num_workers=workers, dtype=None, labels=False)
        for batch in loader:
            yield batch["input_ids"]

    def change(
        self, folder: Path, before: tuple[float, ...], after: tuple[float, ...], size: int, batches: int
    ) -> Iterator[object]:
        from mixer import RunReader, Runs

        run = self._run(folder, before, size, name="changed", write_ahead=32)
        with RunReader(folder, run) as reader:
            step = 0
            while True:
                if step == batches:
                    Runs(folder).switch(run, self._mixture(folder, after))
                yield reader.read(step).tokens
                step += 1

    def _mixture(self, folder: Path, shares: tuple[float, ...]) -> str:
        from mixer import Mixtures
        from streamer import Catalog

        seq_len = Catalog(folder).stream("raw/a").seq_len
        parts = [
            f'[[component]]\nname = "{key}"\nstreams = "raw/{key}"\nshare = {share}\n'
            for key, share in zip(KEYS, shares, strict=True)
        ]
        return Mixtures(folder).apply(f'name = "work"\nseq_len = {seq_len}\n' + "".join(parts))

    def _run(self, folder: Path, shares: tuple[float, ...], size: int, name: str = "read", write_ahead: int = 256) -> str:
        from mixer import Runs

        runs = Runs(folder)
        run = f"{name}{size}"
        if run not in [info.name for info in runs.list()]:
            runs.create(run, mixture=self._mixture(folder, shares), seed=1, global_batch=size, write_ahead=write_ahead)
        return run
