"""Rows are right or an error names the shard: damage on disk and in the store, hashing once a node, reading ahead."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from streamer import Catalog
from streamer.catalog.manifest import PartInfo, Schema, Shard
from streamer.errors import PartError
from streamer.reading.gather import Memory
from streamer.reading.reader import Reader
from streamer.store.object_store import ObjectStore

SEQ_LEN = 512
Want = tuple[PartInfo, Shard, Schema]


@pytest.fixture
def catalog(root: Path) -> Catalog:
    return publish(Catalog(root))


@pytest.fixture
def remote(s3_store: Callable[..., ObjectStore]) -> Catalog:
    return publish(Catalog(s3_store()))


def publish(catalog: Catalog, parts: int = 4, samples: int = 64) -> Catalog:
    """Part n holds rows n*samples.. and every row its own number."""
    for part in range(parts):
        numbers = np.arange(part * samples, (part + 1) * samples, dtype=np.uint16)
        catalog.append("raw/python", np.repeat(numbers[:, None], SEQ_LEN, 1), seq_len=SEQ_LEN)
    return catalog


def wants(catalog: Catalog) -> list[Want]:
    snapshot = catalog.stream("raw/python")
    return [(part, shard, snapshot.schema) for part in snapshot.parts for shard in part.shards]


def place(catalog: Catalog, want: Want) -> Path:
    path = catalog.store.local_path(f"{want[0].folder}/{want[1].name}")
    assert path is not None
    return path


def assert_all_right(reader: Reader, catalog: Catalog) -> None:
    for number, want in enumerate(wants(catalog)):
        view = reader.rows(*want)
        assert not view.flags.writeable
        assert (view == np.arange(64 * number, 64 * (number + 1), dtype=np.uint16)[:, None]).all()


def test_rows_are_views_and_a_gather_is_the_callers_own(catalog: Catalog, tmp_path: Path) -> None:
    reader = Reader(catalog.store, tmp_path / "cache")
    assert_all_right(reader, catalog)
    view = reader.rows(*wants(catalog)[1])
    memory = Memory(view.dtype.name, view.shape[1])
    batch = memory.gather(memory.offsets(memory.add(view) + np.array([3, 0]) * memory.row_bytes))
    batch[0] = 0
    assert batch[1, 0] == 64
    assert view[3, 0] == 67


def test_a_shard_is_hashed_once_a_node(catalog: Catalog, tmp_path: Path) -> None:
    first, second = Reader(catalog.store, tmp_path / "cache"), Reader(catalog.store, tmp_path / "cache")
    for reader in (first, second):
        assert_all_right(reader, catalog)
    assert first.hashed_bytes == sum(want[1].size_bytes for want in wants(catalog))
    assert second.hashed_bytes == 0


def test_a_file_that_was_touched_is_hashed_again(catalog: Catalog, tmp_path: Path) -> None:
    assert_all_right(Reader(catalog.store, tmp_path / "cache"), catalog)
    os.utime(place(catalog, wants(catalog)[2]), ns=(1, 1))
    reader = Reader(catalog.store, tmp_path / "cache")
    assert_all_right(reader, catalog)
    assert reader.hashed_bytes == wants(catalog)[2][1].size_bytes


def test_torn_and_foreign_lines_of_the_memory_merely_cost_hashing(catalog: Catalog, tmp_path: Path) -> None:
    assert_all_right(Reader(catalog.store, tmp_path / "cache"), catalog)
    (memory,) = [path for path in (tmp_path / "cache" / "hashes").iterdir() if path.stat().st_size]
    memory.write_bytes(memory.read_bytes()[:-5] + b"\xff\x00")
    reader, third = Reader(catalog.store, tmp_path / "cache"), Reader(catalog.store, tmp_path / "cache")
    assert_all_right(reader, catalog)
    assert reader.hashed_bytes == wants(catalog)[3][1].size_bytes
    assert_all_right(third, catalog)
    assert third.hashed_bytes == 0


def test_a_flipped_bit_in_a_line_of_the_memory_makes_no_file_known(catalog: Catalog, tmp_path: Path) -> None:
    assert_all_right(Reader(catalog.store, tmp_path / "cache"), catalog)
    (memory,) = [path for path in (tmp_path / "cache" / "hashes").iterdir() if path.stat().st_size]
    lines = [bytearray(line) for line in memory.read_bytes().split(b"\n") if line]
    for place_in_line, line in enumerate(lines):
        line[7 * place_in_line % len(line)] ^= 1 << place_in_line % 8
    memory.write_bytes(b"\n".join([b"", *lines, b""]))
    reader = Reader(catalog.store, tmp_path / "cache")
    assert_all_right(reader, catalog)
    assert reader.hashed_bytes == sum(shard.size_bytes for _, shard, _ in wants(catalog))


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("damage", ["truncated", "bit-flipped", "swapped", "missing", "empty"])
def test_a_damaged_shard_is_named_with_the_remedy(catalog: Catalog, tmp_path: Path, damage: str, ahead: bool) -> None:
    path, other = place(catalog, wants(catalog)[1]), place(catalog, wants(catalog)[2])
    data, expected = bytearray(path.read_bytes()), wants(catalog)[1][1]
    if damage == "truncated":
        path.write_bytes(data[:-100])
    elif damage == "bit-flipped":
        data[-1] ^= 4
        path.write_bytes(data)
    elif damage == "swapped":
        path.write_bytes(other.read_bytes())
        other.write_bytes(data)
    elif damage == "missing":
        shutil.rmtree(path.parent)
    else:
        path.write_bytes(b"")
    reader = Reader(catalog.store, tmp_path / "cache")
    if ahead:
        reader.read_ahead(wants(catalog))
    with pytest.raises(PartError) as caught:
        reader.rows(*wants(catalog)[1])
    assert str(path) in str(caught.value)
    assert ("restore that object" if damage == "missing" else "phasemix streams verify") in str(caught.value)
    if damage in ("bit-flipped", "swapped"):
        assert expected.xxh3 in str(caught.value)
    for want in (wants(catalog)[0], wants(catalog)[3]):
        reader.rows(*want)  # the others are as they were


def test_an_entry_that_lies_about_a_whole_shard_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    part, shard, _ = wants(catalog)[0]
    with pytest.raises(PartError, match=r"64 rows of 1024 bytes.*verify"):
        Reader(catalog.store, tmp_path / "cache").rows(part, shard, Schema(kind="tokens", seq_len=256, dtype="uint16"))


@pytest.mark.parametrize(
    ("key", "value"), [("samples", 65), ("bytes", 7), ("basename", "../shard.00000.mds"), ("raw_data", None)]
)
def test_an_index_that_lies_is_refused_when_published(catalog: Catalog, tmp_path: Path, key: str, value: object) -> None:
    folder = tmp_path / "part"
    shutil.copytree(place(catalog, wants(catalog)[0]).parent, folder)
    index = json.loads((folder / "index.json").read_text())
    shard = index["shards"][0]
    (shard if key in shard else shard["raw_data"])[key] = value
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(PartError, match="index"):
        catalog.publish_directory("raw/other", folder)


def test_reading_ahead_does_the_work_once_and_holds_it(remote: Catalog, tmp_path: Path) -> None:
    reader, total = Reader(remote.store, tmp_path / "cache"), sum(want[1].size_bytes for want in wants(remote))
    reader.read_ahead(wants(remote))
    reader.read_ahead(wants(remote)[::-1])
    assert_all_right(reader, remote)
    assert reader.fetched_bytes == reader.hashed_bytes == total
    other = Reader(remote.store, tmp_path / "cache")
    assert_all_right(other, remote)
    assert other.fetched_bytes == other.hashed_bytes == 0


def test_a_cached_file_that_went_bad_is_fetched_again(remote: Catalog, tmp_path: Path) -> None:
    assert_all_right(Reader(remote.store, tmp_path / "cache"), remote)
    flipped, short, *_ = sorted((tmp_path / "cache" / "shards").iterdir())
    data = bytearray(flipped.read_bytes())
    data[-1] ^= 1
    flipped.write_bytes(data)
    short.write_bytes(b"short")
    reader = Reader(remote.store, tmp_path / "cache")
    assert_all_right(reader, remote)
    assert reader.fetched_bytes == 2 * wants(remote)[0][1].size_bytes


def test_a_corrupt_object_is_fetched_twice_and_named_with_both_hashes(remote: Catalog, tmp_path: Path) -> None:
    part, shard, schema = wants(remote)[0]
    key, data = f"{part.folder}/{shard.name}", bytearray(remote.store.get(f"{part.folder}/{shard.name}") or b"")
    data[-1] ^= 1
    remote.store.delete(key)
    remote.store.put_if_absent(key, bytes(data))
    reader = Reader(remote.store, tmp_path / "cache")
    with pytest.raises(
        PartError, match=rf"{shard.name} has hash \w+, its entry says {shard.xxh3}; run phasemix streams ver"
    ):
        reader.rows(part, shard, schema)
    assert reader.fetched_bytes == 2 * shard.size_bytes
    remote.store.delete(key)
    with pytest.raises(PartError, match=f"{shard.name} is missing"):
        reader.rows(part, shard, schema)
    assert not list((tmp_path / "cache" / "shards").iterdir())


@pytest.mark.parametrize("used_before", [False, True])
def test_a_reader_works_after_a_fork(catalog: Catalog, tmp_path: Path, used_before: bool) -> None:
    reader = Reader(catalog.store, tmp_path / "cache")
    if used_before:
        reader.read_ahead(wants(catalog)[:2])  # its threads are at work during the fork
    assert after_fork(lambda: assert_all_right(reader, catalog)) == "right"
    assert_all_right(reader, catalog)


def test_a_reader_of_an_object_store_that_was_used_is_refused_after_a_fork(remote: Catalog, tmp_path: Path) -> None:
    reader, want = Reader(remote.store, tmp_path / "cache"), wants(remote)[0]
    assert "does not survive a fork" in after_fork(lambda: reader.rows(*want))
    assert_all_right(reader, remote)


def after_fork(act: Callable[[], object]) -> str:
    """Acts in a forked child. Returns "right", or what was raised."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            act()
            said = "right"
        except BaseException as error:
            said = str(error)
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        return pipe.read().decode()


