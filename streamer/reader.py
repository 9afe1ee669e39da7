"""Rows by (part, row) as one array, one copy each, from mapped shards.

Always holds: a row that is returned came from a shard whose bytes had the hash that its entry names, at the size it had
when it was mapped; anything else raises PartError.

On a local root shards are mapped in place and hashed at their first touch; shards of an object store are fetched once
into a cache folder, whole, under their hash.
"""

import os
import secrets
import tempfile
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from streamer import mds
from streamer.errors import PartError, StoreError
from streamer.manifest import PartInfo, Schema, Shard
from streamer.parts import hash_file
from streamer.store import Store

MAX_MAPPED = 4096
FETCH_ATTEMPTS = 4
RETRY_WAIT_S = 0.2


class Reader:
    """Maps shards of one store. Pickles without its maps."""

    def __init__(self, store: Store, cache: Path | None = None) -> None:
        self.store = store
        default = os.environ.get("PHASEMIX_CACHE") or Path(tempfile.gettempdir()) / f"phasemix-cache-{os.getuid()}"
        self.cache = Path(cache or default)
        self._mapped: OrderedDict[tuple[str, str], npt.NDArray[Any]] = OrderedDict()

    fetched_bytes = 0

    def read_ahead(self, wanted: Sequence[tuple[PartInfo, Shard, Schema]]) -> None:
        """To come."""

    def close(self) -> None:
        self._mapped.clear()

    def __getstate__(self) -> tuple[Store, Path]:
        return self.store, self.cache

    def __setstate__(self, state: tuple[Store, Path]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def rows(self, part: PartInfo, shard: Shard, schema: Schema) -> npt.NDArray[Any]:
        """The whole shard as a read-only (samples, seq_len) view. Raises: PartError."""
        key = (part.folder, shard.name)
        found = self._mapped.get(key)
        if found is not None:
            return found
        path = self._verified(part, shard)
        data = np.memmap(path, np.uint8, "r")
        count, first, row_bytes = mds.read_head(data, name=str(path))
        dtype, seq_len = np.dtype(schema.dtype), schema.seq_len or 0
        if count != shard.samples or row_bytes != dtype.itemsize * seq_len:
            raise PartError(
                f"{path} holds {count} rows of {row_bytes} bytes, its entry says {shard.samples} of "
                f"{dtype.itemsize * seq_len}; run phasemix streams verify"
            )
        view: npt.NDArray[Any] = np.ndarray((count, seq_len), dtype, buffer=data, offset=first)
        self._mapped[key] = view
        if len(self._mapped) > MAX_MAPPED:
            self._mapped.popitem(last=False)
        return view

    def _verified(self, part: PartInfo, shard: Shard) -> Path:
        key = f"{part.folder}/{shard.name}"
        place = self.store.local_path(key)
        if place is not None:
            if not place.is_file():
                raise PartError(f"{place} is missing; restore it from a copy, then run phasemix streams verify")
            check_hash(place, shard)
            return place
        cached = self.cache / f"{part.part_id}-{shard.xxh3}-{shard.name}"
        if cached.is_file() and cached.stat().st_size == shard.size_bytes:
            check_hash(cached, shard)
            return cached
        self._fetch(key, shard, cached)
        return cached

    def _fetch(self, key: str, shard: Shard, cached: Path) -> None:
        """Fetches a shard with retries; a corrupt one is fetched again. Raises: PartError, StoreError."""
        for attempt in range(FETCH_ATTEMPTS):
            try:
                data = self.store.get(key)
                if data is None:
                    raise PartError(f"{self.store.url}/{key} is missing; run phasemix streams verify")
                digest = xxhash.xxh3_64_hexdigest(data)
                if digest == shard.xxh3:
                    break
                if attempt:
                    raise PartError(
                        f"{self.store.url}/{key} has hash {digest}, its entry says {shard.xxh3}; run phasemix streams verify"
                    )
            except StoreError:
                if attempt == FETCH_ATTEMPTS - 1:
                    raise
            time.sleep(RETRY_WAIT_S * 2**attempt)
        self.cache.mkdir(parents=True, exist_ok=True)
        aside = cached.with_name(f".{cached.name}.{secrets.token_hex(4)}")
        try:
            aside.write_bytes(data or b"")
            os.replace(aside, cached)
        except OSError as error:
            raise StoreError(
                f"cache {self.cache} cannot be written: {error.strerror}; set PHASEMIX_CACHE to a roomier folder"
            ) from error
        finally:
            aside.unlink(missing_ok=True)


def check_hash(path: Path, shard: Shard) -> None:
    """Raises: PartError when size or bytes are not the entry's."""
    size = path.stat().st_size
    if size != shard.size_bytes:
        raise PartError(f"{path} has {size} bytes, its entry says {shard.size_bytes}; run phasemix streams verify")
    digest = hash_file(path)
    if digest != shard.xxh3:
        raise PartError(f"{path} has hash {digest}, its entry says {shard.xxh3}; run phasemix streams verify")
