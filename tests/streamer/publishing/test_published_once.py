"""What bytes cannot tell is asked for, merged folders are taken whole, and shards come twice only where it is asked for."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from deploy.command_line import main
from streamer import Catalog, SnapshotLoader
from streamer.commands.streams import TOKEN_DTYPES
from streamer.errors import AlreadyPublishedError, PartError
from streamer.mds import layout as mds
from streamer.publishing import token_rows
from streamer.reading.reader import Reader
from streamer.store.store import Store

ROWS = np.arange(60 * 8, dtype=np.uint16).reshape(60, 8)


@pytest.fixture
def publish(root: Path) -> Callable[..., int]:
    return lambda *words: main(["streams", "publish", *map(str, words), "--root", str(root)])


def write(folder: Path, rows: np.ndarray[Any, Any]) -> Path:
    folder.mkdir(parents=True)
    mds.write_shards(rows, folder)
    return folder


def write_bytes(folder: Path, rows: np.ndarray[Any, Any]) -> Path:
    """Rows as LLM-Foundry writes them."""
    folder.mkdir(parents=True)
    mds.write_rows(({"tokens": row.tobytes()} for row in rows), {"tokens": "bytes"}, folder)
    return folder


def merge(folder: Path, *names: str) -> Path:
    """The index of folders below, as merge_index writes it."""
    shards = []
    for name in names:
        for shard in json.loads((folder / name / "index.json").read_text())["shards"]:
            shard["raw_data"]["basename"] = f"{name}/{shard['raw_data']['basename']}"
            shards.append(shard)
    (folder / "index.json").write_text(json.dumps({"version": 2, "shards": shards}))
    return folder


def tokens_of(root: Path) -> np.ndarray[Any, Any]:
    return np.concatenate([batch.tokens for batch in SnapshotLoader(root, "raw/*")])


def refused(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> None:
    said = capsys.readouterr().err
    assert code == 2
    assert said.count("\n") == 1
    assert [word for word in words if word not in said] == [], said


# merged folders


def test_a_merged_folder_is_one_part_which_stock_streaming_reads(
    root: Path, tmp_path: Path, publish: Callable[..., int]
) -> None:
    streaming = pytest.importorskip("streaming", reason="the corpus extra is not installed")
    for number in range(3):
        write(tmp_path / "mds" / f"worker/{number}", ROWS[number * 20 : number * 20 + 20])
    assert publish("raw/python", merge(tmp_path / "mds", "worker/0", "worker/1", "worker/2")) == 0
    (part,) = Catalog(root).stream("raw/python").parts
    assert [shard.name for shard in part.shards] == [f"worker/{number}/shard.00000.mds" for number in range(3)]
    assert (tokens_of(root) == ROWS).all()
    dataset = streaming.StreamingDataset(local=str(root / part.folder), batch_size=1)
    assert all((dataset[place]["tokens"] == row).all() for place, row in enumerate(ROWS))


def test_shards_of_one_name_do_not_meet_in_the_cache(tmp_path: Path, s3_store: Callable[[], Store]) -> None:
    write(tmp_path / "mds" / "0", ROWS[:20])
    write(tmp_path / "mds" / "1", ROWS[20:40])
    catalog = Catalog(s3_store())
    snapshot = catalog.publish_directory("raw/python", merge(tmp_path / "mds", "0", "1"))
    reader = Reader(catalog.store, tmp_path / "cache")
    rows = [reader.rows(part, shard, snapshot.schema) for part in snapshot.parts for shard in part.shards]
    assert (np.concatenate(rows) == ROWS[:40]).all()


def test_a_folder_that_was_not_merged_is_told_how(
    tmp_path: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "mds" / "0", ROWS[:20])
    refused(capsys, publish("raw/python", tmp_path / "mds"), "its folders 0 are MDS", "merge_index")


@pytest.mark.parametrize(
    "name",
    [
        "../out/shard.00000.mds",
        "/etc/passwd",
        "0/../../out/shard.00000.mds",
        "./shard.00000.mds",
        "a//b",
        "",
        "a/" * 20 + "b",
    ],
)
def test_a_name_outside_the_folder_is_refused_for_that_reason(
    root: Path, tmp_path: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    write(tmp_path / "out", ROWS)
    folder = write(tmp_path / "mds", ROWS)
    index = json.loads((folder / "index.json").read_text())
    index["shards"][0]["raw_data"]["basename"] = name
    (folder / "index.json").write_text(json.dumps(index))
    refused(capsys, publish("raw/python", folder), "not a path inside the folder")
    assert not root.exists()


def test_a_shard_that_is_not_there_is_refused_for_that_reason(
    tmp_path: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "mds" / "0", ROWS[:20])
    merge(tmp_path / "mds", "0")
    (tmp_path / "mds/0/shard.00000.mds").unlink()
    refused(capsys, publish("raw/python", tmp_path / "mds"), "0/shard.00000.mds, but there is no such file")


# how wide an id is


@pytest.mark.parametrize(("dtype", "length"), [("int32", 16), ("int64", 8)])
def test_bytes_are_not_guessed_from_the_streams_length(
    root: Path, tmp_path: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str], dtype: str, length: int
) -> None:
    """A row of 64 bytes fits a stream of 16 ids as int32, and one of 8 as int64."""
    Catalog(root).create_stream("raw/python", seq_len=length)
    rows = ROWS.reshape(-1, length)[:20].astype(dtype)
    folder = write_bytes(tmp_path / "mds", rows)
    refused(capsys, publish("raw/python", folder), "--token-dtype", "8 ids of int64", "16 ids of int32")
    assert Catalog(root).stream("raw/python").samples == 0
    assert publish("raw/python", folder, "--token-dtype", dtype) == 0
    assert (tokens_of(root) == rows).all()


def test_rows_of_int64_do_not_fit_a_stream_of_twice_their_length(
    root: Path, tmp_path: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    Catalog(root).create_stream("raw/python", seq_len=16)
    folder = write_bytes(tmp_path / "mds", (ROWS + 1).astype(np.int64))
    refused(capsys, publish("raw/python", folder, "--token-dtype", "int64"), "seq_len 16, the part 8")
    refused(capsys, publish("raw/python", folder, "--seq-len", "16"), "0 at every second place", "--token-dtype int64")
    assert Catalog(root).stream("raw/python").samples == 0


def test_what_looks_like_wider_ids_is_taken_when_it_is_said(root: Path, tmp_path: Path, publish: Callable[..., int]) -> None:
    folder = write_bytes(tmp_path / "mds", np.zeros((5, 8), np.int32))
    assert publish("raw/python", folder, "--token-dtype", "int32") == 0
    assert tokens_of(root).shape == (5, 8)


@pytest.mark.parametrize("dtype", TOKEN_DTYPES)
def test_every_dtype_that_is_said_is_read_as_it_was_stored(
    root: Path, tmp_path: Path, publish: Callable[..., int], dtype: str
) -> None:
    assert publish("raw/python", write_bytes(tmp_path / "mds", ROWS.astype(dtype)), "--token-dtype", dtype) == 0
    assert (tokens_of(root) == ROWS).all()


def test_the_command_offers_the_dtypes_that_are_read() -> None:
    assert TOKEN_DTYPES == token_rows.TOKEN_DTYPES


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--token-dtype", "int64"], "which says its own dtype"),
        (["--seq-len", "4"], "--seq-len says 4"),
    ],
)
def test_what_the_column_says_itself_is_not_overruled(
    root: Path, tmp_path: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    refused(capsys, publish("raw/python", write(tmp_path / "mds", ROWS), *words), said)
    assert not root.exists()


# a tokenizer that nobody knows


def test_a_tokenizer_that_is_neither_file_nor_fingerprint_is_refused(
    root: Path, tmp_path: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "mds", ROWS)
    refused(capsys, publish("raw/python", folder, "--tokenizer", "tokeniser.json"), "neither a file nor a fingerprint")
    assert not root.exists()


def test_a_stream_with_a_tokenizer_says_which_one_to_name(
    root: Path, tmp_path: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    Catalog(root).create_stream("raw/python", seq_len=8, tokenizer="bpe-0123456789abcdef")
    folder = write(tmp_path / "mds", ROWS)
    refused(capsys, publish("raw/python", folder), "--tokenizer bpe-0123456789abcdef")
    assert publish("raw/python", folder, "--tokenizer", "bpe-0123456789abcdef") == 0


# the same shards again


def test_a_publication_that_is_tried_again_is_named_and_doubles_nothing(
    root: Path, tmp_path: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "documents.jsonl"
    path.write_text('{"text": "x = 1\\n"}\n{"text": "y = 2\\n"}\n')
    for _ in range(2):
        assert publish("documents/python", path, "--json") == 0
    out, err = capsys.readouterr()
    (part,) = Catalog(root).stream("documents/python").parts
    assert f"part {part.part_id} of entry 0" in err
    assert '"published": 0' in out
    assert Catalog(root).garbage("documents/python") == []
    assert publish("documents/python", path, "--again") == 0
    assert Catalog(root).stream("documents/python").samples == 4


@pytest.mark.parametrize("reference", [False, True])
def test_some_of_the_shards_again_are_counted_and_refused(
    root: Path, tmp_path: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str], reference: bool
) -> None:
    for number in range(3):
        write(tmp_path / "mds" / f"{number}", ROWS[number * 20 : number * 20 + 20])
    words = ["--reference"] if reference else []
    assert publish("raw/python", tmp_path / "mds/1") == 0
    refused(capsys, publish("raw/python", merge(tmp_path / "mds", "0", "1", "2"), *words), "has 1 of these 3 shards already")
    for number in (0, 2):
        assert publish("raw/python", tmp_path / f"mds/{number}") == 0
    assert publish("raw/python", tmp_path / "mds", *words) == 0  # now all are there, in three parts
    assert Catalog(root).stream("raw/python").samples == 60


def test_the_same_shards_compressed_are_the_same(root: Path, tmp_path: Path) -> None:
    plain, packed = write(tmp_path / "plain", ROWS), tmp_path / "packed"
    packed.mkdir()
    with pa.CompressedOutputStream(str(packed / "shard.00000.mds.zstd"), "zstd") as out:
        out.write((plain / "shard.00000.mds").read_bytes())
    index = json.loads((plain / "index.json").read_text())
    size_bytes = (packed / "shard.00000.mds.zstd").stat().st_size
    zipped = {"basename": "shard.00000.mds.zstd", "bytes": size_bytes, "hashes": {}}
    index["shards"][0] |= {"compression": "zstd:3", "zip_data": zipped}
    (packed / "index.json").write_text(json.dumps(index))
    catalog = Catalog(root)
    catalog.publish_directory("raw/python", plain)
    with pytest.raises(AlreadyPublishedError) as refused:
        catalog.publish_directory("raw/python", packed)
    assert refused.value.whole
    assert (catalog.publish_directory("raw/python", packed, again=True).samples, tokens_of(root).shape) == (120, (120, 8))


def test_of_two_that_publish_the_same_at_once_one_wins(root: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "mds", ROWS)

    def publish_once(_: int) -> bool:
        try:
            Catalog(root).publish_directory("raw/python", folder)
        except AlreadyPublishedError as error:
            return not error.whole
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(publish_once, range(4))) == 1
    catalog = Catalog(root)
    assert catalog.stream("raw/python").samples == 60
    assert catalog.garbage("raw/python") == []


def test_other_streams_may_have_the_same_shards(root: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "mds", ROWS)
    for name in ("raw/python", "raw/other"):
        assert Catalog(root).publish_directory(name, folder).samples == 60


# bounds of an index and of compressed shards


def hostile_index(folder: Path, **changes: Any) -> Path:
    """A compressed shard of 1 KB whose index says something else of it."""
    write(folder, ROWS)
    index = json.loads((folder / "index.json").read_text())
    shard = index["shards"][0]
    (folder / "shard.00000.mds.zstd").write_bytes(b"\0" * 1000)
    shard["compression"], shard["zip_data"] = "zstd", {"basename": "shard.00000.mds.zstd", "bytes": 1000, "hashes": {}}
    shard["raw_data"]["bytes"] = changes.pop("raw_bytes", 1000)
    shard |= changes
    (folder / "index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"raw_bytes": 4 << 30}, "unpacks to 4,294,967,296 bytes"),
        ({"raw_bytes": -1}, "has a shard of"),
        ({"samples": -3}, "-3 samples"),
        ({"column_names": ["a"] * 300, "column_encodings": ["int"] * 300}, "300 columns"),
        ({"compression": "br:11"}, "compressed with br:11"),
    ],
)
def test_an_index_beyond_the_bounds_is_refused_before_a_shard_is_read(
    root: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(PartError, match=said):
        Catalog(root).publish_directory("raw/python", hostile_index(tmp_path / "mds", **changes))
    assert not root.exists()


def test_shards_that_together_unpack_to_more_than_is_read_are_refused(root: Path, tmp_path: Path) -> None:
    folder = hostile_index(tmp_path / "mds", raw_bytes=500 << 20)
    index = json.loads((folder / "index.json").read_text())
    index["shards"] *= 3
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(PartError, match="3,000 bytes unpack to 1,572,864,000"):
        Catalog(root).publish_directory("raw/python", folder)


@pytest.mark.parametrize(
    "column", ["ndarray:uint16:" + "9" * 5000, "ndarray:uint16:٣", "ndarray:uint16:0", "ndarray:uint16:-1"]
)
def test_a_length_that_no_row_has_is_refused(root: Path, tmp_path: Path, column: str) -> None:
    folder = write(tmp_path / "mds", ROWS)
    index = json.loads((folder / "index.json").read_text())
    index["shards"][0]["column_encodings"] = [column]
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(PartError, match="its rows must be flat"):
        Catalog(root).publish_directory("raw/python", folder)
