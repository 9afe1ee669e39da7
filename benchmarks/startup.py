"""From the call `RunReader(...)` to the first batch in hand, in a fresh process, and the memory that it takes.

Catalogs of sparse shards (hard links of one file of holes) with true manifests, 8,192-token samples, G = 512, world size 1;
at the first batch and in the middle of a pass, whose ledger was extended by stepping counts, in segments of 1,024
batches. What this node hashed before is known, as after any earlier start; `cold_s` is the same with nothing known, every
shard of the first batch hashed. `peak_mb` is the peak of the process's own memory (RssAnon, sampled every millisecond in a
start that is not timed) less what the imports take; pages of mapped shards belong to the page cache of the machine, and how
many of them the kernel maps at a touch, up to megabytes a row, is its choice: `mapped_mb`.

The row with the position "catalog" has no batch: it is `Catalog(...).streams()` over 200,000 parts of one shard each, and
the memory that it takes.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xxhash

from benchmarks.manifests import RUN, add_stream, start_run, write_streams
from benchmarks.report import Report, main
from streamer import Catalog
from streamer.catalog.manifest import Shard
from streamer.catalog.parts import hash_file
from streamer.mds import layout as mds
from streamer.reading.hash_memory import HashMemory, describe

SEQ_LEN, GLOBAL_BATCH, SEGMENT = 8192, 512, 1024
LINKS = 50_000  # of one file
REPEATS = 3
STREAMS, PARTS, PART_SAMPLES = 400, 500, 100  # of the catalog that is only opened


class World(NamedTuple):
    samples: int
    shards: int
    streams: int
    cold: bool = False
    beside: bool = False


WORLDS = [
    World(10**5, 10, 1, cold=True, beside=True),
    World(10**6, 100, 20, beside=True),
    World(10**7, 1000, 100, beside=True),
    World(10**7, 4000, 400),
    World(10**8, 10_000, 100),
    World(10**9, 100_000, 100, cold=True),
]


def measure() -> Report:
    rows: list[dict[str, Any]] = []
    for world in WORLDS:
        with tempfile.TemporaryDirectory(prefix="phasemix-bench-") as folder:
            rows += rows_of(world, Path(folder))
    with tempfile.TemporaryDirectory(prefix="phasemix-bench-") as folder:
        rows.append(many_parts(Path(folder)))
    worst = [row for row in rows if row["samples"] == max(world.samples for world in WORLDS)]
    figures = {name: max(row[name] for row in worst) for name in ("seconds", "peak_mb")}
    figures |= {"catalog_s": rows[-1]["seconds"], "catalog_mb": rows[-1]["peak_mb"]}
    targets = {"seconds": ("<=", 1.0), "peak_mb": ("<=", 200.0), "catalog_s": ("<=", 1.0), "catalog_mb": ("<=", 200.0)}
    return Report("first batch", rows, figures, targets)


def many_parts(folder: Path) -> dict[str, Any]:
    """The row of a catalog of many parts that is only opened."""
    write_streams(folder / "catalog", streams=STREAMS, parts=PARTS, samples=PART_SAMPLES, seq_len=SEQ_LEN)
    found = [elsewhere(["--root", str(folder / "catalog"), "--catalog"], folder) for _ in range(REPEATS)]
    shards = STREAMS * PARTS
    row: dict[str, Any] = {"samples": shards * PART_SAMPLES, "shards": shards, "streams": STREAMS, "position": "catalog"}
    row |= {key: max(one[key] for one in found) for key in ("seconds", "peak_mb", "mapped_mb")}
    return {**row, "cold_s": None, "streaming_s": None, "streaming_mb": None}


def rows_of(world: World, folder: Path) -> list[dict[str, Any]]:
    root, known, nothing = folder / "catalog", folder / "known", folder / "nothing"
    middle = build(world, root, known)
    beside = stock(root) if world.beside else None
    rows = []
    for position, step in (("start", 0), ("middle", middle)):
        found = [first_batch(root, step, known) for _ in range(REPEATS)]
        memory = first_batch(root, step, known, "--memory")
        cold = None
        if world.cold:
            cold = first_batch(root, step, nothing)["seconds"]
            shutil.rmtree(nothing)
        rows.append(
            {
                "samples": world.samples,
                "shards": world.shards,
                "streams": world.streams,
                "position": position,
                "seconds": max(one["seconds"] for one in found),
                "peak_mb": memory["peak_mb"],
                "mapped_mb": memory["mapped_mb"],
                "cold_s": cold,
                "streaming_s": beside and beside["seconds"],
                "streaming_mb": beside and beside["peak_mb"],
            }
        )
    return rows


def build(world: World, root: Path, known: Path) -> int:
    """A catalog, its shards, a ledger to the middle of a pass, and what the node knows of hashes; the middle's step."""
    catalog = Catalog(root)
    samples, each = world.samples // world.shards, world.shards // world.streams
    base = root.parent / "holes.mds"
    digest = write_holes(base, samples)
    size = base.stat().st_size
    (known / "hashes").mkdir(parents=True)
    memory, used = [], 0
    for stream in range(world.streams):
        name, part = f"raw/s{stream:03d}", f"{stream:016x}"
        shards = [Shard(name=f"shard.{n:05d}.mds", samples=samples, size_bytes=size, xxh3=digest) for n in range(each)]
        place = root / "streams" / name / "_parts" / part
        place.mkdir(parents=True)
        for shard in shards:
            if used and used % LINKS == 0:
                base.unlink()
                write_holes(base, samples)
            used += 1
            os.link(base, place / shard.name)
            memory.append(describe(part, shard.name, digest, (place / shard.name).stat()))
        write_index(place, shards)
        add_stream(catalog, name, seq_len=SEQ_LEN, shards=shards, part_id=part)
    lines = HashMemory(known / "hashes" / xxhash.xxh3_64_hexdigest(str(root.resolve()).encode()))
    for line in memory:
        lines.add(line)
    middle = world.samples // GLOBAL_BATCH // 2
    start_run(catalog, seq_len=SEQ_LEN, global_batch=GLOBAL_BATCH, batches=middle + SEGMENT, segment=SEGMENT)
    return middle


