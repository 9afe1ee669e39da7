"""The byte layout of MDS: shards of rows and the index that lists them. NumPy only.

Always holds: `write_shards` and `write_rows` give the bytes that mosaicml-streaming's MDSWriter gives for the same rows;
a column that is not asked for is not decoded, and a pickled one never is.

A shard is `uint32 rows | uint32 offsets[rows + 1] | JSON of the columns | rows`; offsets count from the file's start. A
row is one uint32 size for each column of varying size, then the columns' bytes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from streamer.errors import PartError

SHARD_BYTES = 1 << 26
DTYPES = ("uint16", "uint32")
ARRAY_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
SHAPE_DTYPES = ("uint8", "uint16", "uint32", "uint64")
FIXED_BYTES = {"float64": 8, "int64": 8, "int": 8}
MOST_INDEX_BYTES = 1 << 28
MOST_COLUMNS = 256
MOST_CONFIG_BYTES = 1 << 20  # of the columns' description in a shard
MOST_PLAIN_BYTES = 1 << 29  # that one compressed shard may unpack to
FREE_BYTES, MOST_UNPACKED = 1 << 30, 200  # all shards may unpack to so much, and to so many times their size
ROWS_AT_ONCE = 4096
Rows = npt.NDArray[Any]


class RawData(msgspec.Struct, frozen=True):
    """A file of a shard, plain or compressed."""

    basename: str
    bytes: int


class ListedShard(msgspec.Struct, frozen=True):
    """What an index says of a shard."""

    format: str
    samples: int
    column_names: list[str]
    column_encodings: list[str]
    raw_data: RawData
    zip_data: RawData | None = None
    compression: str | None = None

    @property
    def stored(self) -> RawData:
        """The file that lies there: the compressed one where there is one."""
        return self.zip_data if self.compression and self.zip_data is not None else self.raw_data

    @property
    def columns(self) -> dict[str, str]:
        return dict(zip(self.column_names, self.column_encodings, strict=True))


class Index(msgspec.Struct, frozen=True):
    """`index.json`, format version 2."""

    version: int
    shards: list[ListedShard]


def tokens_encoding(dtype: str, seq_len: int) -> str:
    return f"ndarray:{dtype}:{seq_len}"


def shard_config(columns: Mapping[str, str], sizes: Mapping[str, int | None]) -> dict[str, Any]:
    """The description that stands in the shard's head and, with more keys, in the index."""
    names = sorted(columns)
    return {
        "version": 2,
        "format": "mds",
        "compression": None,
        "hashes": [],
        "size_limit": SHARD_BYTES,
        "column_names": names,
        "column_encodings": [columns[name] for name in names],
        "column_sizes": [sizes[name] for name in names],
    }


def shard_head(config: dict[str, Any]) -> bytes:
    return json.dumps(config, sort_keys=True).encode()


class ShardsWriter:
    """Writes `shard.NNNNN.mds` one after the other into an empty folder, and `index.json` last."""

    def __init__(self, folder: Path, columns: Mapping[str, str], sizes: Mapping[str, int | None]) -> None:
        self.folder, self.config = folder, shard_config(columns, sizes)
        self.head = shard_head(self.config)
        self.room_bytes = SHARD_BYTES - 8 - len(self.head)  # rows, each with its offset of four bytes, must fit in it
        self._shards: list[dict[str, Any]] = []

    def write(self, sizes: npt.NDArray[np.int64], data: bytes | memoryview) -> None:
        """One shard of rows of these sizes, which lie one after the other in `data`."""
        basename = f"shard.{len(self._shards):05d}.mds"
        first = 4 + 4 * (len(sizes) + 1) + len(self.head)
        offsets = np.concatenate([np.zeros(1, np.int64), sizes.cumsum()]) + first
        with (self.folder / basename).open("wb") as file:
            file.write(np.uint32(len(sizes)).tobytes())
            file.write(offsets.astype(np.uint32).tobytes())
            file.write(self.head)
            file.write(data)
        raw = {"basename": basename, "bytes": int(offsets[-1]), "hashes": {}}
        self._shards.append({**self.config, "samples": len(sizes), "raw_data": raw, "zip_data": None})

    def finish(self) -> None:
        (self.folder / "index.json").write_text(json.dumps({"version": 2, "shards": self._shards}, sort_keys=True))


def write_shards(rows: Rows, folder: Path) -> None:
    """Writes (samples, seq_len) uint16 or uint32 rows as column `tokens` into an empty folder."""
    write_blocks([rows], folder, dtype=rows.dtype.name, seq_len=rows.shape[1])


