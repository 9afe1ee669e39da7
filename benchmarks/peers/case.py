"""One measurement of one peer, in a process of its own: prints one JSON object. Called by `benchmarks.peers`."""

import contextlib
import itertools
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.energon_peer import Energon
from benchmarks.peers.grain_peer import Grain
from benchmarks.peers.litdata_peer import LitData
from benchmarks.peers.phasemix_peer import Phasemix
from benchmarks.peers.streaming_peer import Streaming
from benchmarks.peers.torchdata_peer import Torchdata
from benchmarks.peers.webdataset_peer import WebDataset
from benchmarks.peers.workload import OTHER_SHARES, SHARES, identify, judge, make_streams, repeats_after_change

PEERS = {peer.name: peer for peer in (Phasemix(), Streaming(), Grain(), Torchdata(), LitData(), WebDataset(), Energon())}
ORDER_SIZES, ORDER_BATCH, BATCHES = (3000, 1800, 900, 300), 12, 100
SPEED_SIZES, SPEED_SEQ_LEN = (4000, 2400, 1200, 400), 8192
WARM_S, TIMED_S = 2.0, 4.0


def write(folder: Path, peer: Any, what: str, samples: int) -> dict[str, Any]:
    if what == "speed":
        peer.write(folder, make_streams(SPEED_SIZES, SPEED_SEQ_LEN))
    elif what == "order":
        peer.write(folder, make_streams(ORDER_SIZES, 8))
    elif isinstance(peer, Streaming):  # its own writer takes minutes for ten million samples; the parts are MDS as well
        Phasemix().write(folder / "catalog", make_streams([int(samples * share) for share in SHARES], 8))
        for number, index in enumerate(sorted((folder / "catalog").rglob("index.json"))):
            (folder / str(number)).symlink_to(index.parent)
    else:
        peer.write(folder, make_streams([int(samples * share) for share in SHARES], 8))
    return {}


def speed(folder: Path, peer: Any, size: int, workers: int) -> dict[str, Any]:
    """Rows a second of CPU-warm reading, after a warm-up that is not counted."""
    batches = peer.batches(folder, SHARES, size, workers)
    begin = time.perf_counter()
    while time.perf_counter() - begin < WARM_S:
        np.asarray(next(batches))
    rows, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < TIMED_S:
        rows += len(np.asarray(next(batches)))
    return {"rows_per_s": rows / (time.perf_counter() - begin)}


def order(folder: Path, peer: Any) -> dict[str, Any]:
    """Fidelity over somewhat more than two passes."""
    count = int(2.3 * sum(ORDER_SIZES)) // ORDER_BATCH
    draws = collect(peer.batches(folder, SHARES, ORDER_BATCH, 0), count)
    return judge(draws, ORDER_BATCH, SHARES, ORDER_SIZES)._asdict()


def change(folder: Path, peer: Any) -> dict[str, Any]:
    """Shares change at a third of the first pass."""
    at = sum(ORDER_SIZES) // 3 // ORDER_BATCH
    draws = collect(peer.change(folder, SHARES, OTHER_SHARES, ORDER_BATCH, at), 3 * at)
    found = draws[at * ORDER_BATCH :]
    drawn = np.array([(found[:, 0] == stream).mean() for stream in range(len(SHARES))])
    takes = bool(np.abs(drawn - OTHER_SHARES).max() < 0.05)
    return {"repeats_after_change": repeats_after_change(draws, at * ORDER_BATCH, ORDER_SIZES), "change_takes_effect": takes}


def worlds(folder: Path, peer: Any) -> dict[str, Any]:
    """The percentage of 100 global batches that two ranks draw as one rank does; each rank is a process."""
    one = collect(peer.batches(folder, SHARES, ORDER_BATCH, 0), BATCHES).reshape(BATCHES, ORDER_BATCH, 2)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    processes = []
    for rank in range(2):
        places = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        environment = {**os.environ, **places, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        argv = [sys.executable, "-m", "benchmarks.peers.case", peer.name, "rank", str(folder), str(rank)]
        processes.append(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment))
    draws = [json.loads(process.communicate()[0].strip().splitlines()[-1])["draws"] for process in processes]
    if min(map(len, draws)) < BATCHES * ORDER_BATCH // 2:  # a rank that has no shards of a stream
        return {"same_batches": 0.0}
    two = np.concatenate([np.array(rank).reshape(BATCHES, -1, 2) for rank in draws], axis=1)
    same = [sorted(a.tolist()) == sorted(b.tolist()) for a, b in zip(one, two, strict=True)]
    return {"same_batches": 100 * float(np.mean(same))}


def rank_draws(folder: Path, peer: Any, rank: int) -> dict[str, Any]:
    """What one of two ranks draws."""
    if not isinstance(peer, Phasemix):
        import torch.distributed

        torch.distributed.init_process_group("gloo")
    size = ORDER_BATCH if isinstance(peer, Phasemix) else ORDER_BATCH // 2  # phasemix is told the global batch
    return {"draws": collect(peer.batches(folder, SHARES, size, 0, rank=rank, world_size=2), BATCHES).tolist()}


def first(folder: Path, peer: Any) -> dict[str, Any]:
    """Seconds until the first batch of 8 rows, imports not counted."""
    with contextlib.suppress(StopIteration):
        next(peer.batches(folder.with_name("order"), SHARES, 8, 0))  # imports, and what a first use sets up
    begin = time.perf_counter()
    next(peer.batches(folder, SHARES, 8, 0))
    return {"first_batch_s": time.perf_counter() - begin}


def collect(batches: Iterator[object], count: int) -> Any:
    return np.concatenate([identify(batch) for batch in itertools.islice(batches, count)])


def main(name: str, what: str, root: str, *numbers: str) -> None:
    peer, base = PEERS[name], Path(root)
    values = [int(number) for number in numbers]
    cases = {"order": order, "change": change, "worlds": worlds, "first": first}
    if what == "write":
        found = write(base, peer, base.name, *values)
    elif what == "speed":
        found = speed(base, peer, *values)
    elif what == "rank":
        found = rank_draws(base, peer, *values)
    else:
        found = cases[what](base, peer)
    print(json.dumps(found), flush=True)
    for worker in multiprocessing.active_children():
        worker.kill()  # it would hold our output open
    os._exit(0)  # some peers' threads would keep the process


if __name__ == "__main__":
    main(*sys.argv[1:])
