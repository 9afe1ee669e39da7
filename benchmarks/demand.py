"""What the generators' planner pays at every tick to know what runs still need: 300 runs, three of which draw synthetic.

`tick_ms`: asked again, one run having grown; `first_ms`: asked by a planner that has just started. `logs_ms`, the rival: one
look at the end of each run's log, which nobody can do without.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.manifests import add_stream
from benchmarks.report import Report, main
from mixer import Mixtures, Runs
from mixer.runs.demand import Demand
from streamer import Catalog
from streamer.catalog.manifest import Shard

RUNS, DRAWING, SEGMENTS, TICKS = 300, 3, 16, 20
SEQ_LEN, BATCH = 512, 64


def measure() -> Report:
    with tempfile.TemporaryDirectory(prefix="phasemix-demand-") as folder:
        root = Path(folder) / "catalog"
        fill(root)
        catalog = Catalog(root)
        demand = Demand(catalog)
        first_s = timed(demand.tokens)
        runs, ticks_s = Runs(catalog), []
        for tick in range(TICKS):
            runs.extend(f"run-{tick}", (SEGMENTS + 1) * 32)
            ticks_s.append(timed(demand.tokens))
        logs = [catalog.log(f"runs/{name}/ledger") for name in catalog.names("runs")]
        logs_s = statistics.median(timed(lambda: [log.read() for log in logs]) for _ in range(TICKS))
        tick_s = statistics.median(ticks_s)
    figures = {"tick_ms": 1e3 * tick_s, "first_ms": 1e3 * first_s, "logs_ms": 1e3 * logs_s, "to_logs": tick_s / logs_s}
    row = {"runs": RUNS, "draw_synthetic": DRAWING, "entries": SEGMENTS + 1, **figures}
    return Report("demand of live runs", [row], figures, {"tick_ms": ("<=", 50.0)})


def fill(root: Path) -> None:
    catalog = Catalog(root)
    shard = Shard(name="shard.00000.mds", samples=50_000, size_bytes=0, xxh3="0" * 16)
    for kind in ("raw", "synthetic"):
        add_stream(catalog, f"{kind}/go", seq_len=SEQ_LEN, shards=[shard])
    text = 'name = "{kind}"\nseq_len = {seq_len}\n[[component]]\nstreams = "{kind}/*"\nshare = 1\n'
    mixtures = {kind: Mixtures(catalog).apply(text.format(kind=kind, seq_len=SEQ_LEN)) for kind in ("raw", "synthetic")}
    runs = Runs(catalog)
    for number in range(RUNS):
        kind = "synthetic" if number < DRAWING else "raw"
        runs.create(f"run-{number}", mixture=mixtures[kind], seed=number, global_batch=BATCH)
        runs.extend(f"run-{number}", SEGMENTS * 32)


def timed(call: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    call()
    return time.perf_counter() - began_s


if __name__ == "__main__":
    sys.exit(main(measure, __doc__))
