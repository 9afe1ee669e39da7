"""Writes the files of parts anew: without what is redacted in them, so that the text leaves the disk, and many small parts
into one folder.

Always holds: a part keeps its id, its rows and how they lie in shards, so that no order and no position changes; the entry
that names the new place of its files is written after all of them lie there, and only if nothing was redacted meanwhile; the
files at the old place stay, since readers may have them open.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import closing
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
from streamer.catalog.manifest import PartInfo, Schema, Shard, Snapshot, compacted_body, merged_body
from streamer.catalog.part_files import load_file, read_parquet
from streamer.catalog.redaction import EVENT, Redacted, Redaction
from streamer.catalog.shard_rows import checked_copy
from streamer.mds import layout
from streamer.mds.folder import INDEX, MdsFolder
from streamer.reading.reader import Reader
from streamer.store.log import Bodies, Body
from streamer.store.store import Store

PARQUET = ".parquet"
TOLD = ("document", "repository", "path", "license", "score")  # columns of a sidecar that say what a document is
Progress = Callable[[str, int, int], None]


class Compacted(NamedTuple):
    """What was written anew of a stream: parts, and the samples in them of which something is gone."""

    stream: str
    parts: int
    samples: int


def compact(catalog: Catalog, name: str, *, progress: Progress = lambda *_: None) -> Compacted:
    """Writes every part anew whose files have something that is redacted, and the parts that share files with it.

    Raises: StreamError, LogError, PartError, StoreError; what is done then stays, and the next call goes on.
    """
    snapshot, in_files = find_redactions(catalog, name)
    wanted, samples, finished = list(in_files), 0, set[str]()
    for done, part_id in enumerate(wanted, 1):
        while part_id not in finished and part_id in in_files:
            unit = sharing(catalog, snapshot, part_id)
            if rewrite(catalog, snapshot, unit, in_files):
                finished |= {part.part_id for part in unit}
                samples += sum(count_rows(in_files.get(part.part_id, []), part) for part in unit)
            else:
                snapshot, in_files = find_redactions(catalog, name)
        progress("parts", done, len(wanted))
    return Compacted(name, len(finished), samples)


def find_redactions(catalog: Catalog, name: str) -> tuple[Snapshot, dict[str, list[Redaction]]]:
    """A stream now, and of its redactions what its parts' files still have: by part, in the parts' order."""
    snapshot, found = catalog.stream(name), dict[str, list[Redaction]]()
    for one in catalog.manifest(name).in_files(snapshot.number):
        for part_id, spans in one.spans.items():
            found.setdefault(part_id, []).append(msgspec.structs.replace(one, spans={part_id: spans}))
    return snapshot, {part_id: found[part_id] for part_id in snapshot.parts.ids if part_id in found}


def sharing(catalog: Catalog, snapshot: Snapshot, part_id: str) -> list[PartInfo]:
    """A part and those that share its files."""
    manifest, ids = catalog.manifest(snapshot.name), [part_id]
    if (entry := manifest.compacted.get(part_id)) in manifest.merges:
        ids = list(manifest.read_merge(entry).numbers)
    places = {one: place for place, one in enumerate(snapshot.parts.ids)}
    return [snapshot.parts[places[one]] for one in ids]


def count_rows(redactions: list[Redaction], part: PartInfo) -> int:
    """In how many of a part's samples something is redacted."""
    return len({row for one in redactions for row in one.columns[part.part_id][:, 0].tolist()})


