"""The node's cache: a bound that holds, pins that hold, and nothing left behind by what was killed."""

import contextlib
import os
import pickle
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from cache_reader import Far

from streamer import Catalog
from streamer.catalog.manifest import PartInfo, Schema, Shard
from streamer.errors import CacheFullError, StoreError
from streamer.reading import reader
from streamer.reading.cache import Cache
from streamer.reading.reader import Reader

Want = tuple[PartInfo, Shard, Schema]
SAMPLES, SEQ_LEN = 64, 512
SHARD_BYTES = 66_000  # a little more than one has
SCRIPT = Path(__file__).with_name("cache_reader.py")


@pytest.fixture
def catalog(root: Path) -> Catalog:
    """Ten shards; each token of shard n is n."""
    catalog = Catalog(Far(root))
    for number in range(10):
        catalog.append("raw/python", np.full((SAMPLES, SEQ_LEN), number, np.uint16), seq_len=SEQ_LEN)
    return catalog


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "FULL_WAIT_S", 0.3)


@pytest.fixture
def wants(catalog: Catalog) -> list[Want]:
    snapshot = catalog.stream("raw/python")
    return [(part, shard, snapshot.schema) for part in snapshot.parts for shard in part.shards]


def fetches(catalog: Catalog) -> Counter[str]:
    log = Path(catalog.store.url, "fetches")
    return Counter(log.read_text().split() if log.exists() else ())


def held_bytes(cache: Path) -> int:
    total = 0
    if not (cache / "shards").exists():
        return total
    for entry in os.scandir(cache / "shards"):
        try:
            total += entry.stat().st_size
        except FileNotFoundError:
            continue
    return total


def cached(cache: Path) -> set[str]:
    return {path.name.split("-")[0] for path in (cache / "shards").glob("*") if path.name[0] != "."}


