"""The scores of documents by versions of annotators, beside the streams that hold the documents.

Always holds: a set of scores is noted once, whole, and never changes; no document of a part is scored twice by a version;
sets of several versions lie side by side.
"""

import io
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from streamer.catalog.catalog import Catalog
from streamer.catalog.part_files import in_arrow, load_named
from streamer.errors import CorpusError
from streamer.store.formats import check_format
from streamer.store.log import Bodies, Body

FORMAT = "scores/1"
SCHEMA = pa.schema([("document", pa.string()), ("score", pa.float64()), ("exact", pa.bool_())])


class ScoreSet(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of the documents of some parts of a stream. `parts`: their ids; `documents`: how many; `exact`: how many of
    them the annotator read itself, the others having its student's score; `xxh3`: of their file, and its name.
    """

    stream: str
    parts: tuple[str, ...]
    documents: int
    exact: int
    xxh3: str


class Scores(NamedTuple):
    """Of documents by id: `scores` on the annotator's scale, `exact` where the annotator read the document itself."""

    documents: list[str]
    scores: npt.NDArray[np.float64]
    exact: npt.NDArray[np.bool_]


def log_of(label: str) -> str:
    return f"scores/{label}"


def score_sets(catalog: Catalog, label: str) -> list[ScoreSet]:
    """The sets by an annotator's version. Raises: CorpusError for a format that is not known, LogError."""
    return read_sets(catalog.log(log_of(label)).read())


def read_sets(bodies: Bodies) -> list[ScoreSet]:
    found = []
    for number, body in enumerate(bodies):
        with bodies.understood(number):
            check_format(CorpusError, f"scores {number}", body["format"], FORMAT)
            found.append(msgspec.convert({name: body[name] for name in ScoreSet.__struct_fields__}, ScoreSet))
    return found


def scored_parts(catalog: Catalog, label: str, stream: str) -> set[str]:
    """Ids of the parts of a stream whose documents have scores by an annotator's version."""
    return {part for one in score_sets(catalog, label) if one.stream == stream for part in one.parts}


def put_scores(catalog: Catalog, label: str, stream: str, parts: Sequence[str], found: Scores) -> bool:
    """Keeps the scores of some parts' documents, unless one of the parts has scores already. Returns: whether it did."""
    table = pa.table([found.documents, found.scores, found.exact], schema=SCHEMA)
    target = io.BytesIO()
    pq.write_table(table, target, compression="zstd")
    data = target.getvalue()
    digest = xxhash.xxh3_128_hexdigest(data)
    catalog.store.put_if_absent(f"{log_of(label)}/files/{digest}.parquet", data)
    kept = ScoreSet(
        stream=stream, parts=tuple(parts), documents=len(found.documents), exact=int(found.exact.sum()),
        xxh3=digest,
    )  # fmt: skip
    body: Body = {"format": FORMAT, **msgspec.to_builtins(kept)}

    def decide(bodies: Bodies) -> Body | None:
        there = {part for one in read_sets(bodies) if one.stream == stream for part in one.parts}
        return None if there & set(parts) else body

    return catalog.log(log_of(label)).append(decide) is not None


def load_scores(catalog: Catalog, label: str, stream: str) -> dict[str, tuple[float, bool]]:
    """Of each scored document of a stream its score, and whether the annotator read it itself. Raises: PartError."""
    found: dict[str, tuple[float, bool]] = {}
    for one in score_sets(catalog, label):
        if one.stream == stream:
            table = read_set(catalog, label, one)
            columns = (table.column(name).to_pylist() for name in SCHEMA.names)
            found |= {document: (score, exact) for document, score, exact in zip(*columns, strict=True)}
    return found


def read_set(catalog: Catalog, label: str, one: ScoreSet) -> pa.Table:
    data = load_named(catalog.store, f"{log_of(label)}/files/{one.xxh3}.parquet", one.xxh3)
    return pq.read_table(in_arrow(data), schema=SCHEMA)