def rewrite(catalog: Catalog, snapshot: Snapshot, unit: list[PartInfo], in_files: dict[str, list[Redaction]]) -> bool:
    """Writes the files of parts at a new place, of several as one shard. False where the stream changed in the meantime.

    `in_files`: by part, what its files have that is redacted.
    """
    name, ids = snapshot.name, {part.part_id for part in unit}
    with parts.folder_aside() as aside:
        if len(unit) == 1 and not unit[0].is_merged:
            shards, files = write_part(catalog, snapshot, unit[0], in_files.get(unit[0].part_id, []), aside)
            place, beside = parts.store_part(catalog.store, name, aside, shards, None, files)
            body = compacted_body(unit[0], place, snapshot.schema, shards, beside)
        else:
            shards, files, rows = write_together(catalog, snapshot, unit, in_files, aside)
            place, beside = parts.store_part(catalog.store, name, aside, shards, None, files)
            body = merged_body(place, unit, shards[0], unit[0].sidecar, beside, rows)

    def decide(bodies: Bodies) -> Body | None:
        newer = (bodies[number] for number in range(snapshot.number, len(bodies)))
        is_changed = any(one["event"] == EVENT or {one.get("part"), *one.get("parts", ())} & {*ids, place} for one in newer)
        return None if is_changed else body

    return catalog.append_part(name, place, decide) is not None


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
    return shards, write_tables(aside, {name: [table] for name, table in tables_of(store, part, redactions).items()})


def write_together(
    catalog: Catalog, snapshot: Snapshot, unit: list[PartInfo], in_files: dict[str, list[Redaction]], aside: Path
) -> tuple[list[Shard], dict[str, Path], dict[str, list[int]]]:
    """One shard of the rows of several parts, the files beside it, and of each of these the rows of every part."""
    schema, blocks, tables = snapshot.schema, list[npt.NDArray[np.generic]](), defaultdict[str, list[pa.Table]](list)
    with closing(Reader(catalog.store)) as reader:
        for part in unit:
            redactions, first = in_files.get(part.part_id, []), 0
            redacted = Redacted(redactions, {part.part_id: 0})
            for shard in part.shards:
                block = reader.rows(part, shard, schema).copy()
                redacted.blank(block, np.zeros(len(block), np.int64), np.arange(first, first + len(block)))
                blocks.append(block)
                first += len(block)
            for name, table in tables_of(catalog.store, part, redactions).items():
                tables[name].append(table)
    layout.write_shards(np.concatenate(blocks), aside)
    shards = parts.verify_folder(MdsFolder(aside), schema)
    return shards, write_tables(aside, tables), {name: [len(one) for one in found] for name, found in tables.items()}


def tables_of(store: Store, part: PartInfo, redactions: list[Redaction]) -> dict[str, pa.Table]:
    """The Parquet files beside the shards of a part, without what is redacted, by name."""
    spans = np.concatenate([np.zeros((0, 3), np.int64), *(one.columns[part.part_id] for one in redactions)])
    found, documents = dict[str, pa.Table](), set[str]()
    if part.sidecar is not None:
        found[part.sidecar], documents = without(parts.read_sidecar(store, part), spans)
    for file in part.files:
        if file.name.endswith(PARQUET) and file.name != part.sidecar:
            table = read_parquet(store, part, file.name, None)
            if documents and "document" in table.column_names:
                gone = pc.is_in(table["document"], value_set=pa.array(sorted(documents), pa.string()))
                table = table.filter(pc.invert(gone))
            found[file.name] = table
    return found


def write_tables(aside: Path, tables: Mapping[str, list[pa.Table]]) -> dict[str, Path]:
    """Writes Parquet files, each of the tables of several parts."""
    for name, found in tables.items():
        table = pa.concat_tables(found, promote_options="default")
        if name == parts.SIDECAR:
            sidecar.write(table, aside / name)
        else:
            pq.write_table(table, aside / name, compression="zstd")
    return {name: aside / name for name in tables}


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
    if not len(spans):
        return table, set()
    wanted = {tuple(span) for span in spans.tolist()}
    places = zip(*(table[name].to_pylist() for name in ("sample", "start", "end")), strict=True)
    is_gone = pa.array([place in wanted for place in places])
    documents = set(pc.unique(table["document"].filter(is_gone)).to_pylist()) - {None}
    for name in TOLD:
        nothing = pa.nulls(table.num_rows, table.schema.field(name).type)
        table = table.set_column(table.schema.get_field_index(name), name, pc.if_else(is_gone, nothing, table[name]))
    return table, documents