def write_blocks(blocks: Iterable[Rows], folder: Path, *, dtype: str, seq_len: int) -> None:
    """As `write_shards`, of rows that come in blocks; about one shard and one block are held at a time."""
    row_bytes = np.dtype(dtype).itemsize * seq_len
    writer = ShardsWriter(folder, {"tokens": tokens_encoding(dtype, seq_len)}, {"tokens": row_bytes})
    size = max(1, writer.room_bytes // (row_bytes + 4))
    held = np.empty((0, seq_len), dtype)
    for block in blocks:
        held = np.concatenate([held, block]) if len(held) else block
        whole = len(held) // size * size
        for start in range(0, whole, size):
            write_block(writer, held[start : start + size])
        held = held[whole:]
    if len(held):
        write_block(writer, held)
    writer.finish()


def write_block(writer: ShardsWriter, rows: Rows) -> None:
    """One shard of rows of one length."""
    sizes = np.full(len(rows), rows.dtype.itemsize * rows.shape[1], np.int64)
    writer.write(sizes, np.ascontiguousarray(rows).data)


def write_rows(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str], folder: Path) -> int:
    """Writes rows with columns `str`, `bytes`, `int`, `int64` or `float64` into an empty folder; returns how many."""
    fixed = {name: FIXED_BYTES.get(encoding) for name, encoding in columns.items()}
    writer = ShardsWriter(folder, columns, fixed)
    held: list[bytes] = []
    held_bytes = count = 0
    for count, row in enumerate(rows, start=1):  # noqa: B007
        values = {name: encode_value(columns[name], row[name]) for name in sorted(columns)}
        lengths = [len(value) for name, value in values.items() if fixed[name] is None]
        data = np.array(lengths, np.uint32).tobytes() + b"".join(values.values())
        if held and held_bytes + len(data) + 4 > writer.room_bytes:
            writer.write(np.array([len(one) for one in held], np.int64), b"".join(held))
            held, held_bytes = [], 0
        held.append(data)
        held_bytes += len(data) + 4
    if held:
        writer.write(np.array([len(one) for one in held], np.int64), b"".join(held))
    writer.finish()
    return count


def parse_index(data: bytes, *, name: str) -> list[ListedShard]:
    """The shards that an `index.json` of the folder `name` lists. Raises: PartError."""
    if len(data) > MOST_INDEX_BYTES:
        raise PartError(f"{name}/index.json has more than {MOST_INDEX_BYTES:,} bytes; merge fewer folders into one")
    try:
        shards = msgspec.json.decode(data, type=Index).shards
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PartError(
            f"{name}/index.json cannot be read as an MDS index ({error}); give a folder that MDSWriter closed"
        ) from error
    for shard in shards:
        if shard.format != "mds" or (shard.compression or "zstd").split(":")[0] != "zstd":
            raise PartError(
                f"{name}: shards must be MDS, plain or compressed with zstd, not {shard.format} compressed with "
                f"{shard.compression}; write them again"
            )
        if len(shard.column_names) != len(shard.column_encodings) or (shard.compression and shard.zip_data is None):
            raise PartError(f"{name}/index.json does not say all of its shards; give a folder that MDSWriter closed")
        if shard.samples < 0 or min(shard.raw_data.bytes, shard.stored.bytes) < 1 or len(shard.column_names) > MOST_COLUMNS:
            raise PartError(
                f"{name}/index.json has a shard of {shard.samples} samples, {shard.stored.bytes} bytes and "
                f"{len(shard.column_names)} columns (at most {MOST_COLUMNS} are read); give a folder that MDSWriter closed"
            )
    check_plain_sizes(shards, name)
    return shards


def check_plain_sizes(shards: list[ListedShard], name: str) -> None:
    """Raises: PartError for compressed shards that would unpack to more than is read."""
    packed = [shard for shard in shards if shard.compression]
    largest = max((shard.raw_data.bytes for shard in packed), default=0)
    if largest > MOST_PLAIN_BYTES:
        raise PartError(
            f"{name}/index.json says that a shard unpacks to {largest:,} bytes; at most {MOST_PLAIN_BYTES:,} are read: "
            "write the folder again with a smaller size_limit"
        )
    total, stored = sum(shard.raw_data.bytes for shard in packed), sum(shard.stored.bytes for shard in packed)
    if total > FREE_BYTES + MOST_UNPACKED * stored:
        raise PartError(
            f"{name}/index.json says that {stored:,} bytes unpack to {total:,}; at most {MOST_UNPACKED} times as many are "
            "read: write the folder again without compression"
        )


def read_head(data: Any, *, name: str) -> tuple[int, int, int]:
    """Checks a mapped shard and returns (rows, bytes before the first row, bytes of a row) of fixed-shape rows.

    Raises: PartError when size and offsets do not agree.
    """
    size = len(data)
    rows = int.from_bytes(bytes(data[:4]), "little") if size >= 8 else -1
    if rows < 1 or size < 4 + 4 * (rows + 1):
        raise PartError(f"{name}: {size} bytes cannot be a shard; run phasemix streams verify")
    ends = np.frombuffer(data, np.uint32, 2, 4), np.frombuffer(data, np.uint32, 1, 4 + 4 * rows)
    first, second, last = int(ends[0][0]), int(ends[0][1]), int(ends[1][0])
    row_bytes = second - first
    if last != size or first + rows * row_bytes != size or first < 4 + 4 * (rows + 1):
        raise PartError(f"{name}: offsets end at {last}, the file at {size} bytes; run phasemix streams verify")
    return rows, first, row_bytes


