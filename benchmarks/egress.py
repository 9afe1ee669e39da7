"""Bytes that each canonical node fetches over a pass and a bit, against the ideal: its own part of the bytes of one pass.

A node's bytes are those of the distinct shards in its slots: what a cache that holds a node's part of a pass lets through.
Manifests are true, of 64 MiB shards at 8,192 tokens, but nobody reads the shards; one small case on an object store on
loopback checks the count against what a reader on each node did fetch.

`in_all`: the sum over nodes by the bytes of the pass; `worst_by_ideal`: the most that one node fetched, by its ideal part.
`least_in_all`: what equal parts of rows cost at best, since each further node of a stream fetches a shard that is cut.
"""

import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from benchmarks.report import Report, main
from mixer import Mixtures, RunReader, Runs
from mixer.journal.journal import Journal
from mixer.order.permutation import Ints
from mixer.planning.planner import make_planner
from mixer.planning.tables import Tables
from streamer import Catalog
from streamer.catalog.manifest import Schema, Shard, part_body
from streamer.store.object_store import ObjectStore
from streamer.store.store import MemoryStore, Store

SEQ_LEN, SHARD_ROWS, ROW_BYTES = 8192, 4095, 4 + 2 * 8192  # a row and its offset in 64 MiB
GLOBAL_BATCH = 512
NODES = (1, 4, 16, 64)
BIT = 0.1  # of a pass, after the first
TARGETS = {16: 1.1, 64: 1.2}
NAMES = ("python", "java", "cpp", "go")
JUDGED = ([1280], [1870, 1490, 1280])  # shards by stream: each of them has 80 for each of 16 nodes, 20 for each of 64
OTHERS = ([640, 320, 192, 128],)  # has so many in all alone; shown without a target
SMALL_NODES, SMALL_ROWS, SMALL_PARTS = 4, 300, (16, 9)  # of the case on loopback


class Fetched(NamedTuple):
    """`nodes` (nodes,): bytes of the distinct shards of each; `pass_bytes`: of all shards of the streams."""

    nodes: Ints
    pass_bytes: int

    @property
    def ideal_bytes(self) -> float:
        """Of each node."""
        return self.pass_bytes / len(self.nodes)

    @property
    def in_all(self) -> float:
        return float(self.nodes.sum() / self.pass_bytes)

    @property
    def worst_node(self) -> float:
        return float(self.nodes.max() / self.ideal_bytes)


def count(store: Store, run: str, steps: int) -> Fetched:
    """What the nodes of a run fetch in its first batches. Writes the ledger as far."""
    catalog = Catalog(store)
    journal = Journal(catalog, run)
    journal.ensure(steps - 1, to=steps)
    settings, ledger = journal.ledger.settings, journal.ledger
    tables = Tables(catalog, ledger, run)
    planner = make_planner(ledger, catalog, run, write=False, tables=tables)
    parts = (catalog.stream(name).parts for name in ledger.streams)
    shards = [np.array([shard.size_bytes for part in found for shard in part.shards]) for found in parts]
    firsts = np.cumsum([0, *map(len, shards)])
    seen = np.zeros((settings.canonical_nodes, firsts[-1]), bool)
    node = np.arange(settings.global_batch) * settings.canonical_nodes // settings.global_batch
    state = planner.state(0)
    while state.step < steps:
        slots, state = planner.plan(state, min(64, steps - state.step))
        seen[np.broadcast_to(node, slots.stream.shape), firsts[slots.stream] + slots.rows.shard] = True
    sizes: Ints = np.concatenate(shards)
    return Fetched(seen @ sizes, int(sizes.sum()))


