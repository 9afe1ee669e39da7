"""An object store that answers 500, stalls or resets: a retry helps, or an error ends it in bounded time."""

import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from faulty_proxy import FaultyProxy, faulty_proxy

from streamer import Catalog
from streamer.errors import StoreError
from streamer.reading.reader import Reader
from streamer.store.object_store import ObjectStore

ROWS = np.arange(200 * 2048, dtype=np.uint16).reshape(200, 2048)


@pytest.fixture
def proxy(s3_endpoint: str) -> Iterator[FaultyProxy]:
    with faulty_proxy(s3_endpoint) as found:
        yield found


@pytest.fixture
def catalog(proxy: FaultyProxy, s3_store: Callable[..., ObjectStore]) -> Catalog:
    catalog = Catalog(s3_store(proxy.url, read_timeout="1s"))
    for _ in range(2):
        catalog.append("raw/python", ROWS, seq_len=2048)
    return catalog


@pytest.mark.parametrize("faults", [["500"] * 3, ["stall"], ["stall"] * 3, ["cut"], ["cut"] * 3, ["500", "cut", "stall"]])
@pytest.mark.parametrize("ahead", [False, True])
def test_what_passes_is_waited_for(
    catalog: Catalog, proxy: FaultyProxy, tmp_path: Path, faults: list[str], ahead: bool
) -> None:
    snapshot, reader = catalog.stream("raw/python"), Reader(catalog.store, tmp_path / "cache")
    proxy.faults.extend(faults)
    wants = [(part, shard, snapshot.schema) for part in snapshot.parts for shard in part.shards]
    if ahead:
        reader.read_ahead(wants)
    assert all((reader.rows(*want) == ROWS).all() for want in wants)
    assert not proxy.faults
    assert len(list((tmp_path / "cache" / "shards").iterdir())) == 2


@pytest.mark.parametrize("fault", ["500", "stall", "cut"])
def test_what_does_not_pass_ends_with_the_shards_name(
    catalog: Catalog, proxy: FaultyProxy, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog.store, "_retry_s", 2.0)
    snapshot, reader = catalog.stream("raw/python"), Reader(catalog.store, tmp_path / "cache")
    proxy.for_ever = fault
    (shard,) = snapshot.parts[0].shards
    began_s = time.monotonic()
    with pytest.raises(StoreError, match=f"{snapshot.parts[0].folder}/{shard.name} cannot be read"):
        reader.rows(snapshot.parts[0], shard, snapshot.schema)
    assert time.monotonic() - began_s < 20
    assert not list((tmp_path / "cache" / "shards").iterdir())
    proxy.for_ever = ""
    assert (reader.rows(snapshot.parts[0], shard, snapshot.schema) == ROWS).all()


READS_AHEAD = """
import pickle, sys
from pathlib import Path
from streamer import Catalog
from streamer.reading.reader import Reader

store, folder = pickle.load(sys.stdin.buffer)
snapshot = Catalog(store).stream("raw/python")
reader = Reader(store, Path(folder))
reader.read_ahead([(part, shard, snapshot.schema) for part in snapshot.parts for shard in part.shards])
sys.stdin.read()
sys.exit(3)
"""


def test_a_process_ends_while_what_it_reads_ahead_does_not_come(
    proxy: FaultyProxy, s3_store: Callable[..., ObjectStore], tmp_path: Path
) -> None:
    """Given a server that would answer in ten minutes, and a client that would wait for it, then nobody does."""
    Catalog(s3_store()).append("raw/python", ROWS, seq_len=2048)
    proxy.for_ever, proxy.stall_s = "stall", 600.0
    with subprocess.Popen([sys.executable, "-c", READS_AHEAD], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        pickle.dump((s3_store(proxy.url, read_timeout="600s"), str(tmp_path / "cache")), process.stdin)
        process.stdin.flush()
        while not proxy.num_met and process.poll() is None:
            time.sleep(0.01)
        process.stdin.close()
        try:
            assert process.wait(120) == 3
        finally:
            process.kill()
