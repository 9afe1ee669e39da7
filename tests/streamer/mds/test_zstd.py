"""Parts of compressed shards, as stock MDSWriter writes them, from publication to rows."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from streamer import Catalog
from streamer.commands.streams import run_verify
from streamer.errors import PartError
from streamer.reading.reader import Reader
from streamer.store.object_store import ObjectStore

ROWS = np.arange(300 * 64, dtype=np.uint16).reshape(300, 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from streaming import MDSWriter

    columns = {"tokens": "ndarray:uint16:64"}
    with MDSWriter(out=str(tmp_path / "part"), columns=columns, compression="zstd:7", size_limit=1 << 14) as writer:
        for row in ROWS:
            writer.write({"tokens": row})
    return tmp_path / "part"


def read_all(catalog: Catalog, reader: Reader) -> np.ndarray:
    snapshot = catalog.stream("raw/python")
    return np.concatenate([reader.rows(part, shard, snapshot.schema) for part in snapshot.parts for shard in part.shards])


@pytest.mark.parametrize("remote", [False, True])
def test_compressed_shards_are_read_from_the_cache(
    folder: Path, root: Path, tmp_path: Path, remote: bool, request: pytest.FixtureRequest
) -> None:
    make_store: Callable[[], ObjectStore] | None = request.getfixturevalue("s3_store") if remote else None
    catalog = Catalog(make_store() if make_store else root)
    catalog.publish_directory("raw/python", folder)
    first, second = Reader(catalog.store, tmp_path / "cache"), Reader(catalog.store, tmp_path / "cache")
    first.read_ahead([])
    assert (read_all(catalog, first) == ROWS).all()
    assert (read_all(catalog, second) == ROWS).all()
    (part,) = catalog.stream("raw/python").parts
    assert len(part.shards) > 2
    assert first.fetched_bytes == remote * sum(shard.size_bytes for shard in part.shards)
    assert second.fetched_bytes == second.hashed_bytes == 0


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the rival leaves the shard open that it unpacks
def test_stock_streaming_reads_the_published_part(folder: Path, root: Path) -> None:
    from streaming import StreamingDataset

    (part,) = Catalog(root).publish_directory("raw/python", folder).parts
    dataset = StreamingDataset(local=str(root / part.folder), batch_size=1)
    assert (dataset[299]["tokens"] == ROWS[299]).all()


def test_a_damaged_compressed_shard_is_named_by_reader_and_verify(
    folder: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import argparse

    catalog = Catalog(root)
    (part,) = catalog.publish_directory("raw/python", folder).parts
    options = argparse.Namespace(root=root, glob="*", remove=False, json=True)
    assert run_verify(options) == 0
    path = root / part.folder / part.shards[1].name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(PartError, match=f"{path} has hash .*{part.shards[1].xxh3}.*phasemix streams verify"):
        read_all(catalog, Reader(catalog.store, tmp_path / "cache"))
    capsys.readouterr()
    assert run_verify(options) == 1
    assert [line["shard"] for line in json.loads(capsys.readouterr().out) if line["state"] != "whole"] == [path.name]


def test_an_index_that_lies_about_the_plain_size_is_refused(folder: Path, root: Path) -> None:
    index = json.loads((folder / "index.json").read_text())
    index["shards"][0]["raw_data"]["bytes"] -= 1
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(PartError, match="unpacks to more bytes"):
        Catalog(root).publish_directory("raw/python", folder)


def test_an_entry_of_plain_shards_has_no_columns_of_compression(root: Path) -> None:
    catalog = Catalog(root)
    catalog.append("raw/python", ROWS, seq_len=64)
    (body,) = catalog.stream_log("raw/python").read()
    assert set(body["shards"]) == {"name", "samples", "size_bytes", "xxh3"}


def test_compressed_documents_are_read_too(root: Path, tmp_path: Path) -> None:
    from streaming import MDSWriter

    texts = ("document", "text", "language", "repository", "path", "license")
    columns = {**dict.fromkeys(texts, "str"), "score": "float64"}
    with MDSWriter(out=str(tmp_path / "documents"), columns=columns, compression="zstd") as writer:
        writer.write({**{name: name for name in texts}, "score": np.float64(0.5)})
    catalog = Catalog(root)
    catalog.publish_directory("documents/python", tmp_path / "documents")
    assert [document.text for document in catalog.documents("documents/python")] == ["text"]
