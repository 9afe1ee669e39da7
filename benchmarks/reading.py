"""Batches read, planning included, against a plain memory-mapped gather of the same rows and against StreamingDataset.

Four streams of 4,000 to 8,000 samples of 8,192 uint16 tokens, warm cache, a ledger that holds the batches. Each case is a
fresh process that goes once over its rows before it is timed; the cases are gone through in rounds, and the ratios are of
medians. `rank 0 of 64` plans the slots of one rank only; `ledger grows` writes its segments as it reads.

Each ratio is between equals: `of_gather` is to the gather of as many rows a read, `of_streaming` of a MixedLoader to the
faster StreamingDataLoader of as many rows and workers. The targets for loaders are those of the smaller ratio at 8 and 512.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Report, main

SEQ_LEN, SAMPLES, SIZES, WORKERS = 8192, (4000, 5000, 6000, 8000), (8, 512), (0, 1, 2)
ROUNDS, SECONDS = 5, 1.5
WARM_ROWS = sum(SAMPLES)
BATCHES = {8: 60_000, 512: 2_500}  # in the ledger
PREDOWNLOAD = 4096
TARGETS = {
    "ratio_gather": (">=", 1.1),
    "ratio_gather_8": (">=", 0.75),
    "ratio_gather_8_grows": (">=", 0.4),
    "ratio_streaming_0_workers": (">=", 20.0),
    "ratio_streaming_1_workers": (">=", 2.0),
    "ratio_streaming_2_workers": (">=", 1.5),
}


def gather_batches(root: Path, size: int) -> Iterator[int]:
    """A row copy at a time from shards mapped before, in the order of the run."""
    from mixer import RunReader
    from streamer import Catalog
    from streamer.reading.reader import Reader

    catalog, views, firsts = Catalog(root), [], []
    shards = Reader(catalog.store)
    with RunReader(root, f"g{size}") as reader:
        for name in reader.streams:
            snapshot = catalog.stream(name)
            (part,) = snapshot.parts
            views.append([shards.rows(part, shard, snapshot.schema) for shard in part.shards])
            firsts.append(np.cumsum([0, *(len(view) for view in views[-1])]))
        batches = []
        for step in range(WARM_ROWS // size):
            origin, batch = reader.read(step).origin, []
            for stream, row in zip(origin["stream"].tolist(), origin["row"].tolist(), strict=True):
                shard = int(np.searchsorted(firsts[stream], row, "right")) - 1
                batch.append((views[stream][shard], row - int(firsts[stream][shard])))
            batches.append(batch)
    for batch in itertools.cycle(batches):
        out = np.empty((size, SEQ_LEN), np.uint16)
        for place, (view, row) in enumerate(batch):
            out[place] = view[row]
        yield size


def reader_batches(root: Path, size: int, *, rank: int = 0, world_size: int = 1, run: str = "") -> Iterator[int]:
    from mixer import RunReader

    with RunReader(root, run or f"g{size}", rank, world_size) as reader:
        for step in itertools.count():
            yield len(reader.read(step).tokens)


def loader_batches(root: Path, size: int, workers: int) -> Iterator[int]:
    from training import MixedLoader

    for batch in MixedLoader(root, f"g{size}", num_workers=workers, dtype=None, labels=False):
        yield len(batch["input_ids"])


def streaming_batches(root: Path, size: int, workers: int, predownload: int | None) -> Iterator[int]:
    from streaming import Stream, StreamingDataLoader, StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    clean_stale_shared_memory()
    streams = [Stream(local=str(path.parent)) for path in sorted(root.rglob("index.json"))]
    dataset = StreamingDataset(streams=streams, batch_size=size, shuffle=True, predownload=predownload)
    loader = StreamingDataLoader(dataset, batch_size=size, num_workers=workers)
    while True:
        for batch in loader:
            yield len(batch["tokens"])


def cases() -> dict[str, tuple[int, Callable[[Path], Iterator[int]]]]:
    """By name: rows a read, and what yields batch after batch."""
    found: dict[str, tuple[int, Callable[[Path], Iterator[int]]]] = {}
    for size in SIZES:
        found[f"gather {size}"] = size, lambda root, size=size: gather_batches(root, size)  # type: ignore[misc]
        found[f"RunReader {size}"] = size, lambda root, size=size: reader_batches(root, size)  # type: ignore[misc]
        found[f"RunReader {size}, ledger grows"] = (
            size,
            lambda root, size=size: reader_batches(  # type: ignore[misc]
                root, size, run=f"fresh{size}-{os.getpid()}"
            ),
        )
        for workers in WORKERS:
            found[f"MixedLoader {size}, {workers} workers"] = (
                size,
                lambda root, size=size, workers=workers: loader_batches(root, size, workers),  # type: ignore[misc]
            )
            for predownload in (None, PREDOWNLOAD):
                found[f"StreamingDataLoader {size}, {workers} workers, predownload {predownload or 'default'}"] = (
                    size,
                    lambda root, size=size, workers=workers, ahead=predownload: streaming_batches(  # type: ignore[misc]
                        root, size, workers, ahead
                    ),
                )
    found["RunReader, rank 0 of 64 at 512"] = 512, lambda root: reader_batches(root, 512, world_size=64)
    return found


def run_case(root: Path, name: str) -> float:
    """Samples a second of one case, in this process."""
    size, batches = cases()[name]
    if "grows" in name:
        create(root, f"fresh{size}-{os.getpid()}", size, batches=0)
    stream = batches(root)
    slow = name.startswith("Streaming")
    warm = time.perf_counter() + SECONDS
    for rows in itertools.accumulate(stream):
        if rows >= (WARM_ROWS // 64 if "rank" in name else WARM_ROWS) or (slow and time.perf_counter() > warm):
            break
    began, rows = time.perf_counter(), 0
    while (now := time.perf_counter() - began) < SECONDS:
        rows += next(stream)
    return rows / now


def create(root: Path, run: str, size: int, *, batches: int) -> None:
    from mixer import Runs
    from mixer.journal.journal import Journal

    Runs(root).create(run, mixture="bench@1", seed=17, global_batch=size)
    if batches:
        Journal(Runs(root).catalog, run).ensure(batches - 1, to=batches)


def build(root: Path) -> None:
    from mixer import Mixtures
    from streamer import Catalog

    catalog = Catalog(root)
    for number, samples in enumerate(SAMPLES):
        rows = np.random.default_rng(number).integers(0, 60_000, (samples, SEQ_LEN), np.uint16)
        catalog.append(f"raw/{'abcd'[number]}", rows, seq_len=SEQ_LEN)
    text = f'name = "bench"\nseq_len = {SEQ_LEN}\n[[component]]\nstreams = "raw/*"\nshare = 1\n'
    Mixtures(catalog).apply(text)
    for size in SIZES:
        create(root, f"g{size}", size, batches=BATCHES[size])


def elsewhere(root: Path, name: str) -> float:
    """Samples a second of one case, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.reading", "--case", name, "--root", str(root)]
    environment = {**os.environ, "PHASEMIX_CACHE": str(root.parent / "cache"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def measure() -> Report:
    found: dict[str, list[float]] = {name: [] for name in cases()}
    with tempfile.TemporaryDirectory(prefix="phasemix-bench-") as folder:
        root = Path(folder) / "catalog"
        build(root)
        for turn in range(ROUNDS):
            for name, speeds in found.items():
                if turn == 0 or (turn < 3 if name.startswith("MixedLoader") else not name.startswith("Streaming")):
                    speeds.append(elsewhere(root, name))
            if turn in (1, 2):
                for size, workers in itertools.product(SIZES, WORKERS):
                    name = rival(found, size, workers)
                    found[name].append(elsewhere(root, name))
    medians = {name: statistics.median(speeds) for name, speeds in found.items()}
    rows = [table_row(name, medians, found) for name in found]
    figures = {
        "ratio_gather": medians["RunReader 512"] / medians["gather 512"],
        "ratio_gather_8": medians["RunReader 8"] / medians["gather 8"],
        "ratio_gather_8_grows": medians["RunReader 8, ledger grows"] / medians["gather 8"],
    }
    for workers in WORKERS:
        figures[f"ratio_streaming_{workers}_workers"] = min(
            medians[f"MixedLoader {size}, {workers} workers"] / medians[rival(found, size, workers)] for size in SIZES
        )
    return Report("8,192-token samples read", rows, figures, TARGETS)


def rival(found: dict[str, list[float]], size: int, workers: int) -> str:
    """The StreamingDataLoader that was faster in the first round, of as many rows and workers."""
    names = [name for name in found if name.startswith(f"StreamingDataLoader {size}, {workers} workers")]
    return max(names, key=lambda name: found[name][0])


def table_row(name: str, medians: dict[str, float], found: dict[str, list[float]]) -> dict[str, Any]:
    size, speeds = cases()[name][0], found[name]
    of_streaming = None
    if name.startswith("MixedLoader"):
        workers = next(workers for workers in WORKERS if f" {workers} workers" in name)
        of_streaming = medians[name] / medians[rival(found, size, workers)]
    return {
        "case": name,
        "samples_per_s": round(medians[name]),
        "worst": round(min(speeds)),
        "MB_per_s": round(medians[name] * SEQ_LEN * 2 / 1e6),
        "of_gather": medians[name] / medians[f"gather {size}"],
        "of_streaming": of_streaming,
        "rounds": len(speeds),
    }


def one_case() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--case")
    parser.add_argument("--root", type=Path)
    options = parser.parse_args()
    print(run_case(options.root, options.case))
    sys.stdout.flush()
    os._exit(0)  # without waiting for a loader's workers


if __name__ == "__main__":
    if "--case" in sys.argv:
        one_case()
    sys.exit(main(measure, __doc__))
