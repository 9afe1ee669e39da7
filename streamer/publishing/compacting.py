"""Writes the parts of a stream anew without what is redacted in them, so that the text leaves the disk.

Always holds: a part keeps its id, its rows, its shards and their sizes, so that no order and no position changes; the entry
that names the new place of its files is written after all of them lie there, and only if nothing was redacted meanwhile; the
files at the old place are deleted by nobody here, since readers may have them open.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from streamer.catalog import parts, sidecar
from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo, Schema, Shard, Snapshot, compacted_body
from streamer.catalog.part_files import load_file, read_parquet
from streamer.catalog.redaction import EVENT, Redacted, Redaction
from streamer.catalog.shard_rows import checked_copy
from streamer.mds import layout
from streamer.mds.folder import INDEX
from streamer.store.log import Bodies, Body

TOLD = ("document", "repository", "path", "license", "score")  # columns of a sidecar that say what a document is
Progress = Callable[[str, int, int], None]


class Compacted(NamedTuple):
    """What was written anew of a stream: parts, and the samples in them of which something is gone."""

    stream: str
    parts: int
    samples: int


def compact(catalog: Catalog, name: str, *, progress: Progress = lambda *_: None) -> Compacted:
    """Writes every part anew whose files have something that is redacted.

    Raises: StreamError, LogError, PartError, StoreError; what is done then stays, and the next call goes on.
    """
    snapshot, in_files = find_redactions(catalog, name)
    wanted, samples = list(in_files), 0
    for done, part_id in enumerate(wanted, 1):
        while (gone := compact_part(catalog, snapshot, part_id, in_files.get(part_id, []))) is None:
            snapshot, in_files = find_redactions(catalog, name)
        samples += gone
        progress("parts", done, len(wanted))
    return Compacted(name, len(wanted), samples)


def find_redactions(catalog: Catalog, name: str) -> tuple[Snapshot, dict[str, list[Redaction]]]:
    """A stream now, and of its redactions what its parts' files still have: by part, in the parts' order."""
    snapshot, found = catalog.stream(name), dict[str, list[Redaction]]()
    for one in catalog.manifest(name).in_files(snapshot.number):
        for part_id, spans in one.spans.items():
            found.setdefault(part_id, []).append(msgspec.structs.replace(one, spans={part_id: spans}))
    return snapshot, {part_id: found[part_id] for part_id in snapshot.parts.ids if part_id in found}


def compact_part(catalog: Catalog, snapshot: Snapshot, part_id: str, redactions: list[Redaction]) -> int | None:
    """Returns in how many of a part's samples something is gone, or None where its stream has changed in the meantime."""
    if not redactions:
        return 0
    name, part = snapshot.name, snapshot.parts[snapshot.parts.ids.index(part_id)]
    with parts.folder_aside() as aside:
        shards, files = write_part(catalog, snapshot, part, redactions, aside)
        place, beside = parts.store_part(catalog.store, name, aside, shards, None, files)
    body = compacted_body(part, place, snapshot.schema, shards, beside)

    def decide(bodies: Bodies) -> Body | None:
        newer = (bodies[number] for number in range(snapshot.number, len(bodies)))
        in_the_way = any(one["event"] == EVENT or one.get("part") in (part_id, place) for one in newer)
        return None if in_the_way else body

    if catalog.append_part(name, place, decide) is None:
        return None
    return len({row for one in redactions for row in one.columns[part_id][:, 0].tolist()})


def write_part(
    catalog: Catalog, snapshot: Snapshot, part: PartInfo, redactions: list[Redaction], aside: Path
) -> tuple[list[Shard], dict[str, Path]]:
    """The shards and the files beside them, but for the index, which lies with the shards."""
    store, redacted = catalog.store, Redacted(redactions, {part.part_id: 0})
    shards, first = [], 0
    for shard in part.shards:
        (aside / shard.name).parent.mkdir(parents=True, exist_ok=True)
        rows = range(first, first + shard.samples)
        with checked_copy(store, part, shard) as path:
            shards.append(write_shard(path, aside / shard.name, shard, snapshot.schema, redacted, rows))
        first += shard.samples
    index = json.loads(bytes(load_file(store, part, INDEX)))
    for listed, shard in zip(index["shards"], shards, strict=True):
        if shard.compression:
            listed["zip_data"] |= {"bytes": shard.size_bytes, "hashes": {}}
        listed["raw_data"] |= {"hashes": {}}
    (aside / INDEX).write_text(json.dumps(index, sort_keys=True))
    spans = np.concatenate([one.columns[part.part_id] for one in redactions])
    files, documents = {}, set[str]()
    if part.sidecar is not None:
        files[part.sidecar] = aside / part.sidecar
        told, documents = without(parts.read_sidecar(store, part), spans)
        sidecar.write(told, files[part.sidecar])
    if (name := part.extra.get("files")) is not None:
        table = read_parquet(store, part, name, None)
        gone = pc.is_in(table["document"], value_set=pa.array(sorted(documents), pa.string()))
        pq.write_table(table.filter(pc.invert(gone)), aside / name, compression="zstd")
        files[name] = aside / name
    return shards, files


def write_shard(path: Path, target: Path, shard: Shard, schema: Schema, redacted: Redacted, rows: range) -> Shard:
    """One shard without what is redacted in its rows, which are these of its part. Nothing redacted: byte for byte."""
    gone = [row for row in rows if redacted.has(0, row)]
    if not gone:
        shutil.copyfile(path, target)
        return shard
    data = bytearray(parts.plain_bytes(path, shard))
    if schema.kind == "documents":
        layout.blank_rows(data, (row - rows.start for row in gone), kept=("language",), name=str(path))
    else:
        count, first, _ = layout.read_head(data, name=str(path))
        table: npt.NDArray[np.generic] = np.ndarray((count, schema.seq_len or 0), schema.dtype, buffer=data, offset=first)
        redacted.blank(table, np.zeros(count, np.int64), np.arange(rows.start, rows.stop))
    if shard.compression is None:
        target.write_bytes(data)
    else:
        with pa.CompressedOutputStream(str(target), "zstd") as file:
            file.write(memoryview(data))
    plain = xxhash.xxh3_64_hexdigest(data)
    return msgspec.structs.replace(
        shard,
        size_bytes=target.stat().st_size,
        xxh3=parts.hash_file(target),
        raw_xxh3=None if shard.raw_xxh3 is None else plain,
    )


def without(table: pa.Table, spans: npt.NDArray[np.int64]) -> tuple[pa.Table, set[str]]:
    """A sidecar's rows, of which those at the spans say nothing of their documents; the ids of these documents."""
    wanted = {tuple(span) for span in spans.tolist()}
    places = zip(*(table[name].to_pylist() for name in ("sample", "start", "end")), strict=True)
    is_gone = pa.array([place in wanted for place in places])
    documents = set(pc.unique(table["document"].filter(is_gone)).to_pylist()) - {None}
    for name in TOLD:
        nothing = pa.nulls(table.num_rows, table.schema.field(name).type)
        table = table.set_column(table.schema.get_field_index(name), name, pc.if_else(is_gone, nothing, table[name]))
    return table, documents
