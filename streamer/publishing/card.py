"""The data card of a stream: what it consists of, whose it is, and for synthetic files how they came to be.

Always holds: a document counts once, by the part in which it lies, and not at all once it is redacted.
"""

import json
from collections import Counter
from collections.abc import Container, Iterator
from functools import partial
from typing import Any

import msgspec

from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo, Snapshot
from streamer.catalog.part_files import read_parquet
from streamer.catalog.redaction import Redacted, Span
from streamer.catalog.shard_rows import iterate_shard
from streamer.catalog.sidecar import read_rows

MOST_LISTED = 20  # of each kind, by how many documents they have
COLUMNS = ("document", "repository", "license")
NOT_STATED = "not stated"
NO_ORIGIN = {"recipe": "", "model": "", "seed_license": "", "seed_repository": "", "prompt_tokens": 0, "tokens": 0}


class Origins(msgspec.Struct, kw_only=True):
    """Files by recipe, model, the seeds' licences and the seeds' repositories, and the tokens that engines counted."""

    recipes: dict[str, int]
    models: dict[str, int]
    seed_licenses: dict[str, int]
    seed_repositories: int
    prompt_tokens: int
    written_tokens: int


class Card(msgspec.Struct, kw_only=True):
    """One stream at a snapshot. `unnamed_parts`: parts that do not say which documents they hold.

    `licenses` and `largest_repositories`: documents of each, the 20 with most of them; `origins`: None where none is stated.
    """

    stream: str
    snapshot: int
    kind: str
    parts: int
    samples: int
    tokens: int
    seq_len: int | None
    dtype: str | None
    tokenizer: str | None
    documents: int
    redacted_documents: int
    unnamed_parts: int
    licenses: dict[str, int]
    repositories: int
    largest_repositories: dict[str, int]
    origins: Origins | None


def card_of(catalog: Catalog, name: str) -> Card:
    """Raises: StreamError, PartError, StoreError."""
    snapshot, redacted = catalog.stream(name), catalog.redacted(name)
    licenses, repositories = Counter[str](), Counter[str]()
    recipes, models, seed_licenses = Counter[str](), Counter[str](), Counter[str]()
    seed_repositories, read, written = set[str](), 0, 0
    gone = unnamed = 0
    for part in snapshot.parts:
        rows = documents_of(catalog, snapshot, part, redacted)
        if rows is None:
            unnamed += 1
            continue
        present = set[str]()
        for row in rows:
            if row is None:
                gone += 1
            else:
                present.add(row["document"])
                licenses[row["license"] or NOT_STATED] += 1
                repositories[row["repository"] or NOT_STATED] += 1
        for origin in origins_of(catalog, name, part, present):
            recipes[origin["recipe"]] += 1
            models[origin["model"]] += 1
            seed_licenses[origin["seed_license"] or NOT_STATED] += 1
            seed_repositories.add(origin["seed_repository"])
            read, written = read + origin["prompt_tokens"], written + origin["tokens"]
    return Card(
        stream=name,
        snapshot=snapshot.number,
        kind=snapshot.kind,
        parts=len(snapshot.parts),
        samples=snapshot.samples,
        tokens=snapshot.tokens,
        seq_len=snapshot.seq_len,
        dtype=snapshot.dtype,
        tokenizer=snapshot.tokenizer,
        documents=licenses.total(),
        redacted_documents=gone,
        unnamed_parts=unnamed,
        licenses=dict(licenses.most_common(MOST_LISTED)),
        repositories=len(repositories),
        largest_repositories=dict(repositories.most_common(MOST_LISTED)),
        origins=Origins(
            recipes=dict(recipes),
            models=dict(models),
            seed_licenses=dict(seed_licenses.most_common(MOST_LISTED)),
            seed_repositories=len(seed_repositories),
            prompt_tokens=read,
            written_tokens=written,
        )
        if recipes
        else None,
    )


def documents_of(
    catalog: Catalog, snapshot: Snapshot, part: PartInfo, redacted: Redacted
) -> Iterator[dict[str, Any] | None] | None:
    """The documents of a part, each once, None for a redacted one; None for a part that does not name them."""
    if snapshot.kind == "documents":
        rows = (row for shard in part.shards for row in iterate_shard(catalog.store, part, shard, COLUMNS))
        return (None if redacted.has(part.number, number) else row for number, row in enumerate(rows))
    read = partial(read_rows, catalog.store, columns=["sample", "start", "end", *COLUMNS])
    table = catalog.of_part(snapshot.name, part, read)
    return None if table is None else once(table.to_pylist(), part, redacted)


def once(spans: list[dict[str, Any]], part: PartInfo, redacted: Redacted) -> Iterator[dict[str, Any] | None]:
    """One row for each document of a sidecar; the spans of one document follow each other."""
    before: tuple[str | None, bool] = "", False
    for span in spans:
        place = Span(span["sample"], span["start"], span["end"])
        here = span["document"], span["document"] is None or redacted.covers(part.number, place)
        if here != before:
            yield None if here[1] else span
        before = here


def origins_of(catalog: Catalog, stream: str, part: PartInfo, present: Container[str]) -> Iterator[dict[str, Any]]:
    """How each file of a part came to be that is present, where the part says so."""
    name = part.extra.get("files")
    if name is None or "recipes" not in part.extra:
        return
    read = partial(read_parquet, catalog.store, name=name, columns=["document", "origin"])
    for file in catalog.of_part(stream, part, read).to_pylist():
        if file["document"] in present:
            yield NO_ORIGIN | json.loads(file["origin"])
