"""Parts: sealed aside, verified, hashed, stored, and only then named by an entry.

Always holds: nothing under a root is a part until an entry names it; a failed publication leaves at most objects that
`garbage` names. Temporary files go, whatever happens.
"""

import contextlib
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from streamer.catalog import sidecar
from streamer.catalog.manifest import PartFile, PartInfo, Schema, Shard
from streamer.documents.document import COLUMNS
from streamer.errors import PartError, StoreError, StreamError
from streamer.mds import layout as mds
from streamer.mds import listed_shards, zstd
from streamer.mds.listed_shards import shard_path
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
    ],
    metadata={"format": sidecar.FORMAT},
)
FREE_MARGIN_BYTES = 1 << 20


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


def schema_of(folder: Path, tokenizer: str | None) -> Schema:
    """What a sealed MDS folder holds: tokens of one shape, or documents. Raises: PartError."""
    shards = mds.read_index(folder)
    if not shards:
        raise PartError(f"{folder} has no shard; write at least one row")
    columns = shards[0].columns
    if any(shard.columns != columns for shard in shards):
        raise PartError(f"{folder}: its shards differ in their columns; write them with one set of columns")
    if columns == COLUMNS:
        return Schema(kind="documents")
    if "tokens" not in columns:
        raise PartError(f"{folder} has columns {sorted(columns)}; give 'tokens', or documents by phasemix streams publish")
    encoding = columns["tokens"].split(":")
    if encoding[0] != "ndarray" or len(encoding) != 3 or encoding[1] not in mds.DTYPES or list(columns) != ["tokens"]:
        raise PartError(
            f"{folder}: column tokens is {columns['tokens']}; give a single column of ndarray:uint16:SEQ_LEN or "
            "ndarray:uint32:SEQ_LEN, or convert it with phasemix streams publish"
        )
    if not encoding[2].isdecimal() or int(encoding[2]) < 1:
        raise PartError(f"{folder}: column tokens is {columns['tokens']}; its rows must be flat and hold at least one id")
    return Schema(kind="tokens", seq_len=int(encoding[2]), dtype=encoding[1], tokenizer=tokenizer)


def verify_folder(folder: Path, schema: Schema) -> list[Shard]:
    """Checks every shard of a sealed folder against its index and hashes it. Raises: PartError."""
    found = []
    for shard in mds.read_index(folder):
        path, zipped = shard_path(folder, shard), shard.compression is not None
        plain = listed_shards.plain_bytes(folder, shard) if schema.kind == "tokens" or zipped else b""
        if schema.kind == "tokens":
            rows, _, row_bytes = mds.read_head(plain, name=str(path))
            wanted = np.dtype(schema.dtype).itemsize * (schema.seq_len or 0)
            if row_bytes != wanted or rows != shard.samples:
                raise PartError(f"{path} has {rows} rows of {row_bytes} bytes, its index says {shard.samples} of {wanted}")
        found.append(
            Shard(
                name=path.name,
                samples=shard.samples,
                size_bytes=shard.stored.bytes,
                xxh3=hash_file(path),
                compression="zstd" if zipped else None,
                raw_bytes=shard.raw_data.bytes if zipped else None,
                raw_xxh3=xxhash.xxh3_64_hexdigest(plain) if zipped else None,
            )
        )
    return found


def write_sidecar(documents: list[dict[str, Any]], path: Path) -> None:
    rows = [{name: row.get(name) for name in SIDECAR_SCHEMA.names} for row in documents]
    pq.write_table(pa.Table.from_pylist(rows, schema=SIDECAR_SCHEMA), path, compression="zstd")


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
    part_id = secrets.token_hex(8)
    target = f"streams/{name}/_parts/{part_id}"
    check_space(store, sum(shard.size_bytes for shard in shards))
    try:
        for shard in shards:
            store.put_file(f"{target}/{shard.name}", folder / shard.name)
        beside = {"index.json": folder / "index.json", **files}
        if documents is not None:
            beside[SIDECAR] = folder / SIDECAR
            write_sidecar(documents, beside[SIDECAR])
        for file_name, path in beside.items():
            store.put_file(f"{target}/{file_name}", path)
    except BaseException:
        with contextlib.suppress(StoreError):  # what cannot be removed now is garbage
            remove_part(store, name, part_id)
        raise
    return part_id, [describe_file(file_name, path) for file_name, path in beside.items()]


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
