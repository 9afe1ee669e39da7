"""Parts: sealed aside, verified, hashed, stored, and only then named by an entry.

Always holds: nothing under a root is a part until an entry names it; a failed publication leaves at most objects that
`garbage` names. Temporary files go, whatever happens.
"""

import contextlib
import mmap
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from streamer.catalog import sidecar
from streamer.catalog.manifest import PartFile, PartInfo, Schema, Shard, Snapshot
from streamer.documents.document import COLUMNS, FIRST_COLUMNS
from streamer.errors import AlreadyPublishedError, PartError, StoreError, StreamError
from streamer.mds import layout as mds
from streamer.mds import zstd
from streamer.mds.folder import INDEX, MdsFolder, map_plain
from streamer.mds.layout import ListedShard
from streamer.store.store import Store

SIDECAR = "documents.parquet"
SIDECAR_SCHEMA = pa.schema(
    [
        ("sample", pa.uint32()),
        ("start", pa.uint32()),
        ("end", pa.uint32()),
        ("document", pa.string()),
        ("repository", pa.string()),
        ("path", pa.string()),
        ("license", pa.string()),
        ("language", pa.string()),
        ("score", pa.float64()),
    ]
)
FREE_MARGIN_BYTES = 1 << 20


def hash_mapped(data: mmap.mmap) -> str:
    """xxh3-64 of mapped bytes in hex."""
    digest = xxhash.xxh3_64()
    for start in range(0, len(data), 1 << 24):
        digest.update(data[start : start + (1 << 24)])
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """xxh3-64 of a file in hex."""
    digest = xxhash.xxh3_64()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def folder_aside() -> Iterator[Path]:
    """A temporary folder in which a part is written. Raises: PartError when there is no room, or a source cannot be read."""
    folder = ""
    try:
        with tempfile.TemporaryDirectory(prefix="phasemix-part-") as folder:
            yield Path(folder)
    except OSError as error:
        if folder and error.filename is not None and not str(error.filename).startswith(folder):
            raise PartError(
                f"{error.filename} cannot be used: {error.strerror}; check that it exists and its rights"
            ) from error
        raise PartError(
            f"a part cannot be written aside: {error.strerror or error}; free space for temporary files, "
            "or set TMPDIR to a roomier folder"
        ) from error


def check_hash(path: Path, shard: Shard) -> None:
    """Raises: PartError when size or bytes are not the entry's."""
    size = path.stat().st_size
    if size != shard.size_bytes:
        raise PartError(f"{path} has {size} bytes, its entry says {shard.size_bytes}; run phasemix streams verify")
    digest = hash_file(path)
    if digest != shard.xxh3:
        raise PartError(f"{path} has hash {digest}, its entry says {shard.xxh3}; run phasemix streams verify")


def plain_bytes(path: Path, shard: Shard) -> bytes:
    """The bytes of a shard's plain MDS. Raises: PartError."""
    return path.read_bytes() if shard.raw_bytes is None else zstd.decompress(path, shard.raw_bytes)


def schema_of(folder: MdsFolder, tokenizer: str | None) -> Schema:
    """What a sealed MDS folder holds: tokens of one shape, or documents. Raises: PartError."""
    if not folder.shards:
        raise PartError(f"{folder.name} has no shard; write at least one row")
    columns = folder.shards[0].columns
    if any(shard.columns != columns for shard in folder.shards):
        raise PartError(f"{folder.name}: its shards differ in their columns; write them with one set of columns")
    if FIRST_COLUMNS.items() <= columns.items() <= COLUMNS.items():
        return Schema(kind="documents")
    names = ", ".join(columns)[:400]
    if "tokens" not in columns:
        raise PartError(f"{folder.name} has columns {names}; give 'tokens', or documents by phasemix streams publish")
    kind, _, shape = columns["tokens"].partition(":")
    dtype, _, length = shape.partition(":")
    if kind != "ndarray" or dtype not in mds.DTYPES or not length or list(columns) != ["tokens"]:
        raise PartError(
            f"{folder.name}: column tokens is {columns['tokens'][:80]} of columns {names}; give a single column of "
            "ndarray:uint16:SEQ_LEN or ndarray:uint32:SEQ_LEN, or convert it with phasemix streams publish"
        )
    if not length.isascii() or not length.isdecimal() or len(length) > 9 or int(length) < 1:
        raise PartError(
            f"{folder.name}: column tokens is {columns['tokens'][:80]}; its rows must be flat and hold 1 to 999,999,999 ids"
        )
    return Schema(kind="tokens", seq_len=int(length), dtype=dtype, tokenizer=tokenizer)


def verify_folder(folder: MdsFolder, schema: Schema, *, num_ids: int | None = None) -> list[Shard]:
    """Checks every shard of a sealed folder against its index and hashes it.

    `num_ids`: how many the tokenizer has, where ids are to be held to it. Raises: PartError, StoreError.
    """
    return [verify_shard(folder, shard, schema, num_ids) for shard in folder.shards]


def verify_shard(folder: MdsFolder, listed: ListedShard, schema: Schema, num_ids: int | None) -> Shard:
    name = folder.name_of(listed)
    with folder.file(listed) as path:
        xxh3 = hash_file(path)
        plain = map_plain(path, listed)
    check_rows(f"{folder.name}/{name}", plain, listed, schema, num_ids)
    zipped = listed.compression is not None
    return Shard(
        name=name,
        samples=listed.samples,
        size_bytes=listed.stored.bytes,
        xxh3=xxh3,
        compression="zstd" if zipped else None,
        raw_bytes=listed.raw_data.bytes if zipped else None,
        raw_xxh3=hash_mapped(plain) if zipped else None,
    )


