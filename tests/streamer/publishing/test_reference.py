"""A folder that is registered by address: nothing is copied, written or deleted there, and readers notice what changes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.command_line import main
from streamer import Catalog, SnapshotLoader
from streamer.catalog.verification import verify_streams
from streamer.documents.document import COLUMNS
from streamer.errors import PartError, StreamError
from streamer.mds import layout as mds
from streamer.reading.export import export_glob
from streamer.reading.reader import Reader
from streamer.store.object_store import ObjectStore

ROWS = np.arange(40 * 8, dtype=np.uint16).reshape(40, 8)


@pytest.fixture
def publish(root: Path) -> Callable[..., int]:
    return lambda *words: main(["streams", "publish", *map(str, words), "--root", str(root)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Somebody's own folder of MDS."""
    place = tmp_path / "theirs"
    place.mkdir()
    mds.write_shards(ROWS, place)
    return place


@pytest.fixture
def bucket(s3_store: Callable[..., ObjectStore], folder: Path, monkeypatch: pytest.MonkeyPatch, s3_endpoint: str) -> str:
    """The address of the same folder in an object store, which the environment tells how to reach."""
    for name, value in (
        ("AWS_ENDPOINT_URL", s3_endpoint),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ALLOW_HTTP", "true"),
    ):
        monkeypatch.setenv(name, value)
    store = s3_store()
    for path in folder.iterdir():
        store.put_file(f"data/{path.name}", path)
    return f"{store.url}/data"


def state_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def tokens_of(root: Path) -> np.ndarray[Any, Any]:
    return np.concatenate([batch.tokens for batch in SnapshotLoader(root, "raw/*")])


def faults(root: Path) -> list[str]:
    return [one.state for one in verify_streams(Catalog(root)) if one.is_fault]


