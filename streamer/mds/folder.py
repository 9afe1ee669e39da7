"""A folder of MDS that anyone wrote, on this machine or in an object store: its index, and its shards one at a time.

Always holds: no file outside the folder is named, and none is read whose size is not the one listed; a shard is mapped, not
held. A shard of an object store is fetched into a temporary file, and a compressed one is unpacked into one, to no more
bytes than the index says; both are gone when the next shard comes.
"""

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from streamer.errors import PartError
from streamer.mds import zstd
from streamer.mds.layout import MOST_INDEX_BYTES, ListedShard, parse_index
from streamer.store.store import Store

INDEX = "index.json"
LONGEST_PART = 255  # bytes of a file's or a folder's name, as file systems have it
MOST_FOLDERS = 8  # between a merged index and its shards


class MdsFolder:
    """`place` is a path, or a store whose root the folder is. Raises: PartError for what is no MDS, StoreError."""

    def __init__(self, place: Path | Store) -> None:
        self.path = place if isinstance(place, Path) else place.local_path(".")
        self.store = None if isinstance(place, Path) or self.path is not None else place
        self.name = str(self.path) if self.store is None else self.store.url
        self.index = self._read_index()
        self.shards = parse_index(self.index, name=self.name)
        for shard in self.shards:
            self.name_of(shard)

    def name_of(self, shard: ListedShard) -> str:
        """A shard's path inside the folder; a merged index names shards in folders below. Raises: PartError outside."""
        name = shard.stored.basename
        path = PurePosixPath(name)
        is_inside = not path.is_absolute() and ".." not in path.parts and len(path.parts) <= MOST_FOLDERS
        is_whole = str(path) == name and "\0" not in name and name.isprintable()
        if not is_inside or not is_whole or any(len(part.encode()) > LONGEST_PART for part in path.parts):
            raise PartError(
                f"{self.name}/{INDEX} names {name[:200]!r}, which is not a path inside the folder; correct the index"
            )
        return name

    @contextmanager
    def file(self, shard: ListedShard) -> Iterator[Path]:
        """The file of a shard, compressed or not, which may be a copy. Raises: PartError, StoreError."""
        name, size_bytes = self.name_of(shard), shard.stored.bytes
        if self.store is None:
            assert self.path is not None
            path = self.path / name
            self._check_size(name, path.stat().st_size if path.is_file() else None, size_bytes)
            yield path
            return
        with tempfile.NamedTemporaryFile(prefix="phasemix-shard-") as copy:
            self._check_size(name, self.store.fetch(name, Path(copy.name), size_bytes), size_bytes)
            yield Path(copy.name)

    def _check_size(self, name: str, size_bytes: int | None, listed_bytes: int) -> None:
        if size_bytes is None:
            raise PartError(f"{self.name}/{INDEX} names {name}, but there is no such file; copy the folder whole")
        if size_bytes != listed_bytes or not size_bytes:
            raise PartError(
                f"{self.name}/{name} has {size_bytes:,} bytes, its index says {listed_bytes:,}; copy the folder whole"
            )

    def _read_index(self) -> bytes:
        place = f"{self.name}/{INDEX}"
        if self.store is not None:
            data = self.store.get(INDEX)
            if data is None:
                raise PartError(f"{place} does not exist; name a folder that MDSWriter closed")
            return data
        assert self.path is not None
        try:
            with (self.path / INDEX).open("rb") as file:
                return file.read(MOST_INDEX_BYTES + 1)
        except OSError as error:
            raise PartError(f"{place} cannot be read ({error.strerror}); name a folder that MDSWriter closed") from error


def map_plain(path: Path, shard: ListedShard) -> mmap.mmap:
    """The plain bytes of a shard's file. Raises: PartError."""
    if shard.compression is None:
        try:
            with path.open("rb") as file:
                return map_whole(file.fileno())
        except OSError as error:
            raise PartError(f"{path} cannot be read ({error.strerror}); check its rights") from error
    try:
        with tempfile.TemporaryFile(prefix="phasemix-shard-") as unpacked:
            for block in zstd.blocks(path, shard.raw_data.bytes):
                unpacked.write(block)
            unpacked.flush()
            return map_whole(unpacked.fileno())
    except OSError as error:
        raise PartError(
            f"{path} cannot be unpacked aside ({error.strerror}); free space for temporary files, or set TMPDIR to a "
            "roomier folder"
        ) from error


def map_whole(descriptor: int) -> mmap.mmap:
    return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
