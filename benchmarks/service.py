"""The service under the load of trainers, and the most that one process answers.

8 runs of 32 clients ask for a segment every 2 seconds, each run's clients within the same 100 ms; then 16 clients ask as
fast as they are answered; then a mixture of 400 streams is previewed. Service and clients are processes of their own.
"""

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.manifests import add_stream
from benchmarks.report import Report, main
from mixer import Mixtures, Runs
from streamer import Catalog
from streamer.catalog.manifest import Shard

SEQ_LEN, GLOBAL_BATCH, SEGMENT = 8192, 512, 32
RUNS, CLIENTS, EVERY_S, WITHIN_S, SECONDS = 8, 32, 2.0, 0.1, 30.0
FAST_CLIENTS, FAST_S = 16, 8.0
STREAMS, PREVIEWS = 400, 9
SAMPLES = 1 << 20  # of a stream
TEXT = f'name = "all"\nseq_len = {SEQ_LEN}\n[[component]]\nstreams = "raw/*"\nshare = 1\nmax_passes = 4\n'


def measure() -> Report:
    with tempfile.TemporaryDirectory(prefix="phasemix-bench-") as folder, serving(build(Path(folder))) as port:
        first = ask(port, "/api/v1/runs/run-0/segments", {"step": 0})
        for run in range(RUNS):
            ask(port, f"/api/v1/runs/run-{run}/segments", {"step": SEGMENT})
        names = [f"run-{run}" for run in range(RUNS)]
        paced = load(port, names, CLIENTS, SECONDS, EVERY_S)
        fast = load(port, names[:1], FAST_CLIENTS, FAST_S, 0.0)
        previews = [ask(port, "/api/v1/mixtures/preview", {"mixture": "all@1", "tokens": 10**12}) for _ in range(PREVIEWS)]
    rows = [
        {"asked": "a segment, the very first request", **spread([first])},
        {"asked": f"a segment, {RUNS} runs x {CLIENTS} clients every {EVERY_S:g} s", **spread(paced)},
        {"asked": f"a segment, {FAST_CLIENTS} clients as fast as they can", **spread(fast), "per_s": len(fast) / FAST_S},
        {"asked": f"a preview of {STREAMS} streams", **spread(previews)},
    ]
    figures = {
        "p99_ms": rows[1]["p99_ms"],
        "requests_per_s": len(fast) / FAST_S,
        "preview_ms": rows[3]["p50_ms"],
        "first_ms": first,
    }
    return Report("the mixer service on loopback", rows, figures, {"p99_ms": ("<", 10.0), "preview_ms": ("<", 100.0)})


def build(folder: Path) -> Path:
    """A catalog of 400 streams and the runs, nothing in their ledgers."""
    catalog = Catalog(folder / "catalog")
    for stream in range(STREAMS):
        shards = [Shard(name="shard.00000.mds", samples=SAMPLES, size_bytes=0, xxh3="0" * 16)]
        add_stream(catalog, f"raw/s{stream:03d}", seq_len=SEQ_LEN, shards=shards)
    mixture = Mixtures(catalog).apply(TEXT)
    for run in range(RUNS):
        Runs(catalog).create(f"run-{run}", mixture=mixture, seed=run, global_batch=GLOBAL_BATCH, segment_batches=SEGMENT)
    return folder / "catalog"


@contextmanager
def serving(root: Path) -> Iterator[int]:
    """The port of a service in a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.service", "--serve", str(root)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


def serve(root: str) -> None:
    import socket

    from mixer.service import create_app
    from mixer.service.server import BACKLOG
    from mixer.service.server import serve as serve_on

    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    print(listener.getsockname()[1], flush=True)
    serve_on(create_app(root), listener)


def load(port: int, runs: list[str], clients: int, seconds: float, every_s: float) -> list[float]:
    """Milliseconds of the requests of clients in a process of their own."""
    words = {
        "port": port, "runs": runs, "clients": clients, "seconds": seconds, "every_s": every_s, "within_s": WITHIN_S,
        "segment": SEGMENT,
    }  # fmt: skip
    command = [sys.executable, "-m", "benchmarks.service_clients", json.dumps(words)]
    found: list[float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def ask(port: int, path: str, body: dict[str, Any]) -> float:
    """Milliseconds of one request."""
    address, head = f"http://127.0.0.1:{port}{path}", {"Content-Type": "application/json"}
    began_s = time.perf_counter()
    with urllib.request.urlopen(urllib.request.Request(address, json.dumps(body).encode(), head)) as answer:
        answer.read()
    return (time.perf_counter() - began_s) * 1000


def spread(times_ms: list[float]) -> dict[str, Any]:
    p50, p99 = np.percentile(times_ms, [50, 99])
    return {"requests": len(times_ms), "p50_ms": float(p50), "p99_ms": float(p99), "worst_ms": max(times_ms), "per_s": None}


if __name__ == "__main__":
    if "--serve" in sys.argv:
        serve(sys.argv[-1])
        sys.exit(0)
    sys.exit(main(measure, __doc__))
