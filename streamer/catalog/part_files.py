"""Files that lie beside the shards of a part: its sidecar, its index, the documents that it was packed from.

Always holds: the bytes that are handed out have the size and the checksum that the part's entry names. Entries of
stream/1 name none, so that of their files only the shape is checked. Of a Parquet file that parts share each has its rows.
"""

import mmap
import os
import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from streamer.catalog.manifest import PartInfo
from streamer.catalog.references import place_of
from streamer.errors import PartError
from streamer.store.entries import MISSING, RESTORE
from streamer.store.store import Store

SHARED_BYTES = 1 << 26
SHARED: dict[tuple[str, str, str], pa.Table] = {}
SHARED_LOCK = threading.Lock()
os.register_at_fork(after_in_child=SHARED_LOCK._at_fork_reinit)  # type: ignore[attr-defined]


def load_file(store: Store, part: PartInfo, name: str) -> bytes | mmap.mmap:
    """The bytes of a file of a part, mapped where it lies on this machine. Raises: PartError, StoreError."""
    store, folder = place_of(store, part)
    key = f"{folder}{name}"
    data = load_object(store, key)
    if data is None:
        raise PartError(f"{store.url}/{key} {MISSING}")
    wanted = part.file(name)
    if wanted is not None:
        found = xxhash.xxh3_64_hexdigest(data)
        if (len(data), found) != (wanted.size_bytes, wanted.xxh3):
            raise PartError(
                f"{store.url}/{key} is damaged: it has {len(data):,} bytes with checksum {found}, its entry says "
                f"{wanted.size_bytes:,} with {wanted.xxh3}; {RESTORE}"
            )
    return data


def load_object(store: Store, key: str) -> bytes | mmap.mmap | None:
    place = store.local_path(key)
    if place is None:
        return store.get(key)
    try:
        with place.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:  # an empty file cannot be mapped
        return b""
    except OSError as error:
        raise PartError(f"{place} cannot be read ({error.strerror}); check its disk and rights") from error


def load_named(store: Store, key: str, digest: str) -> bytes | mmap.mmap:
    """The bytes of an object that is named by its xxh3-128. Raises: PartError when it is gone or damaged."""
    data = load_object(store, key)
    if data is None:
        raise PartError(f"{store.url}/{key} {MISSING}")
    if xxhash.xxh3_128_hexdigest(data) != digest:
        raise PartError(f"{store.url}/{key} is damaged, its checksum is not {digest}; {RESTORE}")
    return data


def read_parquet(
    store: Store, part: PartInfo, name: str, columns: list[str] | None, condition: tuple[str, str, Any] | None = None
) -> pa.Table:
    """Some columns (None: all) of a Parquet file of a part, of the rows that meet a condition or of all.

    Raises: PartError for a file that is missing, damaged or not Parquet, StoreError.
    """
    try:
        if name in part.rows:
            table = shared_rows(load_shared(store, part, name), *part.rows[name], columns, condition)
        else:
            table = pq.read_table(in_arrow(load_file(store, part, name)), columns=columns, filters=condition and [condition])
        if part.file(name) is None:
            table.validate(full=True)
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        said = " ".join(str(error).split())
        raise PartError(f"{store.url}/{part.folder}/{name} cannot be read as Parquet ({said}); {RESTORE}") from error
    return table


def load_shared(store: Store, part: PartInfo, name: str) -> pa.Table:
    """A whole Parquet file that parts share; those read last are kept, since its other parts are mostly read next."""
    key = store.url, part.folder, name
    with SHARED_LOCK:
        table = SHARED.pop(key, None)
        if table is not None:
            SHARED[key] = table  # the latest
    if table is None:
        table = pq.read_table(in_arrow(load_file(store, part, name)))
        with SHARED_LOCK:
            SHARED[key] = table
            while len(SHARED) > 1 and sum(one.nbytes for one in SHARED.values()) > SHARED_BYTES:
                del SHARED[next(iter(SHARED))]
    return table


def shared_rows(
    table: pa.Table, first: int, count: int, columns: list[str] | None, condition: tuple[str, str, Any] | None
) -> pa.Table:
    """Of a shared table a part's own rows that meet a condition."""
    own = table.slice(first, count)
    if condition is not None:
        own = own.filter(pq.filters_to_expression([condition]))
    return own if columns is None else own.select(columns)


def in_arrow(data: bytes | mmap.mmap) -> pa.BufferReader:
    """A copy of the bytes that belongs to Arrow alone.

    A thread of Arrow may let go of what it read only after the table is handed out. Had it to release an object of Python
    while the interpreter ends, the process would abort (apache/arrow issue 34314; 7 of 200 short commands did under load).
    """
    copy = pa.allocate_buffer(len(data))
    np.frombuffer(copy, np.uint8)[:] = np.frombuffer(data, np.uint8)
    return pa.BufferReader(copy)
