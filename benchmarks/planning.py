"""Sample ids that a core plans in a second: counts, slots, passes, lanes, and the part and row of each.

1 to 400 streams of 1e7 samples in 4,000 shards in all, 1 to 64 canonical nodes. Processor time of one thread, a stretch of
about 32,768 slots at a time, as a reader plans. The target is for G = 512; a small batch costs its counting.
"""

import sys
import time
from typing import Any

from benchmarks.manifests import RUN, add_stream, start_run
from benchmarks.report import Report, main
from mixer.planning.planner import PLANNED_AT_ONCE, make_planner
from mixer.planning.tables import Tables
from streamer import Catalog
from streamer.catalog.manifest import Shard
from streamer.store.store import MemoryStore

SAMPLES, SHARDS, SEQ_LEN = 10**7, 4000, 8
STREAMS, NODES, BATCHES = (1, 20, 100, 400), (1, 16, 64), (8, 64, 512, 4096)
SECONDS = 0.5
MOST_BATCHES = 1 << 16


def measure() -> Report:
    rows: list[dict[str, Any]] = []
    for streams in STREAMS:
        for nodes in NODES:
            speeds = {size: speed(streams, nodes, size) for size in BATCHES if size % nodes == 0}
            rows.append(
                {"streams": streams, "canonical_nodes": nodes, **{f"G_{size}": speeds.get(size) for size in BATCHES}}
            )
    worst = min(row["G_512"] for row in rows)
    return Report("ids planned a second and core", rows, {"ids_per_s": worst}, {"ids_per_s": (">=", 10**6)})


def speed(streams: int, nodes: int, size: int) -> int:
    catalog = Catalog(MemoryStore())
    shards = [
        Shard(name=f"shard.{number:05d}.mds", samples=SAMPLES // SHARDS, size_bytes=1, xxh3="0")
        for number in range(SHARDS // streams)
    ]
    for stream in range(streams):
        add_stream(catalog, f"raw/s{stream:03d}", seq_len=SEQ_LEN, shards=shards)
    journal = start_run(catalog, seq_len=SEQ_LEN, global_batch=size, nodes=nodes, batches=MOST_BATCHES, segment=MOST_BATCHES)
    planner = make_planner(journal.ledger, catalog, RUN, write=False, tables=Tables(catalog, journal.ledger, RUN))
    at_once = max(1, min(512, PLANNED_AT_ONCE // size))
    _, state = planner.plan(planner.state(0), at_once)  # the tables are made
    began, first = time.process_time(), state.step
    while time.process_time() - began < SECONDS and state.step < MOST_BATCHES - at_once:
        _, state = planner.plan(state, at_once)
    return round((state.step - first) * size / (time.process_time() - began))


if __name__ == "__main__":
    sys.exit(main(measure, __doc__))
