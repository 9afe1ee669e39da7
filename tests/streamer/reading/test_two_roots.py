"""Two roots that share a cache: each reader gets its own root's rows, also where the roots were once one."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from cache_reader import Far

from streamer import Catalog
from streamer.errors import PartError
from streamer.reading.reader import Reader
from streamer.store.directory_store import DirectoryStore

SEQ_LEN = 64


def append(store: DirectoryStore, number: int) -> None:
    Catalog(store).append("raw/python", np.full((16, SEQ_LEN), number, np.uint16), seq_len=SEQ_LEN)


def rows(store: DirectoryStore, cache: Path) -> list[int]:
    """The one number in each part's rows."""
    reader, snapshot = Reader(store, cache), Catalog(store).stream("raw/python")
    found = [
        np.unique(reader.rows(part, shard, snapshot.schema)).tolist() for part in snapshot.parts for shard in part.shards
    ]
    reader.close()
    return [number for (number,) in found]


@pytest.mark.parametrize("kind", [DirectoryStore, Far])
def test_roots_with_the_same_names_do_not_mix(tmp_path: Path, kind: type[DirectoryStore]) -> None:
    one, two = kind(tmp_path / "one"), kind(tmp_path / "two")
    for number in range(4):
        append(one, number)
        append(two, 100 + number)
    for _ in range(2):  # what the first turn left in the cache included
        assert rows(one, tmp_path / "cache") == [0, 1, 2, 3]
        assert rows(two, tmp_path / "cache") == [100, 101, 102, 103]


@pytest.mark.parametrize("kind", [DirectoryStore, Far])
def test_copies_of_one_root_that_then_differ_do_not_mix(tmp_path: Path, kind: type[DirectoryStore]) -> None:
    append(kind(tmp_path / "one"), 1)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    append(kind(tmp_path / "one"), 2)
    append(kind(tmp_path / "two"), 3)
    for _ in range(2):
        assert rows(kind(tmp_path / "one"), tmp_path / "cache") == [1, 2]
        assert rows(kind(tmp_path / "two"), tmp_path / "cache") == [1, 3]


def test_a_damaged_copy_is_found_though_the_first_root_was_read(tmp_path: Path) -> None:
    append(DirectoryStore(tmp_path / "one"), 1)
    assert rows(DirectoryStore(tmp_path / "one"), tmp_path / "cache") == [1]
    shutil.copytree(tmp_path / "one", tmp_path / "two")  # with the first one's times
    (shard,) = (tmp_path / "two").rglob("*.mds")
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    with shard.open("r+b") as file:
        file.write(data)
    shutil.copystat(next((tmp_path / "one").rglob("*.mds")), shard)
    with pytest.raises(PartError, match="has hash"):
        rows(DirectoryStore(tmp_path / "two"), tmp_path / "cache")
    assert rows(DirectoryStore(tmp_path / "one"), tmp_path / "cache") == [1]


def test_another_root_in_the_same_place_does_not_mix(tmp_path: Path) -> None:
    for number in (1, 2, 1):
        append(DirectoryStore(tmp_path / "place"), number)
        assert rows(DirectoryStore(tmp_path / "place"), tmp_path / "cache") == [number]
        (tmp_path / "place").rename(tmp_path / f"away-{number}-{len(list(tmp_path.iterdir()))}")