def pretend(name: str, shards: int, catalog: Catalog) -> None:
    """Publishes a part whose shards nobody will read; the last is not full."""
    schema = Schema(kind="tokens", seq_len=SEQ_LEN, dtype="uint16")
    rows = [SHARD_ROWS] * (shards - 1) + [SHARD_ROWS // 3]
    listed = [
        Shard(name=f"shard.{place:05d}.mds", samples=samples, size_bytes=samples * ROW_BYTES, xxh3="0" * 16)
        for place, samples in enumerate(rows)
    ]
    catalog.register("streams", name)
    catalog.stream_log(name).append(lambda _: part_body(secrets.token_hex(8), schema, listed, None, {}))


def mixture(seq_len: int) -> str:
    return f'name = "m"\nseq_len = {seq_len}\n[[component]]\nstreams = "raw/*"\nshare = 1\n'


def planned(shards: list[int], nodes: int) -> Fetched:
    """A pass and a bit over streams of so many shards, each by its tokens."""
    store = MemoryStore()
    catalog = Catalog(store)
    for name, number in zip(NAMES, shards, strict=False):
        pretend(f"raw/{name}", number, catalog)
    Mixtures(catalog).apply(mixture(SEQ_LEN))
    Runs(catalog).create(
        "r", mixture="m@1", seed=nodes, global_batch=GLOBAL_BATCH, canonical_nodes=nodes, segment_batches=1024
    )
    samples = sum(stream.samples for stream in catalog.streams())
    return count(store, "r", int(samples * (1 + BIT)) // GLOBAL_BATCH)


@contextmanager
def bucket() -> Iterator[ObjectStore]:
    """An empty S3 bucket on loopback."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket="bench")
        config = {"endpoint": endpoint, "access_key_id": "test", "secret_access_key": "test", "region": "us-east-1"}
        yield ObjectStore("s3://bench/root", config=config, client_options={"allow_http": True})
    finally:
        server.stop()


def on_loopback() -> tuple[Fetched, Ints]:
    """What is counted in a small case, and what one reader on each node, with a cache of its own, fetched there."""
    fetched = np.zeros(SMALL_NODES, np.int64)
    with bucket() as store, tempfile.TemporaryDirectory(prefix="phasemix-bench-") as folder:
        catalog = Catalog(store)
        for name, parts in zip(NAMES, SMALL_PARTS, strict=False):
            for _ in range(parts):
                catalog.append(f"raw/{name}", np.zeros((SMALL_ROWS, 64), np.uint16), seq_len=64)
        Mixtures(catalog).apply(mixture(64))
        size = 16 * SMALL_NODES
        steps = int(sum(SMALL_PARTS) * SMALL_ROWS * (1 + BIT)) // size
        Runs(catalog).create("r", mixture="m@1", seed=1, global_batch=size, canonical_nodes=SMALL_NODES, num_steps=steps)
        counted = count(store, "r", steps)
        before = os.environ.get("PHASEMIX_CACHE")
        try:
            for node in range(SMALL_NODES):
                os.environ["PHASEMIX_CACHE"] = f"{folder}/{node}"
                with RunReader(store, "r", node, SMALL_NODES) as reader:
                    for step in range(steps):
                        reader.read(step)
                    fetched[node] = reader.fetched_bytes
        finally:
            os.environ.pop("PHASEMIX_CACHE")
            if before is not None:
                os.environ["PHASEMIX_CACHE"] = before
    return counted, fetched


def row_of(case: str, shards: list[int] | tuple[int, ...], found: Fetched, target: float | None) -> dict[str, Any]:
    nodes = len(found.nodes)
    return {
        "shards_by_stream": f"{' + '.join(map(str, shards))}{case}",
        "nodes": nodes,
        "shards_a_node": sum(shards) // nodes,
        "ideal_mb": found.ideal_bytes / 1e6,
        "mean_mb": float(found.nodes.mean()) / 1e6,
        "worst_mb": float(found.nodes.max()) / 1e6,
        "worst_by_ideal": found.worst_node,
        "in_all": found.in_all,
        "least_in_all": 1 + (nodes - 1) * len(shards) / sum(shards),
        "target": target,
    }


def measure() -> Report:
    counted, fetched = on_loopback()
    rows, figures = [], {f"egress_{nodes}": 0.0 for nodes in TARGETS}
    for shards in (*JUDGED, *OTHERS):
        for nodes in NODES:
            found = planned(shards, nodes)
            target = TARGETS.get(nodes) if shards in JUDGED else None
            rows.append(row_of("", shards, found, target))
            if target is not None:
                figures[f"egress_{nodes}"] = max(figures[f"egress_{nodes}"], found.in_all)
    rows.append(row_of(", counted", SMALL_PARTS, counted, None))
    rows.append(row_of(", fetched on loopback", SMALL_PARTS, counted._replace(nodes=fetched), None))
    figures["miscounted_bytes"] = float(np.abs(counted.nodes - fetched).sum())
    targets = {f"egress_{nodes}": ("<=", target) for nodes, target in TARGETS.items()}
    title = f"Fetched in {1 + BIT:g} passes by canonical nodes, G = {GLOBAL_BATCH}, shards of {SHARD_ROWS:,} samples"
    return Report(title, rows, figures, {**targets, "miscounted_bytes": ("<=", 0)})


if __name__ == "__main__":
    sys.exit(main(measure, __doc__))
