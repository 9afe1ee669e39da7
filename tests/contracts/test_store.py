"""The same promises on every backend: memory, directory, and S3 over loopback."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from streamer.errors import StoreError
from streamer.log import CHECKPOINT_INTERVAL, Log
from streamer.store import DirectoryStore, MemoryStore, ObjectStore, Store, open_store


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["memory", "directory", "object_store"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "directory":
        return DirectoryStore(tmp_path / "root")
    endpoint: str = request.getfixturevalue("s3_endpoint")
    import boto3

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    bucket = f"bucket{abs(hash(str(tmp_path))) % 10**9}"
    boto3.client("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket=bucket)
    return ObjectStore(
        f"s3://{bucket}/root",
        config={"endpoint": endpoint, "access_key_id": "test", "secret_access_key": "test", "region": "us-east-1"},
        client_options={"allow_http": True},
    )


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
    store = ObjectStore(
        "s3://bucket/root", config=config, client_options={"allow_http": True}, retry_config={"max_retries": 0}
    )
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


def test_a_log_opens_from_its_last_checkpoint(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    log = Log(store, "log")
    for number in range(2 * CHECKPOINT_INTERVAL + 3):
        log.append(lambda _, number=number: {"number": number})
    for number in range(1, CHECKPOINT_INTERVAL):
        store.delete(log.key(number))  # nothing before the checkpoint is read again
    assert [body["number"] for body in Log(store, "log").read()] == list(range(2 * CHECKPOINT_INTERVAL + 3))


class LosesAnswers(MemoryStore):
    """Stores, then tells the caller that the key existed: a connection reset after the put."""

    def put_if_absent(self, key: str, data: bytes) -> bytes:
        super().put_if_absent(key, data)
        return super().put_if_absent(key, b"")


def test_an_append_whose_answer_was_lost_is_counted_once() -> None:
    log = Log(LosesAnswers(), "log")
    assert log.append(lambda _: {"n": 1}) == (0, {"n": 1})
    assert len(log.read()) == 1
