"""Rows out of Parquet files that anyone wrote, within bounds that a small file cannot exceed.

Always holds: before a page is unpacked its own header was within the bounds, and so were footer, rows and columns; no more
rows are unpacked at once than `MOST_BATCH_BYTES` has room for, were each as large as the largest page; and all that comes
out is at most `MOST_UNPACKED` times the file and a little. What exceeds a bound is an ArrowInvalid, as a damaged file is.

A dictionary holds a long text once and rows repeat it at a bit each, a page of one repeated byte packs 30,000 to 1, and a
footer can say anything: so a file of 7 KB unpacked to gigabytes.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from streamer.documents.parquet_pages import DICTIONARY, PageError, pages_of

MOST_FOOTER_BYTES = 1 << 26
MOST_ROWS = 1 << 24
MOST_COLUMNS = 4096
MOST_PAGE_BYTES = 1 << 29  # of all columns' largest pages together
FREE_PAGE_BYTES = 1 << 26  # up to here a page may pack to nothing; beyond, `MOST_UNPACKED` holds for it
MOST_UNPACKED = 200
FREE_BYTES = 1 << 28
MOST_BATCH_BYTES = 1 << 26
MOST_BATCH_ROWS = 256
MOST_TEXTS, LONGEST_TEXT = 8, 4096  # of a list that are kept, and characters of each
MOST_LISTED = 1 << 22  # values of a column of lists in one row group
ENCODINGS = {0: "PLAIN", 2: "PLAIN_DICTIONARY", 3: "RLE", 4: "BIT_PACKED", 5: "DELTA_BINARY_PACKED", 8: "RLE_DICTIONARY",
             9: "BYTE_STREAM_SPLIT"}  # fmt: skip
LEAST_VALUE_BYTES = {"BYTE_ARRAY": 4, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}
BINARY = {"string": pa.binary(), "large_string": pa.large_binary(), "string_view": pa.binary_view()}
Row = dict[str, Any]


def read_parquet_rows(path: Path, columns: Sequence[str], check_columns: Callable[[list[str]], None]) -> Iterator[Row]:
    """The rows of a file, of those of the `columns` that are texts, bytes, numbers, or lists of texts.

    Texts that are no UTF-8 are bytes, times are seconds since 1970.

    `check_columns` is given the names of all columns. Raises: pa.ArrowException, OSError, what `check_columns` raises.
    """
    check_footer(path)
    with pq.ParquetFile(path) as file:
        check_columns(file.schema_arrow.names)
        names = [name for name in dict.fromkeys(columns) if is_flat(file.schema_arrow, name)]
        listed = {leaf: name for name in columns if (leaf := list_leaf(file, name)) is not None}
        largest = largest_page(path, file.metadata, [*names, *listed])
    names = [name for name in dict.fromkeys(columns) if name in names or name in listed.values()]
    # lists stay in the form in which a long text stands once, however often rows repeat it
    with pq.ParquetFile(path, read_dictionary=list(listed)) as file:
        size = path.stat().st_size
        left = FREE_BYTES + MOST_UNPACKED * size
        for batch in file.iter_batches(max(1, min(MOST_BATCH_ROWS, MOST_BATCH_BYTES // max(1, largest))), columns=names):
            unpacked = [unpack(column) for column in batch.columns]
            left -= sum(column.nbytes for column in unpacked)
            if left < 0:
                raise pa.ArrowInvalid(
                    f"its rows take more than {MOST_UNPACKED} times the file's {size:,} bytes; write it in several files"
                )
            values = [to_values(column) for column in unpacked]
            yield from (dict(zip(names, row, strict=True)) for row in zip(*values, strict=True))


def check_footer(path: Path) -> None:
    """Raises: pa.ArrowInvalid for a footer larger than is read."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 8))
        tail = file.read(8)
    if tail[4:] != b"PAR1":
        return  # the library says what it is
    footer_bytes = int.from_bytes(tail[:4], "little")
    if footer_bytes > MOST_FOOTER_BYTES:
        raise pa.ArrowInvalid(f"its footer has {footer_bytes:,} bytes, at most {MOST_FOOTER_BYTES:,} are read")


def is_flat(schema: pa.Schema, name: str) -> bool:
    """Whether a column is of texts, bytes, numbers or times: no lists, no tables, nor what a null takes space of."""
    places = schema.get_all_field_indices(name)
    if len(places) != 1:
        return False
    kind = schema.field(places[0]).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_timestamp(kind)
        or pa.types.is_null(kind)
    )


