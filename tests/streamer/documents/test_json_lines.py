"""Lines of JSON are read one at a time, however long they are and whatever they hold."""

import gzip
import io
import tracemalloc
from pathlib import Path

import pytest

from streamer.documents.json_lines import MOST_LINE_BYTES, Bad, read_json_lines
from streamer.errors import CorpusError
from streamer.publishing.document_files import number_of, read_documents
from streamer.scoring.positives import read_files


def test_each_line_is_a_row_or_the_reason_that_it_is_none() -> None:
    deep = b"[" * 100_000
    lines = [
        b'{"a": 1}',
        b"",
        b"[1]",
        b'{"a": "\xff"}',
        b"{torn",
        deep,
        b'{"a": ' + b"9" * 5000 + b"}",
        b'\xef\xbb\xbf{"b": 2}',
    ]
    found = list(read_json_lines(io.BytesIO(b"\n".join(lines))))
    assert found == [
        (1, {"a": 1}),
        (3, Bad.NO_OBJECT),
        (4, Bad.NOT_UTF8),
        (5, Bad.NO_OBJECT),
        (6, Bad.NO_OBJECT),
        (7, Bad.NO_OBJECT),
        (8, {"b": 2}),
    ]


def test_a_line_without_end_takes_no_more_memory_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with path.open("wb") as file:
        file.truncate(MOST_LINE_BYTES * 8)
        file.seek(0, 2)
        file.write(b'\n{"text": "x = 1"}\n')
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            assert list(read_json_lines(file)) == [(1, Bad.TOO_LONG), (2, {"text": "x = 1"})]
        assert tracemalloc.get_traced_memory()[1] < 4 * MOST_LINE_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("value", "score"),
    [
        (1, 1.0),
        (0.5, 0.5),
        (10**400, None),
        (float("inf"), None),
        (float("nan"), None),
        ("1", None),
        ([1], None),
        (None, None),
    ],
)
def test_a_score_is_a_finite_number_or_none(value: object, score: float | None) -> None:
    assert number_of(value) == score


def test_columns_of_another_kind_than_text_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    nested = "[" * 300 + "]" * 300
    path.write_text(f'{{"text": "x = 1\\n", "path": {nested}, "license": {{"a": 1}}, "score": {"9" * 400}}}\n')
    (document,) = read_documents(path, key="python")
    assert not isinstance(document, str)
    assert (document.path, document.license, document.score) == ("row-0", "", None)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("rows.jsonl", b'{"output": "x = 1"}\n{"other": 1}\n', r"rows.jsonl:2 has none of output, content, text"),
        ("rows.jsonl", b"[" * 100_000, r"rows.jsonl:1 is not a JSON object"),
        ("rows.jsonl", b'{"text": 3}', r"rows.jsonl:1 has none"),
        ("rows.jsonl.gz", b"no gzip", r"rows.jsonl.gz cannot be read"),
        ("rows.jsonl.gz", gzip.compress(b'{"text": "x"}\n' * 99, mtime=0)[:-9], r"rows.jsonl.gz cannot be read"),
    ],
)
def test_positives_that_cannot_be_read_are_named_in_one_line(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorpusError, match=said) as refused:
        list(read_files([str(tmp_path / name)]))
    assert "\n" not in str(refused.value)
