"""Parquet of a few kilobytes does not unpack to gigabytes: in a process that may address little, rows come or one line."""

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamer.documents import parquet_pages, parquet_rows
from streamer.documents.parquet_pages import DATA, DICTIONARY, PageError, pages_of
from streamer.documents.parquet_rows import read_parquet_rows

MOST_MB = 900  # that a process may hold at any moment; what it may address is bounded so that a failure harms nobody
ADDRESSED = 8 << 30
READ = """
import json, resource, sys
import pyarrow as pa
from pathlib import Path
from streamer.documents.parquet_rows import read_parquet_rows
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2)
count = longest = 0
try:
    for row in read_parquet_rows(Path(sys.argv[1]), ["content", "path", "licenses"], lambda names: None):
        count, longest = count + 1, max(longest, len(row.get("content") or ""))
    said = None
except (OSError, pa.ArrowException) as error:
    said = f"{type(error).__name__}: {error}"
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps([count, longest, said, int(status["VmHWM"].split()[0]) >> 10]))
"""


def repeated(text: str, rows: int) -> pa.Array:
    """The same text in every row, held once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))


def dictionary_bomb(path: Path) -> None:
    pq.write_table(pa.table({"content": repeated("x" * 4_000_000, 1000)}), path, compression="zstd")


def page_bomb(path: Path) -> None:
    pq.write_table(pa.table({"content": ["x" * 100_000_000]}), path, compression="zstd", use_dictionary=False)


def pages_bomb(path: Path) -> None:
    with pq.ParquetWriter(path, pa.schema({"content": pa.string()}), compression="zstd", use_dictionary=False) as writer:
        for _ in range(8):
            writer.write_table(pa.table({"content": ["x" * 60_000_000]}))


def licences_bomb(path: Path) -> None:
    lists = pa.ListArray.from_arrays(pa.array(range(0, 4_000_001, 4000), pa.int32()), repeated("x" * 2_000_000, 4_000_000))
    pq.write_table(pa.table({"content": [""] * 1000, "licenses": lists}), path, compression="zstd")


def columns_bomb(path: Path) -> None:
    table = pa.table({"content": ["x" * 60_000_000] * 3, "path": ["y" * 60_000_000] * 3})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, row_group_size=1)


def wide_nulls(path: Path) -> None:
    wide = pa.array([None] * 10, pa.binary(1 << 20))
    pq.write_table(pa.table({"content": wide, "path": pa.array(["a"] * 10)}), path)


def lists_bomb(path: Path) -> None:
    lists = pa.ListArray.from_arrays(pa.array([0, 1_000_000], pa.int32()), repeated("x" * 8000, 1_000_000))
    pq.write_table(pa.table({"content": lists, "path": ["a"]}), path, compression="zstd")


def many_nulls(path: Path) -> None:
    pq.write_table(pa.table({"content": pa.nulls((1 << 24) + 1, pa.string())}), path, compression="zstd")


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a long text in a dictionary": (dictionary_bomb, "rows take more than"),
    "one long text": (page_bomb, "unpack to 100,0"),
    "many long texts": (pages_bomb, "rows take more than"),
    "two columns of long texts": (columns_bomb, "rows take more than"),
    "a list of long texts": (lists_bomb, ""),
    "lists of a long text": (licences_bomb, ""),
    "nulls of a wide type": (wide_nulls, ""),
    "rows of nothing": (many_nulls, "16,777,217 rows"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_ends_within_the_memory_that_it_may_take(tmp_path: Path, name: str) -> None:
    make, expected = HOSTILE[name]
    path = tmp_path / "rows.parquet"
    make(path)
    done = subprocess.run([sys.executable, "-c", READ, str(path), str(ADDRESSED)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    count, longest, said, peak_mb = json.loads(done.stdout)
    assert peak_mb < MOST_MB
    if expected:
        assert expected in said
        assert "\n" not in said
    else:
        assert (longest, said) == (0, None)
        assert count > 0


# files whose headers and footers say what is not so


def varint(number: int) -> bytes:
    """A number from 0 on as Thrift writes a signed one."""
    number, out = number * 2, b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def forge(path: Path, old: bytes, new: bytes) -> None:
    """Replaces bytes of a page; what the footer says of its chunk's size goes along."""
    data = path.read_bytes()
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(0)
    footer_bytes = struct.unpack("<I", data[-8:-4])[0]
    pages, footer = data[: -8 - footer_bytes], data[-8 - footer_bytes : -8]
    assert pages.count(old) == 1
    size = chunk.total_compressed_size
    footer = footer.replace(varint(size), varint(size + len(new) - len(old)))
    path.write_bytes(pages.replace(old, new) + footer + struct.pack("<I", len(footer)) + b"PAR1")


def small(path: Path, **options: object) -> None:
    pq.write_table(pa.table({"content": ["abc"] * 5}), path, compression="none", write_statistics=False, **options)