def test_least_recently_used_goes_first_and_what_is_held_ahead_stays(
    catalog: Catalog, wants: list[Want], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    keeper, other = (Reader(catalog.store, cache, cache_bytes=6 * SHARD_BYTES) for _ in range(2))
    keeper.read_ahead(wants[:2])
    for want in wants[:2]:
        keeper.rows(*want)
    for want in (*wants[2:6], wants[2]):
        other.rows(*want)
    other.close()
    other.rows(*wants[2])  # the latest use of all
    other.rows(*wants[6])
    other.rows(*wants[7])
    assert cached(cache) == {wants[number][0].part_id for number in (0, 1, 2, 5, 6, 7)}
    assert held_bytes(cache) <= 6 * SHARD_BYTES
    assert all((keeper.rows(*want) == number).all() for number, want in enumerate(wants[:2]))


def test_pins_that_fill_the_bound_are_named_with_the_remedy(catalog: Catalog, wants: list[Want], tmp_path: Path) -> None:
    one = Reader(catalog.store, tmp_path / "cache", cache_bytes=3 * SHARD_BYTES)
    views = [one.rows(*want) for want in wants[:3]]  # views of the caller's own pin too
    began_s = time.monotonic()
    with pytest.raises(
        CacheFullError, match=r"may hold 198,000 bytes.*use \d+,\d+.*needs \d+,\d+ more.*PHASEMIX_CACHE_BYTES"
    ):
        one.rows(*wants[3])
    assert time.monotonic() - began_s < reader.FULL_WAIT_S
    began_s = time.monotonic()
    with pytest.raises(CacheFullError):  # the views are this process's own, and were not dropped
        one.rows(*wants[3])
    assert time.monotonic() - began_s >= reader.FULL_WAIT_S
    del views[0]
    assert (one.rows(*wants[3]) == 3).all()
    with pytest.raises(CacheFullError, match="needs"):
        Reader(catalog.store, tmp_path / "tiny", cache_bytes=100).rows(*wants[0])


def test_a_reader_waits_for_another_to_let_go(catalog: Catalog, wants: list[Want], tmp_path: Path) -> None:
    holder, waiter = (Reader(catalog.store, tmp_path / "cache", cache_bytes=3 * SHARD_BYTES) for _ in range(2))
    kept = [holder.rows(*want) for want in wants[:3]]
    threading.Timer(0.1, lambda: (holder.close(), kept.clear())).start()
    assert (waiter.rows(*wants[4]) == 4).all()


def test_reading_ahead_leaves_room_for_who_must_read_now(catalog: Catalog, wants: list[Want], tmp_path: Path) -> None:
    greedy, other = (Reader(catalog.store, tmp_path / "cache", cache_bytes=4 * SHARD_BYTES) for _ in range(2))
    greedy.read_ahead(wants[:9])
    deadline_s = time.monotonic() + 10
    while len(cached(tmp_path / "cache")) < 3 and time.monotonic() < deadline_s:
        time.sleep(0.01)
    time.sleep(0.2)
    assert (other.rows(*wants[9]) == 9).all()
    assert held_bytes(tmp_path / "cache") <= 4 * SHARD_BYTES


def test_leftovers_of_killed_writers_are_swept(catalog: Catalog, wants: list[Want], tmp_path: Path) -> None:
    reader = Reader(catalog.store, tmp_path / "cache", cache_bytes=2 * SHARD_BYTES)
    reader.rows(*wants[0])
    (tmp_path / "cache" / "shards" / ".left.over").write_bytes(bytes(SHARD_BYTES))
    reader.rows(*wants[1])
    assert cached(tmp_path / "cache") == {want[0].part_id for want in wants[:2]}


def test_a_full_disk_evicts_and_else_names_folder_and_remedy(
    catalog: Catalog, wants: list[Want], small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Reader(catalog.store, small_disk, cache_bytes=512 << 10)
    (small_disk / "ballast").write_bytes(bytes(250 << 10))
    for number, want in enumerate(wants):
        assert (one.rows(*want) == number).all()  # three fit
        one.close()
    views = []
    with pytest.raises(StoreError, match=f"cache {small_disk} cannot be used: No space left on device; free space there"):
        views += [one.rows(*want) for want in wants]
    assert all(path.name[0] != "." for path in (small_disk / "shards").iterdir())
    views.clear()
    assert all((one.rows(*want) == number).all() for number, want in list(enumerate(wants))[:2])
    one.close()


def test_a_fork_during_a_fetch_leaves_no_lock_behind(catalog: Catalog, wants: list[Want], tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 4 * SHARD_BYTES)

    children: list[int] = []
    reading, writing = os.pipe()

    def write(path: Path) -> None:
        children.append(os.fork())
        if not children[-1]:
            os.write(writing, b"!")
            time.sleep(30)
            os._exit(0)
        os.read(reading, 1)  # it lives

    with cache.lock("a"):
        cache.add("a", 1000, write)
    began_s = time.monotonic()
    with cache.lock("a"), cache.aside("b", 4 * SHARD_BYTES):  # evicts "a", though the child lives
        assert time.monotonic() - began_s < 5
    os.kill(children[0], 9)
    os.waitpid(children[0], 0)


def test_the_default_folder_is_private_and_refused_when_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PHASEMIX_CACHE", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = Cache().folder
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(StoreError, match=f"{folder} is open to other users"):
        Cache()


@pytest.mark.parametrize("text", ["1e9", "-3", "0", str(1 << 62)])
def test_a_bound_that_cannot_be_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PHASEMIX_CACHE_BYTES", text)
    with pytest.raises(StoreError, match="PHASEMIX_CACHE_BYTES"):
        Cache(tmp_path)


def test_threads_share_a_reader_within_the_bound(catalog: Catalog, wants: list[Want], tmp_path: Path) -> None:
    one, wrong = Reader(catalog.store, tmp_path / "cache", cache_bytes=8 * SHARD_BYTES), []

    def read(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(150):
            number = chance.randrange(len(wants))
            if not chance.randrange(3):
                one.read_ahead(chance.sample(wants, 3))
            view = None
            while view is None:
                with contextlib.suppress(CacheFullError):  # views of the other threads
                    view = one.rows(*wants[number])
            if not (view == number).all():
                wrong.append(number)
            del view
        finished.append(seed)

    finished: list[int] = []
    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert held_bytes(tmp_path / "cache") <= 8 * SHARD_BYTES
    assert not wrong
    assert len(finished) == 3


@pytest.mark.timeout(300)
def test_processes_that_are_killed_leave_a_cache_that_holds(
    catalog: Catalog, wants: list[Want], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    cache, bound, chance = tmp_path / "cache", 12 * SHARD_BYTES, random.Random(1)
    everything = 10 * SHARD_BYTES

    def start(seed: int, cache_bytes: int, turns: int = 10**6) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen([sys.executable, SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        request.addfinalizer(process.stdout.close)
        pickle.dump((catalog.store, cache, cache_bytes, wants, seed, turns), process.stdin)
        process.stdin.close()
        return process

    for cache_bytes in (8 * SHARD_BYTES, bound):  # with evictions, then with room for all
        before, num_killed = fetches(catalog), 11
        running = [start(seed, cache_bytes) for seed in range(3)]
        for seed in range(3, 11):
            victim = running.pop(chance.randrange(3))
            assert victim.stdout is not None
            assert victim.stdout.readline()  # it reads
            until_s = time.monotonic() + chance.random() / 4
            while time.monotonic() < until_s:
                assert held_bytes(cache) <= cache_bytes
            assert victim.poll() is None, victim.returncode
            victim.kill()
            victim.wait()
            running.append(start(seed, cache_bytes))
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline()
            assert process.poll() is None, process.returncode
            process.kill()
            process.wait()
    assert sum((fetches(catalog) - before).values()) <= 10 + num_killed  # once each, and what a kill broke off
    before = fetches(catalog)
    last = [start(seed, bound, turns=40) for seed in (20, 21)]
    assert [process.wait() for process in last] == [0, 0]
    missing = sum((fetches(catalog) - before).values())
    assert missing <= 10  # what there was room for is fetched once at most
    assert held_bytes(cache) <= everything
    final = Reader(catalog.store, cache, cache_bytes=bound)
    assert all((final.rows(*want) == number).all() for number, want in enumerate(wants))