def check_rows(name: str, plain: mmap.mmap, listed: ListedShard, schema: Schema, num_ids: int | None) -> None:
    """Raises: PartError for a plain shard whose rows are not those that its index and the schema say."""
    if schema.kind != "tokens":
        rows = int.from_bytes(plain[:4], "little")
        if rows != listed.samples:
            raise PartError(f"{name} has {rows} rows, its index says {listed.samples}; write it again")
        return
    rows, first, row_bytes = mds.read_head(plain, name=name)
    dtype, seq_len = np.dtype(schema.dtype), schema.seq_len or 0
    if row_bytes != dtype.itemsize * seq_len or rows != listed.samples:
        raise PartError(
            f"{name} has {rows} rows of {row_bytes} bytes, its index says {listed.samples} of {dtype.itemsize * seq_len}; "
            "write it again"
        )
    if num_ids is not None:
        highest = int(np.ndarray((rows, seq_len), dtype, buffer=plain, offset=first).max())
        if highest >= num_ids:
            raise PartError(
                f"{name} has id {highest}, the tokenizer has ids below {num_ids}; name the tokenizer that it was "
                "written with"
            )


def refuse_again(name: str, shards: Sequence[Shard], stream: Snapshot | None) -> None:
    """Raises: AlreadyPublishedError when a stream has some of these shards already, whatever they are called there."""
    mine = {(shard.samples, shard.plain_xxh3) for shard in shards}
    there: dict[tuple[int, str], PartInfo] = {}
    for part in stream.parts.as_published() if stream is not None else ():
        there |= {key: part for shard in part.shards if (key := (shard.samples, shard.plain_xxh3)) in mine}
    if there:
        part = next(iter(there.values()))
        count = f"{len(there)} of these {len(mine)} shards" if len(there) < len(mine) else "these shards"
        raise AlreadyPublishedError(
            f"stream {name} has {count} already, such as in part {part.part_id} of entry {part.number}; nothing was "
            "published. Leave them out, or publish them a second time with --again (in Python again=True)",
            whole=len(there) == len(mine),
        )


def read_sidecar(store: Store, part: PartInfo) -> "pa.Table":
    """sample -> documents of a part. Raises: PartError where the part has none."""
    table = sidecar.read_rows(store, part, None)
    if table is None:
        raise PartError(f"part {part.folder} has no sidecar; publish it again with documents to trace it")
    return table


def check_space(store: Store, needed_bytes: int) -> None:
    """Refuses before anything is written when the disk of a local root is too full. Raises: PartError."""
    place = store.local_path(".")
    if place is None:
        return
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed_bytes + FREE_MARGIN_BYTES:
        raise PartError(
            f"{place} has {free:,} bytes free; the part needs {needed_bytes:,} and a margin of {FREE_MARGIN_BYTES:,}. Free "
            "space and publish again"
        )


def store_part(
    store: Store,
    name: str,
    folder: Path,
    shards: list[Shard],
    documents: list[dict[str, Any]] | None,
    files: dict[str, Path],
) -> tuple[str, list[PartFile]]:
    """Puts a verified folder under a new part id, shards, index, sidecar and other `files`.

    Returns: the id, and what lies there beside the shards.
    """
    part_id = new_part_id()
    target = f"streams/{name}/_parts/{part_id}"
    check_space(store, sum(shard.size_bytes for shard in shards))
    try:
        for shard in shards:
            store.put_file(f"{target}/{shard.name}", folder / shard.name)
        beside = {INDEX: folder / INDEX, **files}
        if documents is not None:
            beside[SIDECAR] = folder / SIDECAR
            rows = [{name: row.get(name) for name in SIDECAR_SCHEMA.names} for row in documents]
            sidecar.write(pa.Table.from_pylist(rows, schema=SIDECAR_SCHEMA), beside[SIDECAR])
        for file_name, path in beside.items():
            store.put_file(f"{target}/{file_name}", path)
    except BaseException:
        with contextlib.suppress(StoreError):  # what cannot be removed now is garbage
            remove_part(store, name, part_id)
        raise
    return part_id, [describe_file(file_name, path) for file_name, path in beside.items()]


def new_part_id() -> str:
    return secrets.token_hex(8)


def describe_bytes(name: str, data: bytes) -> PartFile:
    return PartFile(name=name, size_bytes=len(data), xxh3=xxhash.xxh3_64_hexdigest(data))


def describe_file(name: str, path: Path) -> PartFile:
    return PartFile(name=name, size_bytes=path.stat().st_size, xxh3=hash_file(path))


def remove_part(store: Store, name: str, part_id: str) -> None:
    """Deletes the objects of a part that no entry names, or that an entry condemned."""
    for key in store.list(f"streams/{name}/_parts/{part_id}"):
        store.delete(key)
    if (place := store.local_path(f"streams/{name}/_parts/{part_id}")) is not None:
        shutil.rmtree(place, ignore_errors=True)


def check_fits(name: str, stream: Schema | None, part: Schema) -> None:
    """Raises: StreamError when a part is of another shape than its stream."""
    if stream is None or stream == part:
        return
    for field in ("kind", "seq_len", "dtype", "tokenizer"):
        has, gets = getattr(stream, field), getattr(part, field)
        if has != gets:
            raise StreamError(f"stream {name} has {field} {has}, the part {gets}; publish it under another name")
