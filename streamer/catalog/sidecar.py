"""Sidecars: which tokens of which sample of a part are of which document.

Always holds: only the columns that are needed are decoded, and only rows that match are kept; nothing is written.
"""

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from streamer.catalog.manifest import PartInfo
from streamer.catalog.part_files import read_parquet
from streamer.errors import PartError
from streamer.store.store import Store

FORMAT = "sidecar/1"
COLUMNS = ["sample", "start", "end", "document", "repository", "path"]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens [start, end) of row `sample` of a part are of one document."""

    sample: int
    start: int
    end: int
    document: str | None
    repository: str | None
    path: str | None


def write(table: "pa.Table", path: Path) -> None:
    """Writes a table of sidecar rows as a sidecar."""
    pq.write_table(table.replace_schema_metadata({"format": FORMAT}), path, compression="zstd")


def spans_of(store: Store, part: PartInfo, samples: list[int]) -> list[Span] | None:
    """The spans of some samples of a part, in order; None where the part has no sidecar. Raises: PartError."""
    table = read_rows(store, part, COLUMNS, ("sample", "in", sorted(set(samples))))
    return None if table is None else [Span(**row) for row in table.to_pylist()]


def find_spans(store: Store, part: PartInfo, column: str, value: str) -> list[Span] | None:
    """The spans whose `document` or `path` is `value`; None where the part has no sidecar. Raises: PartError."""
    condition = (column, "==", value)
    table = read_rows(store, part, ["sample"], condition)  # one column of what has no match
    if table is not None and table.num_rows:
        whole = read_rows(store, part, COLUMNS, condition)
        assert whole is not None
        return [Span(**row) for row in whole.to_pylist()]
    return None if table is None else []


def read_rows(
    store: Store, part: PartInfo, columns: list[str] | None, condition: tuple[str, str, Any] | None = None
) -> "pa.Table | None":
    """Some columns (None: all) of the rows that meet a condition, or of all rows; None where the part has no sidecar.

    Raises: PartError.
    """
    if part.sidecar is None:
        return None
    table = read_parquet(store, part, part.sidecar, columns, condition)
    check_format(table, f"{store.url}/{part.folder}/{part.sidecar}")
    return table


def check_format(table: "pa.Table", name: str) -> None:
    """Raises: PartError for another format than sidecar/1."""
    written = (table.schema.metadata or {}).get(b"format", FORMAT.encode()).decode()
    if written != FORMAT:
        raise PartError(f"{name} has format {written}; this version reads {FORMAT}: update phasemix")
