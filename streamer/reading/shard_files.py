"""A shard as mapped bytes: in place on a local root, from the node's cache else.

Always holds: the bytes returned had the hash that the entry names when this node hashed that very file, and no process
hashes or fetches a shard while another does.

What passes by itself the store waits for; a corrupt object is fetched once more.
"""

import contextlib
import errno
import functools
import logging
import mmap
import os
import threading
import time
from pathlib import Path

import xxhash

from streamer import background
from streamer.catalog.manifest import PartInfo, Shard
from streamer.catalog.references import place_of
from streamer.errors import PartError, StoreError
from streamer.mds import zstd
from streamer.reading.cache import Cache, Mapped
from streamer.reading.hash_memory import HashMemory, describe
from streamer.store.entries import MISSING
from streamer.store.store import MemoryStore, Store

log = logging.getLogger(__name__)
HASH_BLOCK_BYTES = 1 << 24
SPARE_PART = 4  # reading ahead leaves this part of the cache's bound to whoever must have a shard now
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ShardFiles:
    """Opens shards of one store, and counts what that cost. Safe to call from threads."""

    def __init__(self, store: Store, folder: Path | None, cache_bytes: int | None) -> None:
        self.store, self._arguments = store, (folder, cache_bytes)
        self.fetched_bytes = self.hashed_bytes = 0
        self._counting, self._alone = threading.Lock(), threading.Lock()
        self._is_local = store.local_path(".") is not None
        self._cache: Cache | StoreError
        try:
            self._cache = Cache(folder, cache_bytes) if not isinstance(store, MemoryStore) else StoreError("no cache")
        except StoreError as error:
            if not self._is_local:
                raise
            self._cache = error  # plain shards do without; what others hashed is then hashed again
            log.warning("%s", error)
        hashes = self._cache.hashes if isinstance(self._cache, Cache) else None
        self._in_place = HashMemory(hashes and hashes / xxhash.xxh3_64_hexdigest(store.url.encode()))
        self._in_cache = HashMemory(hashes and hashes / f"cache-{boot_id()}")

    @property
    def cache(self) -> Cache:
        """Raises: StoreError when the cache's folder or bound cannot be."""
        if isinstance(self._cache, StoreError):
            raise self._cache
        return self._cache

    def copy(self) -> "ShardFiles":
        """The same for a forked child, without locks that a thread of the parent may hold; counts begin at 0."""
        return ShardFiles(self.store, *self._arguments)

    def is_cached(self, part: PartInfo, shard: Shard) -> bool:
        """Whether a shard's bytes come from the cache."""
        store, _ = place_of(self.store, part)
        if isinstance(store, MemoryStore):
            return False
        return store.local_path(".") is None or shard.compression is not None

    def name_of(self, part: PartInfo, shard: Shard) -> str:
        """Where a shard lies, for people."""
        store, folder = place_of(self.store, part)
        return f"{store.url}/{folder}{shard.name}"

    def open(self, part: PartInfo, shard: Shard, *, ahead: bool) -> mmap.mmap | memoryview:
        """Raises: PartError, StoreError, CacheFullError."""
        if isinstance(place_of(self.store, part)[0], MemoryStore):
            return self._open_in_memory(part, shard)
        try:
            if self.is_cached(part, shard):
                return self._open_cached(part, shard, ahead)
            return self._open_in_place(part, shard)
        except OSError as error:
            remedy = "raise ulimit -n" if error.errno == errno.EMFILE else "see that root and cache can be read"
            raise StoreError(f"{self.name_of(part, shard)} cannot be mapped: {error.strerror}; {remedy}") from error

    def _open_in_memory(self, part: PartInfo, shard: Shard) -> memoryview:
        place = f"{self.store.url}/{part.folder}/{shard.name}"
        data = memoryview(self.store.get(f"{part.folder}/{shard.name}") or b"")
        check_size(place, len(data), shard.size_bytes)
        self._check(data, place, shard.xxh3)
        return data if shard.compression is None else memoryview(b"".join(zstd.blocks(data, raw(shard)[0])))

    def _open_in_place(self, part: PartInfo, shard: Shard) -> mmap.mmap:
        store, folder = place_of(self.store, part)
        place, found = self._map_local(store, f"{folder}{shard.name}", shard.size_bytes)
        line = describe(part.place, shard.name, shard.xxh3, found.stat)
        if not self._in_place.knows(line):
            lock = self._cache.lock(f"{part.place} {shard.name}") if isinstance(self._cache, Cache) else self._alone
            with lock:
                if not self._in_place.knows(line):
                    self._check(found.data, place, shard.xxh3)
                    self._in_place.add(line)
        return found.data

    def _open_cached(self, part: PartInfo, shard: Shard, ahead: bool) -> mmap.mmap:
        size_bytes, digest = raw(shard)
        name = f"{part.place}-{digest}-{file_name(shard).removesuffix('.zstd')}"
        found = self.cache.find(name, size_bytes)
        if found is not None and self._in_cache.knows(describe(part.place, name, digest, found.stat)):
            return found.data
        with self.cache.lock(name):
            found = self.cache.find(name, size_bytes)
            if found is not None:
                known = self._in_cache.knows(describe(part.place, name, digest, found.stat))
                if known or self._hash(found.data) == digest:
                    return self._remember(part, name, digest, found)
                self.cache.remove(name)
            write = functools.partial(self._write_plain, part, shard)
            spare_bytes = self.cache.bound_bytes // SPARE_PART if ahead else 0
            return self._remember(part, name, digest, self.cache.add(name, size_bytes, write, spare_bytes=spare_bytes))

    def _remember(self, part: PartInfo, name: str, digest: str, found: Mapped) -> mmap.mmap:
        line = describe(part.place, name, digest, found.stat)
        if not self._in_cache.knows(line):
            self._in_cache.add(line)
        return found.data

    def _write_plain(self, part: PartInfo, shard: Shard, path: Path) -> None:
        """Fills a file of the cache with the plain bytes of a shard."""
        store, folder = place_of(self.store, part)
        key = f"{folder}{shard.name}"
        if shard.compression is None:
            self._fetch(store, key, shard, path)
        elif store.local_path(key) is not None:
            place, found = self._map_local(store, key, shard.size_bytes)
            self._check(found.data, place, shard.xxh3)
            self._unpack(place, shard, path)
        else:
            with self.cache.aside(f"{part.place}-{shard.xxh3}-{file_name(shard)}", shard.size_bytes) as (packed, _):
                self._fetch(store, key, shard, packed)
                self._unpack(packed, shard, path)

    def _unpack(self, packed: Path, shard: Shard, path: Path) -> None:
        size_bytes, digest = raw(shard)
        with path.open("r+b") as file:
            for block in zstd.blocks(packed, size_bytes):
                background.check()
                file.write(block)
        self._check(map_file(path, size_bytes).data, packed, digest)

    def _fetch(self, store: Store, key: str, shard: Shard, path: Path) -> None:
        """Fetches an object, a corrupt one once more. Raises: PartError, StoreError."""
        place = f"{store.url}/{key}"
        for is_second in (False, True):
            size = store.fetch(key, path, shard.size_bytes)
            if size is None:
                raise PartError(f"{place} {MISSING}")
            try:
                check_size(place, size, shard.size_bytes)
                with self._counting:
                    self.fetched_bytes += size
                return self._check(map_file(path, shard.size_bytes).data, place, shard.xxh3)
            except PartError:
                if is_second:
                    raise
        return None

    def _map_local(self, store: Store, key: str, size_bytes: int) -> tuple[Path, Mapped]:
        """A file of a directory. Raises: PartError, StoreError when it is the whole root that is missing."""
        place = store.local_path(key)
        assert place is not None
        try:
            return place, map_file(place, size_bytes)
        except PartError:
            if store is self.store:
                store.opened.check()
            raise

    def _check(self, data: mmap.mmap | memoryview, place: object, digest: str) -> None:
        found = self._hash(data)
        if found != digest:
            raise PartError(f"{place} has hash {found}, its entry says {digest}; run phasemix streams verify")

    def _hash(self, data: mmap.mmap | memoryview) -> str:
        """xxh3-64 of mapped bytes, in blocks, without Python's lock."""
        digest = xxhash.xxh3_64()
        with memoryview(data) as view:
            for start in range(0, len(view), HASH_BLOCK_BYTES):
                background.check()
                digest.update(view[start : start + HASH_BLOCK_BYTES])
        with self._counting:
            self.hashed_bytes += len(data)
        return digest.hexdigest()


