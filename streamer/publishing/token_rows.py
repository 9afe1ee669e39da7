"""Token ids out of stock MDS, as rows of one length and dtype.

Always holds: an id that comes out is the id that was stored; what does not fit the dtype or the tokenizer, and a row of
another length, is refused by its place; only column `tokens` is decoded.

LLM-Foundry writes `tokens` as `bytes` of int32 or int64, or as `ndarray:int32`. Bytes do not say how wide an id is, and a
stream's `seq_len` does not either: a row of 8 ids of int64 has the bytes of 16 of int32, every second one 0. So the one who
publishes says it.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streamer.errors import PartError
from streamer.mds import layout as mds
from streamer.mds.folder import MdsFolder, map_plain

TOKEN_DTYPES = ("int32", "int64", "uint16", "uint32")
SAID_BY_LENGTH = {4: "int32", 8: "int64"}
BLOCK_ROWS = 256


class TokenColumn(NamedTuple):
    """How a folder's ids are stored: `seq_len` of them a row; `dtype` where they are bytes, None where the column says it.

    `is_deduced`: the dtype follows from the length that somebody gave, so that a wrong length means a wrong dtype.
    """

    seq_len: int
    dtype: str | None
    is_deduced: bool = False


def find_column(folder: MdsFolder, *, seq_len: int | None, token_dtype: str | None) -> TokenColumn:
    """What the folder's first row and the one who publishes say together. Raises: PartError when that is not enough."""
    value = first_row(folder)
    if isinstance(value, np.ndarray):
        if token_dtype is not None and value.dtype != np.dtype(token_dtype):
            raise PartError(
                f"{folder.name} has a column of {value.dtype.name}, which says its own dtype; leave --token-dtype out"
            )
        return TokenColumn(len(value), None)
    size = len(value)
    if token_dtype is not None:
        width = np.dtype(token_dtype).itemsize
        if size % width or not size:
            raise PartError(
                f"{folder.name} has rows of {size} bytes, which cannot be ids of {token_dtype}; give another dtype"
            )
        return TokenColumn(size // width, token_dtype)
    if seq_len is None:
        fitting = [(name, size // width) for width, name in SAID_BY_LENGTH.items() if size % width == 0 and size]
        meanings = " or ".join(f"{count} ids of {name}" for name, count in fitting) or f"no whole ids of {TOKEN_DTYPES[0]}"
        raise PartError(
            f"{folder.name} holds tokens as bytes, which do not say how wide an id is: a row of {size} bytes is {meanings}; "
            f"add --token-dtype {'|'.join(TOKEN_DTYPES)}, or --seq-len with the ids of a row"
        )
    dtype = SAID_BY_LENGTH.get(size // seq_len) if seq_len > 0 and size % seq_len == 0 else None
    if dtype is None:
        raise PartError(
            f"{folder.name} has rows of {size} bytes, which is neither {4 * seq_len} (int32) nor {8 * seq_len} (int64) for "
            f"a seq_len of {seq_len}; give the seq_len that the rows have, or --token-dtype"
        )
    return TokenColumn(seq_len, dtype, is_deduced=True)


def first_row(folder: MdsFolder) -> Any:
    """The first value of column `tokens`: bytes or a flat array. Raises: PartError."""
    for shard in folder.shards:
        with folder.file(shard) as path:
            name = f"{folder.name}/{folder.name_of(shard)}"
            for row in mds.iterate_rows(map_plain(path, shard), {"tokens"}, name=name):
                return check_value(row.get("tokens"), f"{name}, row 0")
    raise PartError(f"{folder.name} has no row; write at least one")


def read_blocks(folder: MdsFolder, column: TokenColumn, *, dtype: str, num_ids: int | None) -> Iterator[npt.NDArray[Any]]:
    """(rows, seq_len) blocks of `dtype`, in order. `num_ids`: how many the tokenizer has. Raises: PartError."""
    has_high_words = not (column.is_deduced and column.dtype == "int32" and column.seq_len % 2 == 0)
    for shard in folder.shards:
        name = f"{folder.name}/{folder.name_of(shard)}"
        held: list[npt.NDArray[Any]] = []
        count = 0
        with folder.file(shard) as path:
            for row in mds.iterate_rows(map_plain(path, shard), {"tokens"}, name=name):
                held.append(row_ids(row.get("tokens"), column, where=f"{name}, row {count}"))
                has_high_words = has_high_words or bool(held[-1][1::2].any())
                count += 1
                if len(held) == BLOCK_ROWS:
                    yield fit_block(np.stack(held), column, dtype, num_ids, where=name)
                    held = []
        if count != shard.samples:
            raise PartError(f"{name} has {count} rows, its index says {shard.samples}; write it again")
        if held:
            yield fit_block(np.stack(held), column, dtype, num_ids, where=name)
    if not has_high_words:
        raise PartError(
            f"{folder.name} has 0 at every second place when its bytes are read as {column.seq_len} ids of int32 a row, "
            "as ids of int64 have; add --token-dtype int64, or --token-dtype int32 if that is what they are"
        )


def check_value(value: Any, where: str) -> bytes | npt.NDArray[Any]:
    """Raises: PartError for a value that is neither bytes nor an array."""
    if isinstance(value, bytes | np.ndarray):
        return value
    raise PartError(f"{where} has no column tokens of bytes or of an ndarray; write it again with one")


def row_ids(value: Any, column: TokenColumn, *, where: str) -> npt.NDArray[Any]:
    """(seq_len,) ids of a row. Raises: PartError."""
    found = check_value(value, where)
    if isinstance(found, bytes):
        dtype = np.dtype(column.dtype or "int32").newbyteorder("<")
        if column.dtype is None or len(found) != dtype.itemsize * column.seq_len:
            raise PartError(
                f"{where} has {len(found)} bytes, the first row {column.seq_len} ids of {column.dtype or 'an array'}; "
                "pack all rows at one length"
            )
        return np.frombuffer(found, dtype)
    if len(found) != column.seq_len:
        raise PartError(f"{where} has {len(found)} ids, seq_len is {column.seq_len}; pack all rows at one length")
    return found


def fit_block(
    block: npt.NDArray[Any], column: TokenColumn, dtype: str, num_ids: int | None, *, where: str
) -> npt.NDArray[Any]:
    """The block in `dtype`. Raises: PartError for an id that does not fit it or that the tokenizer does not have."""
    low, high = int(block.min()), int(block.max())
    most = int(np.iinfo(dtype).max)
    if low < 0 or high > most:
        if column.dtype is not None and (high > np.iinfo(np.uint32).max or low < 0):
            remedy = f"check that they are {column.dtype}, or give --token-dtype"
        else:
            remedy = "use a stream of uint32"
        raise PartError(f"{where} has ids from {low} to {high}; {dtype} holds 0 to {most}: {remedy}")
    if num_ids is not None and high >= num_ids:
        raise PartError(
            f"{where} has id {high}, the tokenizer has ids below {num_ids}; name the tokenizer that it was written with"
        )
    return block.astype(dtype, copy=False)