def test_a_pickled_reader_reads_in_a_new_process_that_ends_by_itself(catalog: Catalog, tmp_path: Path) -> None:
    reader = Reader(catalog.store, tmp_path / "cache")
    reader.read_ahead(wants(catalog))
    assert_all_right(reader, catalog)
    code = (
        "import pickle, sys; reader, wants = pickle.load(sys.stdin.buffer); reader.read_ahead(wants);"
        "print(sum(int(reader.rows(*want)[0, 0]) for want in wants), reader.hashed_bytes)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps((reader, wants(catalog))),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == [str(64 + 128 + 192).encode(), b"0"]


def test_few_descriptors_mean_fewer_maps(root: Path, tmp_path: Path) -> None:
    catalog = publish(Catalog(root), 150, 4)
    code = (
        "import pickle, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 140));"
        "reader, wants = pickle.load(sys.stdin.buffer);"
        "print(sum(int(reader.rows(*want)[1, 0]) for want in wants))"
    )
    payload = pickle.dumps((Reader(catalog.store, tmp_path / "cache"), wants(catalog)))
    done = subprocess.run([sys.executable, "-c", code], input=payload, capture_output=True, timeout=60, check=True)
    assert int(done.stdout) == sum(4 * number + 1 for number in range(150))


def test_a_closed_reader_begins_anew(catalog: Catalog, tmp_path: Path) -> None:
    reader = Reader(catalog.store, tmp_path / "cache")
    view = reader.rows(*wants(catalog)[1])
    reader.close()
    assert view[0, 0] == 64  # a view keeps its map
    assert_all_right(reader, catalog)


def test_plain_shards_are_read_without_a_cache(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert_all_right(Reader(catalog.store, tmp_path / "cache"), catalog)