def unpack(column: pa.Array) -> pa.Array:
    """The column with each row's own value, also where a dictionary holds them."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def to_values(column: pa.Array) -> list[Any]:
    """The values of a column; the library would end the whole batch for one text that is no UTF-8."""
    if pa.types.is_list(column.type):
        return [texts_of(row) for row in column]
    if pa.types.is_timestamp(column.type):
        return list(column.cast(pa.timestamp("s", column.type.tz), safe=False).cast(pa.int64()).to_pylist())
    binary = BINARY.get(str(column.type))
    if binary is None:
        return list(column.to_pylist())
    return [None if value is None else decoded(value) for value in column.cast(binary).to_pylist()]


def texts_of(row: pa.ListScalar) -> list[str] | None:
    """The first texts of a list, the first characters of each; None for one that is null or no UTF-8."""
    try:
        texts = () if row.values is None else row.values[:MOST_TEXTS].to_pylist()
        return [str(text)[:LONGEST_TEXT] for text in texts if text is not None]
    except UnicodeDecodeError:
        return None


def list_leaf(file: pq.ParquetFile, name: str) -> str | None:
    """The path of the texts of a column that is a list of texts; None for another column."""
    schema = file.schema_arrow
    places = schema.get_all_field_indices(name)
    if len(places) != 1:
        return None
    kind = schema.field(places[0]).type
    if not pa.types.is_list(kind) or not (pa.types.is_string(kind.value_type) or pa.types.is_binary(kind.value_type)):
        return None
    leaves = [file.schema.column(number).path for number in range(len(file.schema))]
    return next((leaf for leaf in leaves if leaf.split(".")[0] == name), None)


def decoded(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def largest_page(path: Path, metadata: Any, names: list[str]) -> int:
    """Bytes of the largest page of the named columns. Raises: pa.ArrowInvalid beyond the bounds, OSError."""
    if metadata.num_rows > MOST_ROWS or metadata.num_columns > MOST_COLUMNS:
        raise pa.ArrowInvalid(
            f"it has {metadata.num_rows:,} rows of {metadata.num_columns:,} columns; at most {MOST_ROWS:,} of "
            f"{MOST_COLUMNS:,} are read: write it in several files"
        )
    size = path.stat().st_size
    largest = dict.fromkeys(names, 0)
    packed = 0
    with path.open("rb") as file:
        for group in range(metadata.num_row_groups):
            row_group = metadata.row_group(group)
            for column in range(row_group.num_columns):
                chunk = row_group.column(column)
                if chunk.path_in_schema not in largest:
                    continue
                packed += chunk.total_compressed_size
                if chunk.total_compressed_size < 0 or packed > size:
                    raise pa.ArrowInvalid("its columns overlap; write it again")
                name = chunk.path_in_schema
                rows = row_group.num_rows
                if "." in name and chunk.num_values > MOST_LISTED:
                    raise pa.ArrowInvalid(f"column {name} has {chunk.num_values:,} values in {rows:,} rows; leave it out")
                largest[name] = max(largest[name], check_pages(file, chunk, MOST_LISTED if "." in name else rows))
    if sum(largest.values()) > MOST_PAGE_BYTES:
        raise too_large(sum(largest.values()))
    return max(largest.values(), default=0)


def check_pages(file: Any, chunk: Any, rows: int) -> int:
    """Bytes of the largest page of a column chunk. Raises: pa.ArrowInvalid."""
    start = chunk.data_page_offset
    if chunk.dictionary_page_offset:
        start = min(start, chunk.dictionary_page_offset)
    found = 0
    try:
        for page in pages_of(file, start, start + chunk.total_compressed_size, chunk.num_values):
            if page.plain_bytes > max(FREE_PAGE_BYTES, MOST_UNPACKED * page.packed_bytes):
                raise too_large(page.plain_bytes)
            if page.values > (
                page.plain_bytes // LEAST_VALUE_BYTES.get(chunk.physical_type, 1) if page.kind == DICTIONARY else rows
            ):
                raise pa.ArrowInvalid(f"a page of column {chunk.path_in_schema} says that it has {page.values:,} values")
            if page.encoding not in ENCODINGS:
                raise pa.ArrowInvalid(
                    f"column {chunk.path_in_schema} has encoding {page.encoding}, whose memory cannot be bounded; "
                    "write it plain or with a dictionary, as is the default"
                )
            found = max(found, page.plain_bytes)
    except PageError as error:
        raise pa.ArrowInvalid(f"column {chunk.path_in_schema} has {error}") from error
    return found


def too_large(plain_bytes: int) -> pa.ArrowInvalid:
    return pa.ArrowInvalid(
        f"its largest pages unpack to {plain_bytes:,} bytes; at most {MOST_PAGE_BYTES:,} are read, and at most "
        f"{FREE_PAGE_BYTES:,} or {MOST_UNPACKED} times what a page takes in the file: write it with smaller pages"
    )