def file_name(shard: Shard) -> str:
    """What a shard is called in a flat folder; a merged index names shards in folders below its own."""
    return shard.name.replace("/", "_")


def raw(shard: Shard) -> tuple[int, str]:
    """Size and hash of the plain shard."""
    if shard.compression is None:
        return shard.size_bytes, shard.xxh3
    if shard.compression != "zstd" or shard.raw_bytes is None or shard.raw_xxh3 is None:
        raise PartError(f"{shard.name} is compressed with {shard.compression}; this version reads zstd: update phasemix")
    return shard.raw_bytes, shard.raw_xxh3


def map_file(path: Path, size_bytes: int) -> Mapped:
    """Raises: PartError for a file that is absent or of another size, OSError for one that cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        raise PartError(f"{path} {MISSING}") from None
    try:
        stat = os.fstat(descriptor)
        check_size(path, stat.st_size, size_bytes)
        return Mapped(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ), stat)
    finally:
        os.close(descriptor)


def check_size(place: object, size: int, expected: int) -> None:
    if size != expected or not size:
        raise PartError(f"{place} has {size} bytes, its entry says {expected}; run phasemix streams verify")


@functools.cache
def boot_id() -> str:
    """After a crash of the machine, what was written last to the cache may be gone, and what was known of it is not."""
    with contextlib.suppress(OSError):
        return BOOT_ID.read_text().strip()
    return f"{os.getpid()}-{time.time_ns()}"
