"""A week of the generator pool in simulated time: whether depth, parts, files and memory stay bounded.

    python -m benchmarks.week [--jobs N] [--days N] [--json]

Planner and publisher are the real ones, on a queue in this process whose clock is simulated, as are workers and engine: each
job is answered after 20 seconds; one in 20 is refused by a gate, one in 500 is buried. Every simulated day planner and
publisher start anew, as after a restart. A run reads its first batches when a third is done, and once more at the end.
"""

import argparse
import random
import resource
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import xxhash

from benchmarks.generation import SEQ_LEN, fill
from benchmarks.report import Report, show
from generators.planning.orders import place_order
from generators.planning.planner import Planner
from generators.publishing.publishing import MOST_SMALL, Publishing
from generators.queue.job import Job, Reason, accepted_file
from generators.queue.job_queue import Claim
from generators.queue.memory_job_queue import MemoryJobQueue
from mixer import Mixtures, RunReader, Runs
from streamer import Catalog
from streamer.catalog.verification import verify_streams
from streamer.publishing.merging import MERGED_BYTES
from streamer.publishing.publication import publish_path

LANGUAGES = ("python", "go", "rust", "javascript")
DAY_S, ANSWER_S, TICK_S, PLAN_S = 86_400.0, 20.0, 16.0, 16.0
REFUSED, BURIED = 1 / 20, 1 / 500
BATCHES, BATCH = 50, 8
WORDS = 40  # of an answer
MIXTURE = f'name = "week"\nseq_len = {SEQ_LEN}\n[[component]]\nstreams = "synthetic/*"\nshare = 1\nmax_passes = 100\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pm-week-") as folder:
        return show(simulate(Path(folder), options.jobs, options.days), as_json=options.json)


class Pool:
    """Workers and an engine in simulated time, and the real planner and publisher."""

    def __init__(self, root: Path) -> None:
        self.root, self.queue, self.chance = root, MemoryJobQueue(max_length=8192), random.Random(7)
        self.running: deque[tuple[float, Claim]] = deque()
        self.ended = self.deepest = 0
        self.tick_s: list[float] = []
        self.start()

    def start(self) -> None:
        catalog = Catalog(self.root)
        self.planner = Planner(catalog, self.queue, model=lambda: "simulated", say=lambda line: None)
        self.publishing = Publishing(catalog, self.queue)

    def work(self, now_s: float, count: int) -> None:
        while self.running and self.running[0][0] <= now_s:
            self.end(self.running.popleft()[1])
        for claim in self.queue.claim("worker", count=count, silent_ms=10**12):
            self.running.append((now_s + ANSWER_S, claim))
        self.deepest = max(self.deepest, sum(self.queue.depth()))

    def end(self, claim: Claim) -> None:
        self.ended, fate = self.ended + 1, self.chance.random()
        if fate < BURIED:
            self.queue.bury(claim, "it was never answered")
        elif fate < BURIED + REFUSED:
            self.queue.reject_job(claim, Reason.DOES_NOT_PARSE, "")
        else:
            self.queue.deliver(claim, accepted_file(claim.job, answer(claim.job)))

    def publish(self) -> None:
        began_s = time.perf_counter()
        self.publishing.tick()
        self.tick_s.append(time.perf_counter() - began_s)


def answer(job: Job) -> str:
    """A file of random words."""
    chance = random.Random(job.identity)
    return "# " + " ".join(f"{chance.getrandbits(32):08x}" for _ in range(WORDS)) + "\n"


def simulate(folder: Path, jobs: int, days: float) -> Report:
    root = folder / "root"
    catalog = fill(root)
    for language in LANGUAGES[1:]:
        publish_path(catalog, f"documents/{language}", folder / "documents.jsonl")
    place_order(catalog, "documents/*", files=2 * jobs)
    pool, rate, rows = Pool(root), jobs / (days * DAY_S), list[dict[str, Any]]()
    now_s, planned_s, restarted_s, due, read = 0.0, 0.0, 0.0, 0.0, ""
    while pool.ended < jobs:
        now_s, due = now_s + TICK_S, due + rate * TICK_S
        pool.queue.now_ms = int(now_s * 1000)
        if now_s >= planned_s:
            pool.planner.tick()
            planned_s = now_s + PLAN_S
        pool.work(now_s, int(due))
        due -= int(due)
        pool.publish()
        if now_s - restarted_s >= DAY_S:
            restarted_s = now_s
            pool.start()
        if not read and pool.ended >= jobs // 3:
            read = first_batches(root, begin=True)
        if pool.ended * 10 >= jobs * (len(rows) + 1):
            rows.append(describe(pool, now_s))
            print(rows[-1], file=sys.stderr)
    pool.queue.now_ms += 10**6
    pool.publish()
    names = [f"synthetic/{language}" for language in LANGUAGES]
    bodies = [body for name in names for body in Catalog(root).stream_log(name).read()]
    published = [identity for body in bodies for identity in body.get("extra", {}).get("jobs", ())]
    figures = {
        "jobs": pool.ended,
        "files": len(published),
        "published_twice": len(published) - len(set(published)),
        "faults": sum(one.is_fault for one in verify_streams(Catalog(root), "synthetic/*")),
        "batches_changed": int(first_batches(root, begin=False) != read),
        "deepest_queue": pool.deepest,
        "most_folders": max(row["folders"] for row in rows),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }
    full = rows[-1]["root_mb"] * 1e6 / (MERGED_BYTES / 4)
    targets = {
        "published_twice": ("<=", 0.0),
        "faults": ("<=", 0.0),
        "batches_changed": ("<=", 0.0),
        "deepest_queue": ("<=", 8192.0),
        "most_folders": ("<=", len(LANGUAGES) * 2.0 * (MOST_SMALL + 1) + full),
    }
    return Report(f"{pool.ended:,} jobs in {days:g} simulated days", rows, figures, targets)


def describe(pool: Pool, now_s: float) -> dict[str, Any]:
    catalog = Catalog(pool.root)
    snapshots = [catalog.stream(f"synthetic/{language}") for language in LANGUAGES]
    lying = list((pool.root / "streams/synthetic").glob("*/_parts/*"))
    ticks, pool.tick_s = np.array(pool.tick_s), []
    return {
        "day": now_s / DAY_S,
        "parts": sum(len(snapshot.parts) for snapshot in snapshots),
        "folders": len(lying),
        "waiting": sum(pool.queue.depth()),
        "tick_ms": 1e3 * float(np.median(ticks)),
        "worst_s": float(ticks.max()),
        "root_mb": sum(path.stat().st_size for path in pool.root.rglob("*") if path.is_file()) / 1e6,
        "memory_mb": psutil.Process().memory_info().rss / 1e6,
    }


def first_batches(root: Path, *, begin: bool) -> str:
    """A digest of the first batches of a run over what there is when it begins."""
    if begin:
        Mixtures(root).apply(MIXTURE)
        Runs(root).create("week", mixture="week", seed=1, global_batch=BATCH)
    digest = xxhash.xxh3_128()
    with RunReader(str(root), "week") as reader:
        for step in range(BATCHES):
            batch = reader.read(step)
            digest.update(batch.tokens.tobytes() + batch.origin.tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
