"""Compressed shards, as MDSWriter writes them: one zstd stream a shard.

Always holds: what comes out has the size that was asked for, or PartError is raised; no more than that is ever produced.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from streamer.errors import PartError

BLOCK_BYTES = 1 << 22


def blocks(path: Path | memoryview, raw_bytes: int) -> Iterator[bytes]:
    """The plain bytes of a compressed file, in blocks. Raises: PartError when they are not `raw_bytes` in all."""
    left = raw_bytes
    try:
        opened = pa.memory_map(str(path)) if isinstance(path, Path) else pa.BufferReader(path)
        with opened as source, pa.CompressedInputStream(source, "zstd") as stream:
            while block := stream.read(min(BLOCK_BYTES, left + 1)):
                left -= len(block)
                if left < 0:
                    break
                yield block
    except OSError as error:
        raise PartError(f"{path} cannot be read as a zstd stream ({error}); restore it from a copy") from error
    if left:
        has = "more" if left < 0 else f"{raw_bytes - left:,}"
        raise PartError(f"{path} unpacks to {has} bytes, {raw_bytes:,} are expected; restore it from a copy")


def decompress(path: Path, raw_bytes: int) -> bytes:
    """The plain bytes of a compressed file. Raises: PartError."""
    return b"".join(blocks(path, raw_bytes))
