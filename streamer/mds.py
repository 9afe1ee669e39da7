"""The byte layout of MDS: shards of rows and the index that lists them. NumPy only.

Always holds: `write_shards` gives the bytes that mosaicml-streaming's MDSWriter gives for the same fixed-shape rows.

A shard is `uint32 rows | uint32 offsets[rows + 1] | JSON of the columns | rows`; offsets count from the file's start. A
fixed-shape column has no size before its bytes; columns of varying size are preceded by one uint32 each.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamer.errors import PartError

SHARD_BYTES = 1 << 26
DTYPES = ("uint16", "uint32")
Rows = npt.NDArray[Any]


def tokens_encoding(dtype: str, seq_len: int) -> str:
    return f"ndarray:{dtype}:{seq_len}"


def shard_config(dtype: str, seq_len: int) -> dict[str, Any]:
    """The description that stands in the shard's head and, with more keys, in the index."""
    return {
        "version": 2,
        "format": "mds",
        "compression": None,
        "hashes": [],
        "size_limit": SHARD_BYTES,
        "column_names": ["tokens"],
        "column_encodings": [tokens_encoding(dtype, seq_len)],
        "column_sizes": [np.dtype(dtype).itemsize * seq_len],
    }


def shard_head(config: dict[str, Any]) -> bytes:
    return json.dumps(config, sort_keys=True).encode()


def rows_per_shard(dtype: str, seq_len: int) -> int:
    """How many rows fit under the size limit: four bytes of offset and the row itself for each."""
    row_bytes = np.dtype(dtype).itemsize * seq_len
    head = len(shard_head(shard_config(dtype, seq_len)))
    return max(1, (SHARD_BYTES - 8 - head) // (row_bytes + 4))


def write_shards(rows: Rows, folder: Path) -> None:
    """Writes (samples, seq_len) uint16 or uint32 rows as `shard.NNNNN.mds` and `index.json` into an empty folder."""
    samples, seq_len = rows.shape
    dtype = rows.dtype.name
    config, size = shard_config(dtype, seq_len), rows_per_shard(dtype, seq_len)
    head, row_bytes = shard_head(config), rows.dtype.itemsize * seq_len
    shards = []
    for number, start in enumerate(range(0, samples, size)):
        block = np.ascontiguousarray(rows[start : start + size])
        first = 4 + 4 * (len(block) + 1) + len(head)
        offsets = first + row_bytes * np.arange(len(block) + 1, dtype=np.uint32)
        basename = f"shard.{number:05d}.mds"
        with (folder / basename).open("wb") as file:
            file.write(np.uint32(len(block)).tobytes())
            file.write(offsets.astype(np.uint32).tobytes())
            file.write(head)
            file.write(block.tobytes())
        total = first + row_bytes * len(block)
        raw = {"basename": basename, "bytes": total, "hashes": {}}
        shards.append({**config, "samples": len(block), "raw_data": raw, "zip_data": None})
    (folder / "index.json").write_text(json.dumps({"version": 2, "shards": shards}, sort_keys=True))


def read_index(folder: Path) -> list[dict[str, Any]]:
    """The shards that a part's index lists. Raises: PartError for what is no plain MDS."""
    try:
        index = json.loads((folder / "index.json").read_text())
        shards: list[dict[str, Any]] = index["shards"]
        for shard in shards:
            stored = shard["zip_data"] if shard.setdefault("compression", None) else shard["raw_data"]
            _ = stored["basename"], stored["bytes"], shard["raw_data"]["bytes"], shard["samples"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PartError(
            f"{folder}/index.json is no MDS index ({type(error).__name__}: {error}); give a folder that MDSWriter closed"
        ) from error
    for shard in shards:
        compression = shard["compression"]
        if shard.get("format") != "mds" or (compression or "zstd").split(":")[0] != "zstd":
            raise PartError(f"{folder}: shards must be MDS, plain or zstd, not {compression}; write them again")
    return shards


def read_head(data: Any, *, name: str) -> tuple[int, int, int]:
    """Checks a mapped shard and returns (rows, bytes before the first row, bytes of a row) of fixed-shape rows.

    Raises: PartError when size and offsets do not agree.
    """
    size = len(data)
    rows = int.from_bytes(bytes(data[:4]), "little") if size >= 8 else -1
    if rows < 1 or size < 4 + 4 * (rows + 1):
        raise PartError(f"{name}: {size} bytes are no shard; run phasemix streams verify")
    ends = np.frombuffer(data, np.uint32, 2, 4), np.frombuffer(data, np.uint32, 1, 4 + 4 * rows)
    first, second, last = int(ends[0][0]), int(ends[0][1]), int(ends[1][0])
    row_bytes = second - first
    if last != size or first + rows * row_bytes != size or first < 4 + 4 * (rows + 1):
        raise PartError(f"{name}: offsets end at {last}, the file at {size} bytes; run phasemix streams verify")
    return rows, first, row_bytes


def iterate_rows(data: bytes) -> Iterator[dict[str, Any]]:
    """The rows of a plain shard with columns `str`, `float64`, `int`, or `bytes`, as dictionaries."""
    count = int.from_bytes(data[:4], "little")
    offsets = np.frombuffer(data, np.uint32, count + 1, 4)
    config = json.loads(data[4 + 4 * (count + 1) : int(offsets[0])])
    columns = list(zip(config["column_names"], config["column_encodings"], config["column_sizes"], strict=True))
    for start in offsets[:-1].tolist():
        varying = sum(size is None for _, _, size in columns)
        sizes = iter(np.frombuffer(data, np.uint32, varying, start).tolist())
        place, row = start + 4 * varying, {}
        for name, encoding, fixed in columns:
            size = next(sizes) if fixed is None else fixed
            row[name] = decode_value(encoding, data[place : place + size])
            place += size
        yield row


def decode_value(encoding: str, data: bytes) -> Any:
    """One value of a column. Raises: PartError for an encoding that is never read, such as pickle."""
    match encoding:
        case "str":
            return data.decode()
        case "bytes":
            return data
        case "float64" | "int64":
            return np.frombuffer(data, encoding)[0].item()
        case "int":
            return int.from_bytes(data, "little", signed=True)
    raise PartError(f"column encoding {encoding} is not read; use str, bytes, int, int64 or float64")
