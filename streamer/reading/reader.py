"""Maps shards of one store as rows.

Always holds: a row that is returned came from a shard whose bytes had the hash that its entry names, in a file of the size
and time it had when it was mapped. Anything else raises PartError.

On a local root plain shards are mapped in place. Shards of an object store, and compressed ones, are mapped from the node's
cache (cache.py). A shard is hashed once a node (hash_memory.py).
"""

import functools
import mmap
import os
import resource
import sys
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streamer import background
from streamer.catalog.manifest import PartInfo, Schema, Shard
from streamer.errors import CacheFullError, PartError, StoreError
from streamer.mds import layout as mds
from streamer.reading.read_ahead import ReadAhead
from streamer.reading.shard_files import ShardFiles
from streamer.store.store import Store

MAX_MAPPED = 4096  # each keeps a descriptor
OTHER_DESCRIPTORS = 512
FULL_WAIT_S, FULL_POLL_S = 10.0, 0.05  # for others to let go
UNHELD_PART = 8  # of the cache's bound may be mapped by a process that does not hold it ahead
REMOTE_THREADS, LOCAL_THREADS = 8, 4
View = npt.NDArray[Any]
Key = tuple[str, str]


class Wanted(NamedTuple):
    """A shard that is to be mapped ahead of its use."""

    part: PartInfo
    shard: Shard
    schema: Schema

    @property
    def key(self) -> Key:
        return self.part.folder, self.shard.name