def read_error(path: Path) -> str:
    with pytest.raises((OSError, pa.ArrowException)) as refused:
        list(read_parquet_rows(path, ["content"], lambda names: None))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_page_that_says_that_it_is_huge_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    small(path, use_dictionary=False)
    with path.open("rb") as file:
        (page,) = pages_of(file, 4, 4 + 10_000, 5)
    old = b"\x15\x00\x15" + varint(page.plain_bytes)
    forge(path, old, b"\x15\x00\x15" + varint(2**31 - 1))
    assert "2,147,483,647" in read_error(path)


def test_a_dictionary_of_more_values_than_its_bytes_can_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    small(path, use_dictionary=True)
    with path.open("rb") as file:
        pages = list(pages_of(file, 4, 4 + 10_000, 5))
    assert [page.kind for page in pages] == [DICTIONARY, DATA]
    old = b"\x4c\x15" + varint(1)  # field 7: a struct, whose field 1 is the number of values
    forge(path, old, b"\x4c\x15" + varint(2**30))
    assert "1,073,741,824 values" in read_error(path)


@pytest.mark.parametrize("encoding", ["DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"])
def test_an_encoding_that_says_its_own_count_is_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "rows.parquet"
    small(path, use_dictionary=False, column_encoding={"content": encoding})
    assert "cannot be bounded" in read_error(path)


def test_chunks_that_overlap_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(
        pa.table({"content": ["abc" * 100] * 40}), path, compression="none", row_group_size=1, use_dictionary=False
    )
    data = path.read_bytes()
    offsets = [pq.ParquetFile(path).metadata.row_group(group).column(0).data_page_offset for group in (0, 1)]
    size = pq.ParquetFile(path).metadata.row_group(0).column(0).total_compressed_size
    assert offsets[1] - offsets[0] == size
    footer_bytes = struct.unpack("<I", data[-8:-4])[0]
    footer = data[-8 - footer_bytes : -8].replace(varint(size), varint(size * 40))
    path.write_bytes(data[: -8 - footer_bytes] + footer + struct.pack("<I", len(footer)) + b"PAR1")
    assert "overlap" in read_error(path)


def test_a_footer_larger_than_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    with path.open("wb") as file:
        file.truncate(1 << 33)
        file.seek(0, 2)
        file.write(struct.pack("<I", 2**32 - 16) + b"PAR1")
    assert "footer" in read_error(path)


@pytest.mark.parametrize("place", range(4, 60, 3))
def test_a_header_with_any_flipped_byte_is_rows_or_one_error(tmp_path: Path, place: int) -> None:
    path = tmp_path / "rows.parquet"
    small(path)
    data = bytearray(path.read_bytes())
    for bit in range(8):
        data[place] ^= 1 << bit
        path.write_bytes(data)
        try:
            rows = list(read_parquet_rows(path, ["content"], lambda names: None))
            assert len(rows) <= 5
        except (OSError, pa.ArrowException):
            pass
        data[place] ^= 1 << bit


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x15",
        b"\xff" * 40,
        b"\x15" + b"\xff" * 20,
        b"\x1c" * 40,  # structs in structs
        b"\x19\xfc\xff\xff\xff\xff\x0f",  # a list of four billion structs
        b"\x18\xff\xff\xff\xff\x0f",  # a text that is longer than the file
        b"\x15\x02\x15\x01\x15\x02\x00",
    ],
)
def test_bytes_that_are_no_header_are_refused(data: bytes) -> None:
    with pytest.raises(PageError):
        parquet_pages.read_header(data)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zstd"},
        {"compression": "gzip", "data_page_version": "2.0"},
        {"use_dictionary": False, "row_group_size": 7},
        {"use_dictionary": ["path"], "data_page_size": 100},
    ],
)
def test_rows_come_out_as_they_went_in(tmp_path: Path, options: dict[str, object]) -> None:
    path = tmp_path / "rows.parquet"
    rows = [{"content": f"x = {n}\n" * n, "path": None if n % 3 else f"{n}.py", "score": n / 7} for n in range(100)]
    pq.write_table(pa.Table.from_pylist([{**row, "more": [1, 2]} for row in rows]), path, **options)
    assert list(read_parquet_rows(path, ["content", "path", "score", "more", "absent"], lambda names: None)) == rows


def test_large_texts_come_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "MOST_BATCH_BYTES", 10_000)
    path = tmp_path / "rows.parquet"
    texts = ["x" * 9_000, "y" * 100, "z" * 9_000] * 20
    pq.write_table(pa.table({"content": texts}), path)
    assert [row["content"] for row in read_parquet_rows(path, ["content"], lambda names: None)] == texts


def test_a_text_that_is_no_utf8_is_bytes_and_the_others_come(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    texts = [b"x = 1\n", b"# caf\xe9\n", b"y = 2\n"]
    pq.write_table(pa.table({"content": pa.array(texts, pa.binary()).view(pa.string())}), path)
    assert [row["content"] for row in read_parquet_rows(path, ["content"], lambda names: None)] == [
        "x = 1\n",
        texts[1],
        "y = 2\n",
    ]