def write_holes(path: Path, samples: int) -> str:
    """A shard whose rows are holes; its hash."""
    row_bytes = 2 * SEQ_LEN
    head = mds.shard_head(mds.shard_config({"tokens": mds.tokens_encoding("uint16", SEQ_LEN)}, {"tokens": row_bytes}))
    first = 4 + 4 * (samples + 1) + len(head)
    offsets = first + row_bytes * np.arange(samples + 1, dtype=np.int64)
    with path.open("wb") as file:
        file.write(np.uint32(samples).tobytes() + offsets.astype(np.uint32).tobytes() + head)
        file.truncate(int(offsets[-1]))
    os.utime(path, ns=(0, 0))
    return hash_file(path)


def write_index(place: Path, shards: list[Shard]) -> None:
    """What StreamingDataset reads."""
    config = mds.shard_config({"tokens": mds.tokens_encoding("uint16", SEQ_LEN)}, {"tokens": 2 * SEQ_LEN})
    listed = [
        {
            **config,
            "samples": shard.samples,
            "raw_data": {"basename": shard.name, "bytes": shard.size_bytes, "hashes": {}},
            "zip_data": None,
        }
        for shard in shards
    ]
    (place / "index.json").write_text(json.dumps({"version": 2, "shards": listed}))


def first_batch(root: Path, step: int, cache: Path, *more: str) -> dict[str, float]:
    return elsewhere(["--root", str(root), "--step", str(step), *more], cache)


def stock(root: Path) -> dict[str, float]:
    """StreamingDataset's figures; its memory without mapped files and shared memory, too."""
    timed, watched = (
        elsewhere(["--root", str(root), "--stock", *more], root.parent / "stock") for more in ((), ("--memory",))
    )
    return {"seconds": timed["seconds"], "peak_mb": watched["peak_mb"]}


def elsewhere(arguments: list[str], cache: Path) -> dict[str, float]:
    environment = {**os.environ, "PHASEMIX_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "benchmarks.startup", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def memory_mb(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def one_start() -> None:
    """Times one start in this process, or watches its memory, and prints that."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path)
    parser.add_argument("--step", type=int, default=0)
    parser.add_argument("--stock", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--catalog", action="store_true")
    options = parser.parse_args()
    if options.stock:
        from streaming import Stream, StreamingDataset
        from streaming.base.util import clean_stale_shared_memory

        clean_stale_shared_memory()
        folders = sorted(path.parent for path in options.root.rglob("index.json"))
    else:
        from mixer import RunReader
    peak, before = [memory_mb("RssAnon")], {key: memory_mb(key) for key in ("RssAnon", "RssFile")}
    if options.memory:
        threading.Thread(target=watch, args=(peak,), daemon=True).start()
    began = time.perf_counter()
    if options.stock:
        dataset = StreamingDataset(streams=[Stream(local=str(folder)) for folder in folders], batch_size=8, shuffle=True)
        next(iter(dataset))
    elif options.catalog:
        assert len(Catalog(options.root).streams()) == STREAMS
    else:
        reader = RunReader(options.root, RUN)
        assert len(reader.read(options.step).tokens) == GLOBAL_BATCH
    found = {"seconds": time.perf_counter() - began}
    found["peak_mb"] = max(peak[0], memory_mb("RssAnon")) - before["RssAnon"]
    found["mapped_mb"] = memory_mb("RssFile") - before["RssFile"]
    print(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)


def watch(peak: list[float]) -> None:
    while True:
        peak[0] = max(peak[0], memory_mb("RssAnon"))
        time.sleep(0.001)


if __name__ == "__main__":
    if "--root" in sys.argv:
        one_start()
    sys.exit(main(measure, __doc__))
