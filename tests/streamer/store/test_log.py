"""Logs whose entries are missing, damaged, or others: each is found, and nothing is written over a gap."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from streamer import Catalog
from streamer.errors import LogError
from streamer.store import entries, object_store
from streamer.store.directory_store import DirectoryStore
from streamer.store.entries import decode
from streamer.store.log import Log
from streamer.store.log_check import LogCheck
from streamer.store.object_store import ObjectStore
from streamer.store.store import MemoryStore, Store

OLD = Path(__file__).parents[2] / "formats" / "catalog_2" / "runs" / "first" / "ledger"


@pytest.fixture(params=["memory", "directory", "object_store"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Every kind of store; the object store says ten keys at once."""
    if request.param == "memory":
        return MemoryStore()
    if request.param == "directory":
        return DirectoryStore(tmp_path / "root")
    monkeypatch.setattr(object_store, "LISTED", 10)
    make_store: Callable[[], ObjectStore] = request.getfixturevalue("s3_store")
    return make_store()


def fill(store: Store, name: str, count: int) -> Log:
    log = Log(store, name)
    for number in range(count):
        log.append(lambda _, number=number: {"number": number})
    return log


def replace(store: Store, key: str, data: bytes | None) -> None:
    store.delete(key)
    if data is not None:
        store.put_if_absent(key, data)


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 16, 17, 33, 70])
def test_a_log_opens_whole_however_many_keys_are_listed_at_once(store: Store, count: int) -> None:
    log = fill(store, "a/log", count)
    store.put_if_absent("a/log2/00000000", b"of another log")
    store.put_if_absent("a/log/.00000099.0123456789ab", b"aside")
    assert [body["number"] for body in Log(store, "a/log").read()] == list(range(count))
    assert [body["number"] for body in log.read()] == list(range(count))
    assert LogCheck(store, "a/log").entries == count
    assert LogCheck(store, "a/log").faults == []
    newest = Log(store, "a/log").newest()
    assert newest == ((count - 1, {"number": count - 1}) if count else None)


@pytest.mark.parametrize("number", [0, 3, 16, 30, 31, 32, 38])
def test_a_missing_entry_is_found_by_whoever_opens_reads_on_or_appends_and_is_not_written_anew(
    store: Store, number: int
) -> None:
    behind = [Log(store, "log"), Log(store, "log")]
    fill(store, "log", 5)
    for log in behind:
        log.read()
    fill(store, "log", 35)
    replace(store, f"log/{number:08d}", None)
    missing = rf"log/{number:08d} is missing, though log/000000\d\d exists; restore that object"
    refused: list[Callable[[], object]] = []
    if number not in (30, 31) or not isinstance(store, ObjectStore):  # nobody who opens reads there: checkpoint 32 has them
        refused += [lambda: Log(store, "log").read(), lambda: Log(store, "log").append(lambda _: {"number": -1})]
    if number >= 5:
        refused += [lambda log=log: log.append(lambda _: {"number": -1}) for log in behind]
    for act in refused:
        with pytest.raises(LogError, match=missing):
            act()
    assert store.get(f"log/{number:08d}") is None
    assert [line[: len(f"log/{number:08d} is missing")] for line in LogCheck(store, "log").faults] == [
        f"log/{number:08d} is missing"
    ]


@pytest.mark.parametrize(("one", "other"), [(1, 2), (16, 32), (33, 34), (34, 35)])
def test_entries_that_changed_places_are_named(one: int, other: int) -> None:
    store = MemoryStore()
    fill(store, "log", 36)
    keys = [f"log/{number:08d}" for number in (one, other)]
    found = [store.get(key) for key in keys]
    for key, data in zip(keys, found[::-1], strict=True):
        replace(store, key, data)
    assert len(LogCheck(store, "log").faults) == 2
    if other > 16:
        with pytest.raises(LogError, match=r"holds entry 000000\d\d of log: it was copied or restored to the wrong place"):
            Log(store, "log").read()


@pytest.mark.parametrize(("count", "number"), [(12, 4), (12, 0), (40, 32), (40, 35), (33, 32), (49, 32)])
def test_an_entry_of_another_copy_of_the_log_is_found_wherever_it_is_read(count: int, number: int) -> None:
    store, other = MemoryStore(), MemoryStore()
    fill(store, "log", count)
    fill(other, "log", count)
    replace(store, f"log/{number:08d}", other.get(f"log/{number:08d}"))
    with pytest.raises(LogError, match="one of the two is from another copy of this log"):
        Log(store, "log").read()
    assert LogCheck(store, "log").faults


@pytest.fixture
def old(tmp_path: Path) -> DirectoryStore:
    """A log as it was written before entries had checksums."""
    shutil.copytree(OLD, tmp_path / "root" / "log")
    return DirectoryStore(tmp_path / "root")


def test_a_log_without_checksums_takes_new_entries_that_are_bound_to_it(old: DirectoryStore) -> None:
    before = list(Log(old, "log").read())
    log = Log(old, "log")
    for number in range(30):
        log.append(lambda _, number=number: {"number": number})
    found = Log(old, "log").read()
    assert [*found] == [*before, *({"number": number} for number in range(30))]
    assert LogCheck(old, "log").faults == []
    formats = [b"log/2" in (old.get(log.key(number)) or b"") for number in range(len(found))]
    assert formats == [False] * len(before) + [True] * 30


def test_damage_to_the_last_entry_without_a_checksum_is_found_by_the_one_behind_it(old: DirectoryStore) -> None:
    count = len(Log(old, "log").read())
    Log(old, "log").append(lambda _: {"number": 0})
    data = old.get(f"log/{count - 1:08d}") or b""
    replace(old, f"log/{count - 1:08d}", data.replace(b'"start":', b'"start": '))
    for read in (lambda: Log(old, "log").read(), lambda: Log(old, "log").append(lambda _: {"number": 1})):
        with pytest.raises(LogError, match=rf"log/{count:08d} was not written behind log/{count - 1:08d} as that is now"):
            read()


def test_an_entry_without_a_checksum_behind_one_that_has_it_is_refused(old: DirectoryStore) -> None:
    count = len(Log(old, "log").read())
    Log(old, "log").append(lambda _: {"number": 0})
    old.put_if_absent(f"log/{count + 1:08d}", old.get("log/00000001") or b"")
    with pytest.raises(LogError, match="from another copy"):
        Log(old, "log").read()


def test_every_single_bit_of_an_entry_and_every_cut_is_found() -> None:
    store = MemoryStore()
    fill(store, "log", 3)
    data = store.get("log/00000001") or b""
    damaged = [data[:place] for place in range(len(data))]
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(changed))
    for found in damaged:
        with pytest.raises(LogError, match="log/00000001") as error:
            decode(found, "log", 1)
        assert entries.RESTORE in str(error.value) or "update phasemix" in str(error.value)


def test_a_stream_whose_newest_entries_a_snapshot_names_is_refused(root: Path, fill: Callable[..., Catalog]) -> None:
    fill("raw/python", 3, 4)
    (root / "streams/raw/python/_log/00000001").unlink()
    with pytest.raises(LogError, match="streams/raw/python/_log/00000001 is missing: .* had 2 entries and now has 1"):
        Catalog(root).stream("raw/python", 2)
