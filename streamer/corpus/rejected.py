"""What an ingest dropped, kept to be looked at: `corpus/rejected/BUILD.parquet` under the root, a row for each file.

Always holds: rows stand in the order of the sources, whatever the number of tasks; of a text no more than 4 KB are kept, and
nothing of those that is private; memory does not grow with their number. The file is written before the entry that says the
build is done.
"""

import heapq
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from streamer.catalog.part_files import in_arrow
from streamer.corpus.spool import read_records
from streamer.errors import CorpusError
from streamer.privacy.replacing import Privacy, replace
from streamer.store.store import Store

MOST_EXCERPT_BYTES = 4096
MOST_LOOKED_AT_BYTES = 4 * MOST_EXCERPT_BYTES  # so that a secret is whole when it is looked for
BATCH_ROWS = 1024
ENDING = ".rejected"


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was dropped: its place in the order of the sources, the reason, what was measured, and how it begins."""

    order: int
    reason: str
    repository: str
    path: str
    language: str
    values: dict[str, float | str]
    text: str


def excerpt(text: str, most_bytes: int = MOST_LOOKED_AT_BYTES) -> str:
    """The beginning of a text, as text that can be written."""
    return text[:most_bytes].encode("utf-8", "backslashreplace")[:most_bytes].decode("utf-8", "ignore")


def merge_records(folder: Path) -> Iterator[Rejected]:
    """The records of all tasks and steps in the order of the sources."""
    files = [read_records(path, Rejected) for path in sorted(folder.glob(f"*{ENDING}"))]
    return heapq.merge(*files, key=lambda record: record.order)


def key_of_build(build: str) -> str:
    return f"corpus/rejected/{build}.parquet"


def to_row(record: Rejected, privacy: Privacy) -> dict[str, str]:
    text = excerpt(replace(record.text, privacy).text, MOST_EXCERPT_BYTES)
    return {**msgspec.structs.asdict(record), "values": json.dumps(record.values), "text": text}


def publish_rejected(store: Store, build: str, folder: Path, privacy: Privacy) -> None:
    """Writes the records of a build under the root. Raises: StoreError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ("reason", "repository", "path", "language", "values", "text")
    schema = pa.schema([(name, pa.string()) for name in names])
    aside = folder / "rejected.parquet"
    with pq.ParquetWriter(aside, schema, compression="zstd") as writer:
        records = merge_records(folder)
        while batch := list(islice(records, BATCH_ROWS)):
            rows = [to_row(record, privacy) for record in batch]
            writer.write_table(pa.table({name: [row[name] for row in rows] for name in names}, schema=schema))
    store.put_file(key_of_build(build), aside)


def read_rejected(store: Store, build: str, reason: str, sample: int) -> list[Rejected]:
    """`sample` of a build's files that were dropped for a reason, spread evenly over all of them. Raises: CorpusError."""
    import pyarrow.parquet as pq

    data = store.get(key_of_build(build))
    if data is None:
        raise CorpusError(f"{store.url} has no record of what build {build} dropped; ingest again to see it")
    table = pq.read_table(in_arrow(data), filters=[("reason", "=", reason)])
    chosen = spread(table.num_rows, sample)
    return [
        Rejected(order=place, **{**row, "values": json.loads(row["values"])})
        for place, row in zip(chosen, table.take(chosen).to_pylist(), strict=True)
    ]


def spread(count: int, sample: int) -> list[int]:
    """At most `sample` of `count` places, evenly spread."""
    return [place * count // min(sample, count) for place in range(min(sample, count))] if count else []