def refused(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> None:
    said = capsys.readouterr().err
    assert code == 2
    assert said.count("\n") == 1
    assert [word for word in words if word not in said] == [], said


def test_a_referenced_folder_is_read_where_it_is(
    root: Path, folder: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    before = state_of(folder)
    assert publish("raw/python", folder, "--reference") == 0
    catalog = Catalog(root)
    (part,) = catalog.stream("raw/python").parts
    assert part.reference == str(folder)
    assert not (root / "streams/raw/python/_parts").exists()
    assert (tokens_of(root) == ROWS).all()
    assert faults(root) == []
    assert export_glob(catalog, "raw/*") == [{"remote": None, "local": str(folder)}]
    assert state_of(folder) == before
    capsys.readouterr()
    assert main(["streams", "show", "raw/python", "--json", "--root", str(root)]) == 0
    assert json.loads(capsys.readouterr().out)[0]["reference"] == str(folder)


def test_a_folder_of_an_object_store_is_read_through_the_cache(
    root: Path, bucket: str, publish: Callable[..., int], tmp_path: Path
) -> None:
    assert publish("raw/python", f"{bucket}/", "--reference") == 0
    catalog = Catalog(root)
    snapshot = catalog.stream("raw/python")
    (part,) = snapshot.parts
    assert part.reference == bucket
    first, second = Reader(catalog.store, tmp_path / "cache"), Reader(catalog.store, tmp_path / "cache")
    for reader in (first, second):
        assert (reader.rows(part, part.shards[0], snapshot.schema) == ROWS).all()
    assert first.fetched_bytes == part.shards[0].size_bytes
    assert second.fetched_bytes == 0
    assert faults(root) == []
    assert export_glob(catalog, "raw/*", cache="/c")[0]["remote"] == bucket


def test_a_root_in_an_object_store_may_reference_a_folder_of_a_disk(
    s3_store: Callable[..., ObjectStore], folder: Path
) -> None:
    store = s3_store()
    Catalog(store).publish_reference("raw/python", folder)
    found = np.concatenate([batch.tokens for batch in SnapshotLoader(store, "raw/*")])
    assert (found == ROWS).all()
    assert store.list("streams/raw/python/_parts") == []


def test_parts_of_both_kinds_stand_in_one_stream(root: Path, folder: Path, tmp_path: Path) -> None:
    catalog = Catalog(root)
    catalog.append("raw/python", ROWS[:3] + 1, seq_len=8)
    catalog.publish_reference("raw/python", folder)
    assert (tokens_of(root) == np.concatenate([ROWS[:3] + 1, ROWS])).all()
    catalog.publish_directory("raw/python", folder, again=True)
    assert catalog.stream("raw/python").samples == 83


def test_documents_are_referenced_too(root: Path, tmp_path: Path) -> None:
    place = tmp_path / "documents"
    place.mkdir()
    mds.write_rows([dict.fromkeys(COLUMNS, "a") | {"score": float("nan"), "copies": 2, "text": "x = 1\n"}], COLUMNS, place)
    catalog = Catalog(root)
    catalog.publish_reference("documents/python", place)
    assert [document.text for document in catalog.documents("documents/python")] == ["x = 1\n"]
    assert faults(root) == []


@pytest.mark.parametrize(
    "change", ["a flipped bit", "a byte less", "another folder", "no shard", "no folder", "another index"]
)
def test_what_changes_in_a_referenced_folder_is_named_by_readers_and_verify(
    root: Path, folder: Path, publish: Callable[..., int], change: str
) -> None:
    assert publish("raw/python", folder, "--reference") == 0
    shard = folder / "shard.00000.mds"
    match change:
        case "a flipped bit":
            data = bytearray(shard.read_bytes())
            data[-1] ^= 1
            shard.write_bytes(data)
        case "a byte less":
            shard.write_bytes(shard.read_bytes()[:-1])
        case "another folder":
            shutil.rmtree(folder)
            folder.mkdir()
            mds.write_shards(ROWS[::-1].copy(), folder)
        case "no shard":
            shard.unlink()
        case "no folder":
            shutil.rmtree(folder)
        case "another index":
            (folder / "index.json").write_text("{}")
    named = str(folder / "index.json") if change == "another index" else str(shard)
    assert any(named in fault for fault in faults(root))
    if change == "another index":  # no reader of ours needs it
        assert (tokens_of(root) == ROWS).all()
    else:
        with pytest.raises(PartError, match=str(shard)):
            tokens_of(root)


def test_a_folder_that_comes_back_is_read_again(
    root: Path, folder: Path, tmp_path: Path, publish: Callable[..., int]
) -> None:
    assert publish("raw/python", folder, "--reference") == 0
    folder.rename(tmp_path / "away")
    assert faults(root)
    (tmp_path / "away").rename(folder)
    assert faults(root) == []
    assert (tokens_of(root) == ROWS).all()


def test_verify_remove_never_touches_a_referenced_folder(root: Path, folder: Path, publish: Callable[..., int]) -> None:
    assert publish("raw/python", folder, "--reference") == 0
    catalog = Catalog(root)
    left = root / "streams/raw/python/_parts/0123456789abcdef/shard.00000.mds"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"what a crash left")
    before = state_of(folder)
    assert main(["streams", "verify", "--remove", "--root", str(root)]) == 0
    assert not left.exists()
    assert state_of(folder) == before
    (part,) = catalog.stream("raw/python").parts
    assert not catalog.remove_garbage("raw/python", part.part_id)
    assert state_of(folder) == before
    assert (tokens_of(root) == ROWS).all()


def test_a_refused_reference_leaves_the_folder_and_the_stream_as_they_were(root: Path, folder: Path) -> None:
    catalog = Catalog(root)
    catalog.append("raw/python", np.zeros((2, 4), np.uint16), seq_len=4)
    before = state_of(folder)
    with pytest.raises(StreamError, match="seq_len"):
        catalog.publish_reference("raw/python", folder)
    assert state_of(folder) == before
    assert catalog.stream("raw/python").number == 1


def test_a_folder_under_the_root_is_not_referenced(
    root: Path, folder: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish("raw/python", folder) == 0
    inside = root / Catalog(root).stream("raw/python").parts[0].folder
    capsys.readouterr()
    refused(capsys, publish("raw/other", inside, "--reference"), "lies under the root")
    (root.parent / "link").symlink_to(inside)
    refused(capsys, publish("raw/other", root.parent / "link", "--reference"), "lies under the root")


def test_what_would_have_to_be_converted_is_not_referenced(
    tmp_path: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "bytes"
    place.mkdir()
    mds.write_rows(({"tokens": row.astype(np.int32).tobytes()} for row in ROWS), {"tokens": "bytes"}, place)
    refused(capsys, publish("raw/python", place, "--reference", "--token-dtype", "int32"), "without --reference")


def test_files_of_documents_are_not_referenced(
    tmp_path: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "x = 1"}\n')
    refused(capsys, publish("documents/python", tmp_path / "rows.jsonl", "--reference"), "rows.jsonl")


@pytest.mark.parametrize("address", ["s3://user:secret@bucket/data", "s3://bucket/data?X-Amz-Signature=secret"])
def test_an_address_with_credentials_is_refused_and_they_are_not_said(
    root: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str], address: str
) -> None:
    assert publish("raw/python", address, "--reference") == 2
    assert "secret" not in capsys.readouterr().err
    assert not root.exists()


def test_an_address_without_reference_says_what_to_do(
    publish: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    refused(capsys, publish("raw/python", "s3://bucket/data"), "add --reference")


def test_ids_beyond_the_tokenizer_are_refused_by_reference_too(
    root: Path, folder: Path, tmp_path: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    from streamer.packing.tokenizer import train

    (tmp_path / "tokenizer.json").write_text(train(["def f(x): return x\n"] * 9, vocabulary=257).to_str())
    words = ("--tokenizer", tmp_path / "tokenizer.json", "--reference")
    refused(capsys, publish("raw/python", folder, *words), "id 319")
    assert not root.exists()