class Reader:
    """Maps shards of one store. It pickles without maps and threads, and a forked child begins without threads.

    `cache` is the folder that the node's processes share, `cache_bytes` its bound; by default `PHASEMIX_CACHE` and
    `PHASEMIX_CACHE_BYTES`, else a folder of the user's in the temporary one and 64 GiB, or 80 % of what its disk has free.
    """

    def __init__(self, store: Store, cache: Path | None = None, *, cache_bytes: int | None = None) -> None:
        self.store, self.cache, self.cache_bytes = store, cache, cache_bytes
        self._mapped: OrderedDict[Key, View] = OrderedDict()
        self._pins: set[Key] = set()  # those mapped from the cache
        self._opened: weakref.WeakValueDictionary[Key, mmap.mmap | memoryview] = (
            weakref.WeakValueDictionary()
        )  # callers' views too
        self._refused: set[Key] = set()  # with CacheFullError; asked for again, they are waited for
        self._files: ShardFiles | None = None
        self._begin()

    def _begin(self) -> None:
        """What a process has of its own."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._ahead: ReadAhead[Key, Wanted, View] | None = None
        for key in list(self._pins):  # a parent's
            self._forget(key)
        if self._files is not None:
            self._files = self._files.copy()

    def __getstate__(self) -> tuple[Store, Path | None, int | None]:
        return self.store, self.cache, self.cache_bytes

    def __setstate__(self, state: tuple[Store, Path | None, int | None]) -> None:
        self.__init__(state[0], state[1], cache_bytes=state[2])  # type: ignore[misc]

    @property
    def fetched_bytes(self) -> int:
        """Bytes of shards that this process got from an object store."""
        return self._files.fetched_bytes if self._files else 0

    @property
    def hashed_bytes(self) -> int:
        """Bytes that this process hashed."""
        return self._files.hashed_bytes if self._files else 0

    def rows(self, part: PartInfo, shard: Shard, schema: Schema) -> View:
        """The whole shard as a read-only (samples, seq_len) view. Raises: PartError, StoreError.

        CacheFullError, a StoreError, comes at once while the caller keeps views of other shards: drop them and ask again.
        Then, and where there are none, others are given `FULL_WAIT_S` seconds to let go first.
        """
        key = (part.folder, shard.name)
        try:
            view = self._mapped[key]
            self._mapped.move_to_end(key)
            return own_rows(view, shard)
        except KeyError:
            pass
        if self._pid != os.getpid():
            self._begin()
        found = None if self._ahead is None else self._ahead.take(key)
        return own_rows(self._map(Wanted(part, shard, schema)) if found is None else found, shard)

    def read_ahead(self, wanted: Sequence[tuple[PartInfo, Shard, Schema]]) -> None:
        """Replaces the shards held ahead: threads fetch or hash them in this order, and they stay mapped while held.

        Of more than half of what may be mapped at once only the first are held.
        """
        if self._pid != os.getpid():
            self._begin()
        if self._ahead is None:
            num_threads = LOCAL_THREADS if self.store.local_path(".") is not None else REMOTE_THREADS
            self._ahead = ReadAhead(self._map_ahead, num_threads=num_threads, expected=(PartError, StoreError))
        items = {item.key: item for item in map(Wanted._make, wanted)}
        self._ahead.hold(list(items.items())[: max_mapped() // 2], self._mapped)
        self._drop_pins(0)

    _is_finalizing = staticmethod(sys.is_finalizing)  # of the class, which outlives the names of its module

    def close(self) -> None:
        """Drops maps and what is held ahead, and lets the threads end. A later call begins anew.

        It takes no lock, and where the interpreter is taken down it leaves all of that to the end of the process.
        """
        if self._is_finalizing():
            return
        if self._pid != os.getpid():
            self._begin()
        if self._ahead is not None:
            self._ahead.close()
        self._ahead = None
        self._mapped, self._pins, self._refused = OrderedDict(), set(), set()

    def _map_ahead(self, wanted: Wanted) -> View:
        return self._map(wanted, ahead=True)

    def _map(self, wanted: Wanted, *, ahead: bool = False) -> View:
        key, shard = wanted.key, wanted.shard
        if (found := self._mapped.get(key)) is not None:
            return found
        files = self._open_files()
        wait_until_s = time.monotonic() + (0 if ahead else FULL_WAIT_S)
        while True:
            try:
                data = files.open(wanted.part, shard, ahead=ahead)
                break
            except CacheFullError:
                if self._drop_pins(0):
                    continue
                with self._lock:
                    is_own = not self._refused and any(known not in self._mapped for known in self._opened)
                if is_own or time.monotonic() >= wait_until_s:
                    if not ahead:
                        self._refused.add(key)
                    raise
                background.pause(FULL_POLL_S)
        self._refused.discard(key)
        view = view_rows(data, files.name_of(wanted.part, shard), shard, wanted.schema)
        with self._lock:
            self._mapped[key] = view
            if files.is_cached(wanted.part, shard):
                self._pins.add(key)
                self._opened[key] = data
            if len(self._mapped) > max_mapped():
                self._forget(next(self._unheld()))
        if key in self._pins:
            self._drop_pins(files.cache.bound_bytes // UNHELD_PART, keep=key)
        return view

    def _open_files(self) -> ShardFiles:
        with self._lock:
            if self._files is None:
                self._files = ShardFiles(self.store, self.cache, self.cache_bytes)
            return self._files

    def _unheld(self) -> Iterator[Key]:
        """Mapped shards that are not held ahead, least recently asked for first."""
        ahead = self._ahead or ()
        return (key for key in list(self._mapped) if key not in ahead)

    def _forget(self, key: Key) -> None:
        self._mapped.pop(key, None)
        self._pins.discard(key)

    def _drop_pins(self, most_bytes: int, keep: Key | None = None) -> bool:
        """Drops maps of cached shards that are not held ahead, but for the latest `most_bytes`; whether there were any."""
        if not self._pins:
            return False
        with self._lock:
            pins = [key for key in self._unheld() if key in self._pins and key != keep]
            mapped = self._mapped
            sizes = {key: mapped[key].nbytes for key in pins if key in mapped}
            total = sum(sizes.values())
            dropped = False
            for key, size in sizes.items():
                if total <= most_bytes:
                    break
                total -= size
                self._forget(key)
                dropped = True
        return dropped


def own_rows(view: View, shard: Shard) -> View:
    """The rows of a shard in the file that it may share with others."""
    return view if shard.file_rows is None else view[shard.first : shard.first + shard.samples]


def view_rows(data: mmap.mmap | memoryview, name: str, shard: Shard, schema: Schema) -> View:
    """All rows of a mapped shard as (rows, seq_len), without a copy; the view keeps the map. Raises: PartError."""
    count, first, row_bytes = mds.read_head(data, name=name)
    dtype, seq_len = np.dtype(schema.dtype), schema.seq_len or 0
    rows = shard.samples if shard.file_rows is None else shard.file_rows
    if count != rows or row_bytes != dtype.itemsize * seq_len:
        raise PartError(
            f"{name} holds {count} rows of {row_bytes} bytes, its entry says {rows} of {dtype.itemsize * seq_len}; "
            "run phasemix streams verify"
        )
    return np.ndarray((count, seq_len), dtype, buffer=data, offset=first)


@functools.cache
def max_mapped() -> int:
    """How many shards a process may map: the limit of descriptors is raised for them as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_MAPPED + OTHER_DESCRIPTORS
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return MAX_MAPPED if soft == resource.RLIM_INFINITY else max(16, min(MAX_MAPPED, soft - OTHER_DESCRIPTORS))
