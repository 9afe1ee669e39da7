"""How soon a run on a cold object store gives its first batch, and whether a training waits for a later one.

An S3 server on loopback, in a process of its own, that answers each request after 50 ms. Three streams of five shards of
64 MiB, 64 samples of 2,048 tokens a batch, an empty cache. A new process opens the run and takes five batches a second.

`first_batch_s`: from the call of MixedLoader to the first batch, without imports. `slowest_wait_ms`: the longest that a
later batch was waited for; `late_share`: batches for which it was more than 20 ms, a tenth of a step.

Beside it `first_fetch_s`: the shards of the first batch fetched by as many requests at once, which no reader can do without.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Report, main
from mixer import Mixtures, Runs
from streamer import Catalog
from streamer.store.roots import open_store

LATENCY_S, PACE_S, STEPS, ROUNDS = 0.05, 0.2, 150, 3
SEQ_LEN, GLOBAL_BATCH, SAMPLES = 2048, 64, 5 * 16_300  # a shard of 64 MiB has 16,376 samples
NAMES = ("raw/python", "raw/go", "raw/rust")
MIXTURE = f'name = "code"\nseq_len = {SEQ_LEN}\n[[component]]\nstreams = "raw/*"\nshare = 1\n'
ROOT, TOLD = "s3://bench/root", "measured: "


def measure() -> Report:
    with tempfile.TemporaryDirectory(prefix="phasemix-bench-") as folder, cold_store() as endpoint:
        os.environ |= {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
        publish()
        rows = [elsewhere(number, Path(folder) / str(number)) for number in range(ROUNDS)]
    figures = {
        "first_batch_s": max(row["first_batch_s"] for row in rows),
        "slowest_wait_ms": max(row["slowest_wait_ms"] for row in rows),
        "late_share": max(row["late_share"] for row in rows),
    }
    return Report("cold store", rows, figures, {"first_batch_s": ("<", 2.0), "late_share": ("<=", 0.0)})


@contextmanager
def cold_store() -> Iterator[str]:
    """The address of an S3 server with an empty bucket."""
    argv = [sys.executable, "-m", "benchmarks.cold_store", "serve"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def serve() -> None:
    """Serves until it is ended. The address is the first line printed."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    app = DomainDispatcherApplication(create_backend_app)

    def late(environ: dict[str, Any], start_response: Any) -> Any:
        time.sleep(LATENCY_S)
        return app(environ, start_response)

    server = make_server("127.0.0.1", 0, late, threaded=True)
    print(f"http://127.0.0.1:{server.port}", flush=True)
    server.serve_forever()


def publish() -> None:
    import boto3

    boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"]).create_bucket(Bucket="bench")
    draw, catalog = np.random.default_rng(1), Catalog(ROOT)
    for name in NAMES:
        rows = (draw.integers(0, 8192, SEQ_LEN).astype(np.uint16) for _ in range(SAMPLES))
        catalog.append(name, rows, seq_len=SEQ_LEN)
    Mixtures(ROOT).apply(MIXTURE)
    for number in range(ROUNDS):
        Runs(ROOT).create(f"cold{number}", mixture="code", seed=number, global_batch=GLOBAL_BATCH)


def elsewhere(number: int, cache: Path) -> dict[str, Any]:
    """What a new process with an empty cache measured."""
    argv = [sys.executable, "-m", "benchmarks.cold_store", "read", f"cold{number}"]
    environment = {**os.environ, "PHASEMIX_CACHE": str(cache)}
    done = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith(TOLD))
    found: dict[str, Any] = json.loads(line.removeprefix(TOLD))
    return found


def read(run: str) -> dict[str, Any]:
    """Takes batches at the pace of a training."""
    from training import MixedLoader

    began = time.perf_counter()
    batches = iter(MixedLoader(ROOT, run, with_origin=True))
    batch = next(batches)
    first_s = time.perf_counter() - began
    shards = {(int(stream), int(row) // (SAMPLES // 5)) for stream, _, row in origins(batch["origin"].numpy())}
    waits, due = [], time.perf_counter()
    for _ in range(STEPS):
        due += PACE_S
        time.sleep(max(0.0, due - time.perf_counter()))
        asked = time.perf_counter()
        next(batches)
        waits.append(time.perf_counter() - asked)
    return {
        "run": run,
        "first_batch_s": first_s,
        "shards": len(shards),
        "first_fetch_s": fetch(len(shards)),
        "median_wait_ms": float(np.median(waits)) * 1000,
        "slowest_wait_ms": max(waits) * 1000,
        "late_share": sum(wait > PACE_S / 10 for wait in waits) / len(waits),
    }


def origins(rows: Any) -> list[tuple[int, int, int]]:
    """(stream, part, row) of each row of a batch's `origin`."""
    from streamer.reading.snapshot_loader import ORIGIN

    found: list[tuple[int, int, int]] = rows.view(ORIGIN).ravel().tolist()
    return found


def fetch(count: int) -> float:
    """Seconds of so many shards, each by a request of its own, all at once."""
    store = open_store(ROOT)
    keys = [key for key in store.list("") if key.endswith(".mds")][:count]
    began = time.perf_counter()
    with ThreadPoolExecutor(count) as threads:
        list(threads.map(store.get, keys))
    return time.perf_counter() - began


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve()
    elif sys.argv[1:2] == ["read"]:
        print(TOLD + json.dumps(read(sys.argv[2])))
    else:
        sys.exit(main(measure, __doc__))
