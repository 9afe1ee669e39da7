"""An object store that answers 500, stalls or resets: a retry helps, or an error ends it in bounded time."""

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
