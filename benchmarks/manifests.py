"""Catalogs with true manifests whose shards hold nothing, for what only plans or only maps."""

from functools import partial
from pathlib import Path

from mixer import Mixtures, Runs
from mixer.journal.journal import Journal
from streamer import Catalog
from streamer.catalog.manifest import Schema, Shard, part_body
from streamer.store.log import Log
from streamer.store.store import MemoryStore

RUN = "bench"


def add_stream(catalog: Catalog, name: str, *, seq_len: int, shards: list[Shard], part_id: str = "0") -> None:
    """A stream of one part, by its entry alone."""
    schema = Schema(kind="tokens", seq_len=seq_len, dtype="uint16")
    catalog.register("streams", name)
    catalog.stream_log(name).append(lambda _: part_body(part_id, schema, shards, None, {}))


def write_streams(root: Path, *, streams: int, parts: int, samples: int, seq_len: int) -> None:
    """Logs of streams of so many parts of one shard each, made in memory and written without syncing."""
    schema = Schema(kind="tokens", seq_len=seq_len, dtype="uint16")
    shard = Shard(name="shard.00000.mds", samples=samples, size_bytes=2 * samples * seq_len, xxh3="0" * 16)
    for stream in range(streams):
        store, name = MemoryStore(), f"raw/s{stream:03d}"
        log = Log(store, f"streams/{name}/_log")
        for part in range(parts):
            part_id = f"{stream * parts + part:016x}"
            body = part_body(part_id, schema, [shard], None, {})
            log.append(partial(lambda body, _: body, body))
        (root / log.name).mkdir(parents=True)
        for key in store.list(log.name):
            (root / key).write_bytes(store.get(key) or b"")
        Catalog(root).register("streams", name)


def start_run(catalog: Catalog, *, seq_len: int, global_batch: int, nodes: int = 1, batches: int, segment: int) -> Journal:
    """A run over all streams by their tokens, with so many batches in its ledger."""
    text = f'name = "all"\nseq_len = {seq_len}\n[[component]]\nstreams = "raw/*"\nshare = 1\n'
    Runs(catalog).create(
        RUN,
        mixture=Mixtures(catalog).apply(text),
        seed=17,
        global_batch=global_batch,
        canonical_nodes=nodes,
        segment_batches=segment,
    )
    journal = Journal(catalog, RUN)
    journal.ensure(batches - 1, to=batches)
    return journal
