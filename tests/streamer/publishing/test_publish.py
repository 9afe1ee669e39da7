"""`phasemix streams publish` takes what people have, whole or not at all, and never unpickles."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deploy.command_line import main
from streamer import Catalog, SnapshotLoader
from streamer.documents.document import COLUMNS, document_id
from streamer.mds import layout as mds

IDS = np.arange(5 * 8).reshape(5, 8)
ROWS = [
    {"text": "def f():\n    return 1\n", "path": "a/f.py", "repository": "one", "license": "mit", "score": 0.5},
    {"content": "package main\n", "path": "main.go", "repo_name": "two", "more": [1, 2]},
    {"text": "x = 'ä'\n"},
]
BAD_ROWS: list[tuple[Any, str]] = [
    ({"text": ""}, "empty"),
    ({"text": "a\0b"}, "binary"),
    ({"text": "x = 1\n" * 200_000}, "too_large"),
    ({"text": "'\ud800'"}, "not_utf8"),
    ({"path": "nothing.py"}, "unreadable"),
    ({"text": 7}, "unreadable"),
]


@pytest.fixture
def publish(root: Path) -> Callable[..., int]:
    return lambda *words: main(["streams", "publish", *map(str, words), "--root", str(root)])


def write_jsonl(path: Path, rows: list[Any]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def write_mds(folder: Path, columns: dict[str, str], rows: list[dict[str, Any]]) -> Path:
    streaming = pytest.importorskip("streaming", reason="the corpus extra is not installed")
    with streaming.MDSWriter(out=str(folder), columns=columns, max_workers=1) as writer:
        for row in rows:
            writer.write(row)
    return folder


def tokens_of(root: Path, glob: str) -> np.ndarray[Any, Any]:
    return np.concatenate([batch.tokens for batch in SnapshotLoader(root, glob)])


def refused(capsys: pytest.CaptureFixture[str], code: int, word: str) -> None:
    said = capsys.readouterr().err
    assert code == 2
    assert said.count("\n") == 1
    assert word in said


# documents


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "folder", "mds"])
def test_documents_come_out_as_they_went_in(root: Path, tmp_path: Path, publish: Callable[..., int], kind: str) -> None:
    rows = [
        {"text": row.get("text", row.get("content")), "path": row.get("path"), "score": row.get("score")} for row in ROWS
    ]
    path = tmp_path / f"rows.{kind}"
    if kind == "jsonl":
        write_jsonl(path, ROWS)
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "folder":
        path.mkdir()
        write_jsonl(path / "a.jsonl", ROWS[:1])
        pq.write_table(pa.Table.from_pylist(rows[1:]), path / "b.parquet")
    else:
        write_mds(path, {"text": "str", "path": "str"}, [{"text": r["text"], "path": r["path"] or ""} for r in rows])
    assert publish("documents/python", path) == 0
    found = list(Catalog(root).documents("documents/python"))
    assert [document.text for document in found] == [row["text"] for row in rows]
    assert [document.language for document in found] == ["python", "go", "python"]
    assert found[0].score == (None if kind == "mds" else 0.5)
    assert found[1].score is None
    assert all(doc.document == document_id(doc.repository, doc.path, doc.text) for doc in found)


def test_rows_that_are_no_text_are_counted_by_reason(
    root: Path, tmp_path: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [row for row, _ in BAD_ROWS] + ROWS[:1])
    with path.open("ab") as file:
        file.write(b'{"text": "\xff"}\n[1]\n{torn')
    assert publish("documents/python", path, "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {"stream": "documents/python", "published": 1, "samples": 1, "snapshot": 1, "dropped": 9}
        | {"empty": 1, "binary": 1, "too_large": 1, "lone_surrogates": 1, "not_utf8": 1, "unreadable": 4}
    ]


def test_documents_are_written_as_mdswriter_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    streaming = pytest.importorskip("streaming", reason="the corpus extra is not installed")
    monkeypatch.setattr(mds, "SHARD_BYTES", 4096)
    rows = [dict.fromkeys(COLUMNS, "ä" * (n % 90)) | {"score": n / 7, "copies": n} for n in range(200)]
    with streaming.MDSWriter(out=str(tmp_path / "theirs"), columns=COLUMNS, size_limit=4096) as writer:
        for row in rows:
            writer.write(row)
    (tmp_path / "ours").mkdir()
    mds.write_rows(rows, COLUMNS, tmp_path / "ours")
    theirs = sorted((tmp_path / "theirs").iterdir())
    assert len(theirs) > 10
    for path in theirs:
        assert path.read_bytes() == (tmp_path / "ours" / path.name).read_bytes(), path.name


# samples


def test_samples_of_the_streams_own_layout_are_registered_byte_for_byte(
    root: Path, tmp_path: Path, publish: Callable[..., int]
) -> None:
    rows = [{"tokens": row.astype(np.uint32)} for row in IDS]
    folder = write_mds(tmp_path / "mds", {"tokens": "ndarray:uint32:8"}, rows)
    assert publish("raw/python", folder) == 0
    part = root / Catalog(root).stream("raw/python").parts[0].folder
    for path in folder.iterdir():
        assert (part / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("encoding", ["bytes", "ndarray:{}", "ndarray:{}:8"])
def test_samples_of_other_layouts_are_converted(
    root: Path, tmp_path: Path, publish: Callable[..., int], dtype: str, encoding: str
) -> None:
    ids = [row.astype(dtype) for row in IDS]
    rows = [{"tokens": row.tobytes() if encoding == "bytes" else row} for row in ids]
    folder = write_mds(tmp_path / "mds", {"tokens": encoding.format(dtype)}, rows)
    words = ["--seq-len", "8"] if encoding == "bytes" else []
    assert publish("raw/python", folder, *words) == 0
    words = ["--token-dtype", dtype] if encoding == "bytes" else []
    assert publish("raw/python", folder, "--again", *words) == 0
    found = tokens_of(root, "raw/python")
    assert found.dtype == np.uint16
    assert (found == np.concatenate([IDS, IDS])).all()


@pytest.mark.parametrize("columns", [{"tokens": "bytes"}, {"tokens": "ndarray:uint16:8"}, {"text": "str"}])
def test_a_compressed_folder_is_taken_too(
    root: Path, tmp_path: Path, publish: Callable[..., int], columns: dict[str, str]
) -> None:
    streaming = pytest.importorskip("streaming", reason="the corpus extra is not installed")
    kind = next(iter(columns.values()))
    with streaming.MDSWriter(out=str(tmp_path / "mds"), columns=columns, compression="zstd:3") as writer:
        for ids in IDS:
            tokens = ids.tobytes() if kind == "bytes" else ids.astype(np.uint16)
            writer.write({"text": "a = 1\n"} if kind == "str" else {"tokens": tokens})
    name = "documents/python" if kind == "str" else "raw/python"
    assert publish(name, tmp_path / "mds", *(["--seq-len", "8"] if kind == "bytes" else [])) == 0
    if kind == "str":
        assert [document.text for document in Catalog(root).documents(name)] == ["a = 1\n"] * 5
    else:
        assert (tokens_of(root, name) == IDS).all()


def test_a_pickled_column_is_never_read(root: Path, tmp_path: Path, publish: Callable[..., int]) -> None:
    mark = tmp_path / "unpickled"

    class Mine:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (mark,))

    folder = write_mds(tmp_path / "mds", {"text": "str", "extra": "bytes"}, [{"text": "a\n", "extra": pickle.dumps(Mine())}])
    for path in folder.iterdir():  # the same length, so that the shard stays whole
        path.write_bytes(path.read_bytes().replace(b'"bytes", "str"]', b'"pkl"  , "str"]'))
    assert publish("documents/python", folder) == 0
    assert [document.text for document in Catalog(root).documents("documents/python")] == ["a\n"]
    assert not mark.exists()


def test_pickled_tokens_are_refused(
    root: Path, tmp_path: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_mds(tmp_path / "mds", {"tokens": "pkl"}, [{"tokens": [1, 2]}])
    refused(capsys, publish("raw/python", folder, "--seq-len", "2"), "pkl is not read")
    assert not root.exists()


# what does not fit


@pytest.mark.parametrize(
    ("ids", "words", "said"),
    [
        (np.full((2, 8), 70_000), ["--seq-len", "8"], "uint32"),
        (np.full((2, 8), -1), ["--seq-len", "8"], "from -1"),
        (np.zeros((2, 8), int), [], "--seq-len"),
        (np.zeros((2, 8), int), ["--seq-len", "7"], "seq_len"),
        (np.zeros((2, 8), int), ["--seq-len", "0"], "seq_len 0"),
        (np.zeros((2, 8), int), ["--seq-len", "-8"], "seq_len -8"),
    ],
)
def test_ids_that_do_not_fit_are_refused_and_nothing_is_written(
    root: Path,
    tmp_path: Path,
    publish: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    ids: np.ndarray[Any, Any],
    words: list[str],
    said: str,
) -> None:
    folder = write_mds(tmp_path / "mds", {"tokens": "bytes"}, [{"tokens": row.tobytes()} for row in ids])
    refused(capsys, publish("raw/python", folder, *words), said)
    assert not root.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tokenizer", "bpe-0123456789abcdef"], "tokenizer"),
        (["--seq-len", "16"], "16"),
        (["--dtype", "uint32"], "dtype"),
    ],
)
def test_a_part_that_does_not_fit_its_stream_is_refused(
    root: Path,
    tmp_path: Path,
    fill: Callable[..., Catalog],
    publish: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    fill("raw/python", 3)
    folder = write_mds(tmp_path / "mds", {"tokens": "ndarray:int32"}, [{"tokens": row.astype(np.int32)} for row in IDS])
    refused(capsys, publish("raw/python", folder, *words), said)
    catalog = Catalog(root)
    assert catalog.stream("raw/python").number == 1
    assert catalog.garbage("raw/python") == []


def test_an_id_that_the_tokenizer_does_not_have_is_refused(
    root: Path, tmp_path: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    from streamer.packing.tokenizer import train

    text = train(["def f(x): return x\n"] * 9, vocabulary=257).to_str()
    (tmp_path / "tokenizer.json").write_text(text)
    words = ("--tokenizer", tmp_path / "tokenizer.json")
    for ids, code in ((np.full((1, 8), 257), 2), (np.full((1, 8), 256), 0)):
        folder = write_mds(tmp_path / f"mds{code}", {"tokens": "ndarray:uint16:8"}, [{"tokens": ids[0].astype(np.uint16)}])
        found = publish("raw/python", folder, *words)
        if code:
            refused(capsys, found, "id 257")
            assert not root.exists()
        else:
            assert found == 0
    assert Catalog(root).load_tokenizer(Catalog(root).stream("raw/python").tokenizer).get_vocab_size() == 257


@pytest.mark.parametrize(
    "damage", ["no_shard", "short_shard", "empty_shard", "torn_index", "odd_index", "offsets", "zstd", "outside"]
)
@pytest.mark.parametrize("columns", [{"tokens": "bytes"}, {"tokens": "ndarray:uint16:8"}, {"text": "str"}])
def test_a_damaged_folder_is_one_line_and_nothing_is_written(
    root: Path,
    tmp_path: Path,
    publish: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    damage: str,
    columns: dict[str, str],
) -> None:
    name, encoding = next(iter(columns.items()))
    ids = np.arange(8).astype(np.uint16)
    value = "a = 1\n" if encoding == "str" else ids.astype(np.int64).tobytes() if encoding == "bytes" else ids
    folder = write_mds(tmp_path / "mds", columns, [{name: value}] * 3)
    index, shard = folder / "index.json", folder / "shard.00000.mds"
    match damage:
        case "no_shard":
            shard.unlink()
        case "short_shard":
            shard.write_bytes(shard.read_bytes()[:-3])
        case "empty_shard":
            shard.write_bytes(b"")
        case "torn_index":
            index.write_bytes(index.read_bytes()[:-3])
        case "odd_index":
            index.write_text('{"version": 2, "shards": [{"format": "mds"}]}')
        case "offsets":
            shard.write_bytes(shard.read_bytes()[:4] + b"\xff" * 8 + shard.read_bytes()[12:])
        case "zstd":
            index.write_text(index.read_text().replace('"compression": null', '"compression": "zstd:3"'))
        case "outside":
            index.write_text(index.read_text().replace("shard.00000.mds", "../shard.00000.mds"))
            shard.rename(tmp_path / shard.name)
    words = [] if encoding == "str" else ["--seq-len", "8"]
    refused(capsys, publish("raw/python", folder, *words), str(folder))
    assert not root.exists()


def test_options_of_samples_are_refused_for_documents(
    root: Path, tmp_path: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    refused(capsys, publish("documents/go", write_jsonl(tmp_path / "a.jsonl", ROWS), "--seq-len", "8"), "no --seq-len")
    assert not root.exists()


@pytest.mark.parametrize("name", ["absent.jsonl", "notes.txt", "empty.jsonl", "no.parquet", "pipe.jsonl", "empty_folder"])
def test_a_path_that_is_nothing_to_publish_is_refused(
    root: Path, tmp_path: Path, publish: Callable[..., int], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "empty_folder").mkdir()
    os.mkfifo(tmp_path / "pipe.jsonl")
    for file in ("notes.txt", "no.parquet"):
        (tmp_path / file).write_text("hello")
    (tmp_path / "empty.jsonl").write_text("\n\n")
    refused(capsys, publish("documents/python", tmp_path / name), name)
    assert not root.exists()
