"""The rows of a part's shards, read one shard at a time from wherever the part lies.

Always holds: bytes are handed out only after they have the hash that the part's entry names.
"""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamer.catalog.manifest import PartInfo, Shard
from streamer.catalog.parts import check_hash, plain_bytes
from streamer.catalog.references import place_of
from streamer.errors import PartError
from streamer.mds.folder import MdsFolder, map_plain
from streamer.mds.layout import iterate_rows
from streamer.store.entries import MISSING
from streamer.store.store import Store


@contextmanager
def checked_copy(store: Store, part: PartInfo, shard: Shard) -> Iterator[Path]:
    """A path to a shard: its own place on a local root, else a temporary copy. Raises: PartError: it is gone or damaged."""
    store, folder = place_of(store, part)
    with local_copy(store, f"{folder}{shard.name}") as path:
        check_hash(path, shard)
        yield path


def iterate_shard(store: Store, part: PartInfo, shard: Shard, only: Iterable[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a shard, or of each the columns `only`. Raises: PartError."""
    with checked_copy(store, part, shard) as path:
        own = None if shard.file_rows is None else range(shard.first, shard.first + shard.samples)
        yield from iterate_rows(plain_bytes(path, shard), only, name=str(path), rows=own)


def iterate_folder(folder: MdsFolder, only: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The columns `only` of the rows of a sealed folder. Raises: PartError, StoreError."""
    for shard in folder.shards:
        with folder.file(shard) as path:
            yield from iterate_rows(map_plain(path, shard), only, name=f"{folder.name}/{folder.name_of(shard)}")


@contextmanager
def local_copy(store: Store, key: str) -> Iterator[Path]:
    """A path to an object: its own place on a local root, else a temporary copy. Raises: PartError when it is gone."""
    place = store.local_path(key)
    if place is not None:
        if not place.is_file():
            raise PartError(f"{place} {MISSING}")
        yield place
        return
    data = store.get(key)
    if data is None:
        raise PartError(f"{store.url}/{key} {MISSING}")
    with tempfile.TemporaryDirectory(prefix="phasemix-object-") as folder:
        path = Path(folder) / "object"
        path.write_bytes(data)
        yield path
