"""Batches by `RunReader`, planning included, against a plain memory-mapped gather of the same rows in the same run.

Warm cache, 8,192-token samples, world size 1; each size is timed several times, the two in turn, and the ratio of each
pair is reported as median and worst.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mixer import Mixtures, RunReader, Runs
from streamer import Catalog
from streamer.command_options import print_table

SEQ_LEN, STREAMS, SAMPLES = 8192, 4, 2048
TARGETS = {512: 0.85, 8: 0.40}
REPEATS = 7
ROWS = 8192  # read for one measurement

MIXTURE = f"""
name = "bench"
seq_len = {SEQ_LEN}

[[component]]
streams = "raw/*"
share = 1.0
"""


def timed(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(root: Path, global_batch: int) -> dict[str, object]:
    """The ratio of a reader to the gather, at one batch size."""
    run = f"g{global_batch}"
    steps = ROWS // global_batch
    Runs(root).create(run, mixture="bench@1", seed=17, global_batch=global_batch, num_steps=None, write_ahead=10**6)
    reader = RunReader(root, run)
    origins = [reader.read(step).origin for step in range(2 * steps)]  # also writes the segments and warms the pages
    catalog = Catalog(root)
    tables = []
    for stream in reader.streams:
        (part,) = catalog.stream(stream).parts
        tables.append([reader._reader.rows(part, shard, catalog.stream(stream).schema) for shard in part.shards])
    firsts = [np.cumsum([0, *(len(view) for view in views)]) for views in tables]

    def gather(step: int) -> None:
        origin = origins[step]
        out = np.empty((global_batch, SEQ_LEN), np.uint16)
        for place, (stream, row) in enumerate(zip(origin["stream"].tolist(), origin["row"].tolist(), strict=True)):
            shard = int(np.searchsorted(firsts[stream], row, "right")) - 1
            out[place] = tables[stream][shard][row - firsts[stream][shard]]

    ratios, rates = [], []
    for repeat in range(REPEATS):
        first = (repeat % 2) * steps
        fresh = RunReader(root, run)  # nothing planned yet
        fresh.read(0)
        ours = timed(lambda fresh=fresh, first=first: [fresh.read(step) for step in range(first, first + steps)] and None)  # type: ignore[misc]
        theirs = timed(lambda first=first: [gather(step) for step in range(first, first + steps)] and None)  # type: ignore[misc]
        ratios.append(theirs / ours)
        rates.append(steps * global_batch / ours)
    return {
        "rows_a_read": global_batch,
        "samples_per_s": round(statistics.median(rates)),
        "ratio_median": statistics.median(ratios),
        "ratio_worst": min(ratios),
        "target": TARGETS[global_batch],
        "met": statistics.median(ratios) >= TARGETS[global_batch],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="phasemix-bench-") as folder:
        root = Path(folder) / "catalog"
        catalog = Catalog(root)
        for stream in range(STREAMS):
            rows = np.random.default_rng(stream).integers(0, 60_000, (SAMPLES, SEQ_LEN), np.uint16)
            catalog.append(f"raw/{'abcd'[stream]}", rows, seq_len=SEQ_LEN)
        Mixtures(root).apply(MIXTURE)
        rows_found = [measure(root, global_batch) for global_batch in TARGETS]
    if options.json:
        json.dump(rows_found, sys.stdout, indent=1)
        print()
    else:
        print_table(rows_found, as_json=False)
    return 0 if all(row["met"] for row in rows_found) else 1


if __name__ == "__main__":
    sys.exit(main())