def iterate_rows(
    data: Any, only: Iterable[str] | None = None, *, name: str, rows: range | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of a plain shard, in memory or mapped, as dictionaries, of the columns `only` or of all.

    `name` is the file's, for errors; `rows`: which, where not all.

    Raises: PartError for a shard whose sizes do not agree, and for a column whose encoding is never read.
    """
    try:
        yield from _iterate_rows(data, None if only is None else set(only), rows)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        # whatever damaged bytes can cause
        raise PartError(f"{name} is damaged ({error}); write the part again") from error


def _iterate_rows(data: Any, only: set[str] | None, rows: range | None) -> Iterator[dict[str, Any]]:
    count = int.from_bytes(data[:4], "little")
    offsets = np.frombuffer(data, np.uint32, count + 1, 4)
    if offsets[-1] != len(data) or (offsets[1:] < offsets[:-1]).any() or offsets[0] < 4 * (count + 2):
        raise ValueError(f"offsets end at {offsets[-1]}, the file at {len(data)} bytes")
    columns = read_columns(data[4 * (count + 2) : int(offsets[0])])
    varying = sum(size is None for _, _, size in columns)
    first, end = (0, count) if rows is None else (rows.start, rows.stop)
    for place in range(first, end, ROWS_AT_ONCE):
        bounds = offsets[place : min(place + ROWS_AT_ONCE, end) + 1].tolist()
        yield from _rows_between(data, bounds, columns, varying, only)


def blank_rows(data: bytearray, rows: Iterable[int], *, kept: Iterable[str], name: str) -> None:
    """Writes spaces over the texts of some rows of a plain shard, except in the columns `kept`. Raises: PartError."""
    try:
        count = int.from_bytes(data[:4], "little")
        offsets = np.frombuffer(data, np.uint32, count + 1, 4).tolist()
        columns = read_columns(bytes(data[4 * (count + 2) : offsets[0]]))
        varying, left = sum(size is None for _, _, size in columns), set(kept)
        for row in rows:
            sizes = iter(np.frombuffer(data, np.uint32, varying, offsets[row]).tolist())
            place = offsets[row] + 4 * varying
            for column, encoding, fixed in columns:
                size = next(sizes) if fixed is None else fixed
                if encoding == "str" and column not in left:
                    data[place : place + size] = b" " * size
                place += size
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise PartError(f"{name} is damaged ({error}); write the part again") from error


def read_columns(config: bytes) -> list[tuple[str, str, int | None]]:
    """(name, encoding, size or None) of the columns that a shard's own description names. Raises: ValueError and kin."""
    if len(config) > MOST_CONFIG_BYTES:
        raise ValueError(f"its description has {len(config)} bytes")
    found = json.loads(config)
    columns = list(zip(found["column_names"], found["column_encodings"], found["column_sizes"], strict=True))
    if len(columns) > MOST_COLUMNS:
        raise ValueError(f"it has {len(columns)} columns, at most {MOST_COLUMNS} are read")
    for name, _, size in columns:
        if size is not None and (type(size) is not int or size < 0):
            raise ValueError(f"column {name} has a size of {size}")
    return columns


def _rows_between(
    data: Any, bounds: list[int], columns: list[tuple[str, str, int | None]], varying: int, only: set[str] | None
) -> Iterator[dict[str, Any]]:
    for start, end in zip(bounds[:-1], bounds[1:], strict=True):
        sizes = iter(np.frombuffer(data, np.uint32, varying, start).tolist())
        place, row = start + 4 * varying, {}
        for name, encoding, fixed in columns:
            size = next(sizes) if fixed is None else fixed
            if only is None or name in only:
                row[name] = decode_value(encoding, bytes(data[place : min(place + size, end)]))
            place += size
        if place != end:
            raise ValueError(f"a row ends at {place}, its offset says {end}")
        yield row


def encode_value(encoding: str, value: Any) -> bytes:
    """The bytes of one value of a column that `write_rows` takes."""
    match encoding:
        case "str":
            return str(value).encode()
        case "bytes":
            return bytes(value)
        case "float64" | "int64":
            return np.array(value, encoding).tobytes()
    assert encoding == "int", encoding
    return np.int64(value).tobytes()


def decode_value(encoding: str, data: bytes) -> Any:
    """One value of a column. Raises: PartError for an encoding that is never read, such as pickle."""
    match encoding.split(":"):
        case ["str"]:
            return data.decode()
        case ["bytes"]:
            return data
        case ["float64" | "int64"]:
            return np.frombuffer(data, encoding)[0].item()
        case ["int"]:
            return int.from_bytes(data, "little", signed=True)
        case ["ndarray", dtype, length] if dtype in ARRAY_DTYPES and length.isdecimal():
            return np.frombuffer(data, dtype, int(length))
        case ["ndarray", dtype] if dtype in ARRAY_DTYPES and data and data[0] >> 2 == 1:
            shape = np.dtype(SHAPE_DTYPES[data[0] & 3])
            return np.frombuffer(data, dtype, int(np.frombuffer(data, shape, 1, 1)[0]), 1 + shape.itemsize)
    raise PartError(f"column encoding {encoding} is not read; use str, bytes, int, int64, float64 or a flat ndarray:DTYPE")
