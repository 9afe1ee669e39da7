"""The files of an MDS folder, as its index lists them.

Always holds: no file outside the folder is opened, and none whose size is not the one listed.
"""

from pathlib import Path

from streamer.errors import PartError
from streamer.mds import zstd
from streamer.mds.layout import ListedShard


def shard_path(folder: Path, shard: ListedShard) -> Path:
    """The file of a shard, compressed or not. Raises: PartError when the index names no such file of the folder."""
    path = folder / shard.stored.basename
    if path.name != shard.stored.basename or not path.is_file():
        raise PartError(f"{folder}: the index names {shard.stored.basename}, which is not there; copy it whole")
    size_bytes = path.stat().st_size
    if size_bytes != shard.stored.bytes:
        raise PartError(f"{path} has {size_bytes} bytes, its index says {shard.stored.bytes}; copy it whole")
    return path


def plain_bytes(folder: Path, shard: ListedShard) -> bytes:
    """The bytes of a shard's plain MDS. Raises: PartError."""
    path = shard_path(folder, shard)
    try:
        return zstd.decompress(path, shard.raw_data.bytes) if shard.compression else path.read_bytes()
    except OSError as error:
        raise PartError(f"{path} cannot be read ({error.strerror}); check its rights") from error
