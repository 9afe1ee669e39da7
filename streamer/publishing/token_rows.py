"""Token ids out of stock MDS, as rows of one length and dtype.

Always holds: an id that comes out is the id that was stored; what does not fit the dtype or the tokenizer, and a row of
another length, is refused by its place; only column `tokens` is decoded.

LLM-Foundry writes `tokens` as `bytes` of int32 or int64, or as `ndarray:int32`. Bytes do not say how wide an id is: with
`seq_len` known, a row's size does.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamer.errors import PartError
from streamer.mds import layout as mds
from streamer.mds.listed_shards import plain_bytes, shard_path

ID_DTYPES = {4: "<i4", 8: "<i8"}
BLOCK_ROWS = 256


def stored_length(folder: Path) -> int | None:
    """Ids of the folder's first row, None where bytes do not tell. Raises: PartError for a folder without rows."""
    for shard in mds.read_index(folder):
        for row in mds.iterate_rows(plain_bytes(folder, shard), {"tokens"}, name=str(shard_path(folder, shard))):
            value = row.get("tokens")
            return len(value) if isinstance(value, np.ndarray) else None
    raise PartError(f"{folder} has no row; write at least one")


def read_blocks(folder: Path, *, seq_len: int, dtype: str, num_ids: int | None) -> Iterator[npt.NDArray[Any]]:
    """(rows, seq_len) blocks of `dtype`, in order. `num_ids`: how many the tokenizer has. Raises: PartError."""
    for shard in mds.read_index(folder):
        path = shard_path(folder, shard)
        held: list[npt.NDArray[Any]] = []
        count = 0
        for row in mds.iterate_rows(plain_bytes(folder, shard), {"tokens"}, name=str(path)):
            held.append(row_ids(row.get("tokens"), seq_len, where=f"{path}, row {count}"))
            count += 1
            if len(held) == BLOCK_ROWS:
                yield fit_block(np.stack(held), dtype, num_ids, where=str(path))
                held = []
        if count != shard.samples:
            raise PartError(f"{path} has {count} rows, its index says {shard.samples}; write it again")
        if held:
            yield fit_block(np.stack(held), dtype, num_ids, where=str(path))


def row_ids(value: Any, seq_len: int, *, where: str) -> npt.NDArray[Any]:
    """(seq_len,) ids of a row. Raises: PartError."""
    if isinstance(value, bytes):
        found = ID_DTYPES.get(len(value) // seq_len) if len(value) % seq_len == 0 else None
        if found is None:
            raise PartError(
                f"{where} has {len(value)} bytes, which is neither {4 * seq_len} (int32) nor {8 * seq_len} (int64) for a "
                f"seq_len of {seq_len}; give the stream's seq_len, or write the folder again at this one"
            )
        return np.frombuffer(value, found)
    if not isinstance(value, np.ndarray):
        raise PartError(f"{where} has no column tokens of bytes or of an ndarray; write it again with one")
    if len(value) != seq_len:
        raise PartError(f"{where} has {len(value)} ids, seq_len is {seq_len}; pack it again at that length")
    return value


def fit_block(block: npt.NDArray[Any], dtype: str, num_ids: int | None, *, where: str) -> npt.NDArray[Any]:
    """The block in `dtype`. Raises: PartError for an id that does not fit it or that the tokenizer does not have."""
    low, high = int(block.min()), int(block.max())
    most = int(np.iinfo(dtype).max)
    if low < 0 or high > most:
        raise PartError(f"{where} has ids from {low} to {high}; {dtype} holds 0 to {most}: use a stream of uint32")
    if num_ids is not None and high >= num_ids:
        raise PartError(f"{where} has id {high}, the tokenizer ids below {num_ids}; name the one that it was written with")
    return block.astype(dtype, copy=False)
