"""The same promises on every backend: memory, directory, and S3 over loopback."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from streamer.errors import StoreError
from streamer.store.directory_store import DirectoryStore
from streamer.store.log import CHECKPOINT_INTERVAL, Log
from streamer.store.object_store import ObjectStore
from streamer.store.roots import open_store
from streamer.store.store import MemoryStore, Store


def test_the_first_writer_of_a_key_decides(store: Store) -> None:
    assert store.put_if_absent("runs/a/00000000", b"one") == b"one"
    assert store.put_if_absent("runs/a/00000000", b"two") == b"one"
    assert store.get("runs/a/00000000") == b"one"


@pytest.mark.parametrize("url", ["", "s3://", "az://no-account", "s3:// /x", "ftp://a/b"])
def test_an_address_that_cannot_be_opened_is_one_line(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(StoreError) as error:
        open_store(url)
    assert "\n" not in str(error.value)


def test_an_address_that_does_not_answer_is_one_line_without_credentials() -> None:
    config = {
        "endpoint": "http://127.0.0.1:9",
        "access_key_id": "test",
        "secret_access_key": "hidden",
        "region": "us-east-1",
    }
    store = ObjectStore("s3://bucket/root", config=config, client_options={"allow_http": True}, retry_s=0.0)
    acts: list[Callable[[], object]] = [
        lambda: store.get("a/b"),
        lambda: store.put_if_absent("a/b", b""),
        lambda: store.delete("a/b"),
        lambda: store.list("a"),
    ]
    for act in acts:
        with pytest.raises(StoreError) as error:
            act()
        assert "\n" not in str(error.value)
        assert "hidden" not in str(error.value)


def test_an_absent_key_is_none(store: Store) -> None:
    assert store.get("nothing/here") is None


def test_a_deleted_key_is_absent_and_a_second_delete_is_fine(store: Store) -> None:
    store.put_if_absent("a/b", b"x")
    store.delete("a/b")
    store.delete("a/b")
    assert store.get("a/b") is None


def test_a_file_is_put_whole_and_listed(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    store.put_file("parts/1/file", tmp_path / "file")
    assert store.get("parts/1/file") == b"x" * 100_000
    assert store.list("parts/1") == ["parts/1/file"]


def test_a_fetched_file_has_the_objects_bytes(store: Store, tmp_path: Path) -> None:
    data = bytes(range(256)) * 40_000  # several blocks
    store.put_if_absent("a/b", data)
    (tmp_path / "file").write_bytes(bytes(len(data)))
    assert store.fetch("a/b", tmp_path / "file", len(data)) == len(data)
    assert (tmp_path / "file").read_bytes() == data


def test_an_object_of_another_size_or_none_is_not_fetched(store: Store, tmp_path: Path) -> None:
    store.put_if_absent("a/b", b"12345")
    (tmp_path / "file").write_bytes(bytes(4))
    assert store.fetch("a/b", tmp_path / "file", 4) == 5
    assert store.fetch("a/c", tmp_path / "file", 4) is None
    assert (tmp_path / "file").read_bytes() == bytes(4)


@pytest.mark.timeout(120)
def test_a_child_forked_after_use_reads_and_writes_or_is_told_why_not(store: Store, tmp_path: Path) -> None:
    store.put_if_absent("a/b", b"12345")
    assert store.get("a/b") == b"12345"  # a library's threads run now
    child = os.fork()
    if not child:
        path = tmp_path / "file"
        path.write_bytes(bytes(5))
        try:
            right = store.get("a/b") == b"12345" and store.get("a/c") is None and store.fetch("a/b", path, 5) == 5
            right = right and store.put_if_absent("a/b", b"other") == b"12345"
        except StoreError as error:
            right = isinstance(store, ObjectStore) and "forkserver" in str(error)
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_racing_appenders_lose_no_entry_and_share_no_number(store: Store) -> None:
    def append(worker: int) -> None:
        log = Log(store, "log")
        for turn in range(5):
            log.append(lambda _, body=f"{worker}.{turn}": {"body": body})

    threads = [threading.Thread(target=append, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bodies = [body["body"] for body in Log(store, "log").read()]
    assert sorted(bodies) == sorted(f"{worker}.{turn}" for worker in range(4) for turn in range(5))


class CountsGets(MemoryStore):
    gets = 0

    def get(self, key: str) -> bytes | None:
        self.gets += 1
        return super().get(key)


@pytest.mark.parametrize("entries", [0, 1, 15, 16, 17, 31, 32, 33, 255, 256, 257, 1000, 1037])
def test_a_log_opens_whole_from_few_of_its_entries(entries: int) -> None:
    store = CountsGets()
    log = Log(store, "log")
    for number in range(entries):
        log.append(lambda _, number=number: {"number": number})
    store.gets = 0
    assert [body["number"] for body in Log(store, "log").read()] == list(range(entries))
    assert store.gets <= CHECKPOINT_INTERVAL + 1 + 3 * max(1, entries // CHECKPOINT_INTERVAL).bit_length()
    assert sum(len(store.get(log.key(number)) or b"") for number in range(entries)) <= 200 * entries * 8


class LosesAnswers(MemoryStore):
    """Stores, then tells the caller that the key existed: a connection reset after the put."""

    def put_if_absent(self, key: str, data: bytes) -> bytes:
        super().put_if_absent(key, data)
        return super().put_if_absent(key, b"")


def test_an_append_whose_answer_was_lost_is_counted_once() -> None:
    log = Log(LosesAnswers(), "log")
    assert log.append(lambda _: {"n": 1}) == (0, {"n": 1})
    assert len(log.read()) == 1


def test_a_directory_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "root")
    store.put_if_absent("runs/a/00000000", b"one")
    (tmp_path / "root").rename(tmp_path / "away")
    (tmp_path / "file").write_bytes(b"two")
    with pytest.raises(StoreError, match="that this process opened is gone"):
        store.put_if_absent("runs/a/00000001", b"two")
    with pytest.raises(StoreError, match="that this process opened is gone"):
        store.put_file("parts/two", tmp_path / "file")
    assert not (tmp_path / "root").exists()
    (tmp_path / "away").rename(tmp_path / "root")
    assert store.put_if_absent("runs/a/00000001", b"two") == b"two"
