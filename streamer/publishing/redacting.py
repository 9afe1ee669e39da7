"""Redacts documents in every stream of a root: finds where their tokens stand and writes that into the streams' logs.

Always holds: nothing is written before everything that can fail was tried; the rule is noted for the root first, so that
what is published from then on is held to it; a part that is published meanwhile is searched too, since the entry has to
be the next one of the stream's log; a command that was interrupted goes on when it is run again, and one that is run
twice writes nothing.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo, Snapshot
from streamer.catalog.redaction import EVENT, RULE_FORMAT, RULES, WORDS, Rule, Span, read_rule, redacted_body
from streamer.catalog.shard_rows import iterate_shard
from streamer.catalog.sidecar import read_rows
from streamer.errors import CorpusError, StreamError
from streamer.packing.tokenizer import end_of_document_id
from streamer.store.log import Bodies, Body

Progress = Callable[[str, int, int], None]


class Found(msgspec.Struct, kw_only=True):
    """What of one stream a rule takes away. `unsearched`: parts that do not say which documents they hold.

    `spans`: by part id, of the parts that were searched; `document_ids`: of those that are in them.
    """

    stream: str
    fill: int | None = None
    spans: dict[str, list[Span]] = msgspec.field(default_factory=dict)
    document_ids: set[str] = msgspec.field(default_factory=set)
    unsearched: int = 0

    @property
    def documents(self) -> int:
        return len(self.document_ids)

    @property
    def samples(self) -> int:
        """Rows of the stream in which something is redacted."""
        return sum(len({span.row for span in rows}) for rows in self.spans.values())

    @property
    def tokens(self) -> int:
        return sum(span.end - span.start for rows in self.spans.values() for span in rows)


def search(
    catalog: Catalog, rule: Rule, *, fill: int | None = None, progress: Progress = lambda *_: None
) -> Iterator[Found]:
    """What a rule takes away from each stream.

    Args: fill, the id that stands for redacted tokens where no tokenizer says it; progress, called
    with ("parts", searched, of how many).
    Raises: StreamError for a rule that names nothing, and where such an id is needed; LogError, PartError, StoreError.
    """
    if not rule.columns:
        raise StreamError("nothing is named that is to be redacted; give --document, --repository or --licence")
    snapshots = catalog.match("*")
    done, total = 0, sum(len(snapshot.parts) for snapshot in snapshots)
    for snapshot in snapshots:
        found = Found(stream=snapshot.name)
        for part in snapshot.parts:
            look = functools.partial(search_part, catalog, snapshot, rule=rule, found=found)
            catalog.of_part(snapshot.name, part, look)
            done += 1
            progress("parts", done, total)
        found.fill = fill_of(catalog, snapshot, found, fill)
        yield found


def search_part(catalog: Catalog, snapshot: Snapshot, part: PartInfo, rule: Rule | None, found: Found) -> None:
    """Adds what a rule takes away from one part; without a rule all of its documents."""
    rows = document_rows(catalog, part) if snapshot.kind == "documents" else sidecar_rows(catalog, part, rule)
    spans = found.spans.setdefault(part.part_id, [])
    if rows is None:
        found.unsearched += 1
        return
    for row in rows:
        if rule is None or rule.matches(row):
            spans.append(Span(row["sample"], row["start"], row["end"]))
            found.document_ids.add(row["document"])


def document_rows(catalog: Catalog, part: PartInfo) -> Iterator[dict[str, Any]]:
    names, sample = set(WORDS.values()), 0
    for shard in part.shards:
        for row in iterate_shard(catalog.store, part, shard, names):
            yield {**row, "sample": sample, "start": 0, "end": 0}
            sample += 1


def sidecar_rows(catalog: Catalog, part: PartInfo, rule: Rule | None) -> Iterable[dict[str, Any]] | None:
    """The rows of a sidecar that a rule matches, without a rule all; None where the part has no sidecar."""
    table = read_rows(catalog.store, part, ["sample", "start", "end", *WORDS.values()])
    if table is None:
        return None
    if rule is not None:
        matched = [pc.is_in(table[name], value_set=pa.array(sorted(values))) for name, values in rule.columns.items()]
        table = table.filter(functools.reduce(pc.or_, matched))
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def fill_of(catalog: Catalog, snapshot: Snapshot, found: Found, fill: int | None) -> int | None:
    """The id that stands for the redacted tokens of a stream. Raises: StreamError where nobody knows one."""
    if snapshot.kind == "documents" or not found.document_ids:
        return None
    if fill is not None:
        return fill
    try:
        return end_of_document_id(catalog.load_tokenizer(snapshot.tokenizer))
    except (CorpusError, StreamError) as error:
        raise StreamError(
            f"stream {snapshot.name} has {found.documents:,} of these documents, but which id is the end of a document "
            f"there is not known ({error}); give that id with --fill. Nothing was written"
        ) from error


def redact(
    catalog: Catalog, rule: Rule, found: Iterable[Found], *, by: str | None, why: str | None, at_s: float
) -> list[Found]:
    """Writes the rule for the root, then into the log of every stream what it takes away there. What was written.

    `found`: what `search` found last for each stream. Raises: LogError, PartError, StoreError; run it again then.
    """
    said = {name: value for name, value in (("by", by), ("why", why), ("at_s", round(at_s, 3))) if value is not None}
    plain = msgspec.to_builtins(rule)

    def decide(bodies: Bodies) -> Body | None:
        there = any(read_rule(body).columns == rule.columns for body in bodies)
        return None if there else {"format": RULE_FORMAT, "rule": plain, **said}

    catalog.log(RULES).append(decide)
    before, written = {one.stream: one for one in found}, []
    for name in catalog.names("streams"):
        one = before.get(name) or Found(stream=name)
        if redact_stream(catalog, rule, one, said):
            written.append(one)
    return written


def redact_stream(catalog: Catalog, rule: Rule, found: Found, said: dict[str, Any]) -> bool:
    """Writes an entry into a stream's log, unless it has one of this rule or has no parts at all."""

    def decide(bodies: Bodies) -> Body | None:
        if any(body["event"] == EVENT and read_rule(body).columns == rule.columns for body in bodies):
            return None
        manifest = catalog.manifest(found.stream)
        manifest.take(bodies)
        if manifest.schema is None:
            return None
        snapshot = manifest.snapshot(manifest.length)
        for part in snapshot.parts:
            if part.part_id not in found.spans:
                search_part(catalog, snapshot, part, rule, found)
        found.fill = fill_of(catalog, snapshot, found, found.fill)
        return redacted_body(rule, found.spans, documents=found.documents, fill=found.fill, said=said)

    return catalog.stream_log(found.stream).append(decide) is not None


def redact_build(catalog: Catalog, name: str, build: str, said: dict[str, Any]) -> int:
    """Takes back what a build has published in a stream, by an entry that no rule stands for: in how many parts.

    Raises: StreamError, LogError, PartError, StoreError; the next call goes on then.
    """

    def is_of_build(part: PartInfo) -> bool:
        return part.extra.get("build") == build

    def decide(bodies: Bodies) -> Body | None:
        found = Found(stream=name)
        manifest = catalog.manifest(name)
        manifest.take(bodies)
        if manifest.schema is None or any(body["event"] == EVENT and body.get("build") == build for body in bodies):
            return None
        snapshot = manifest.snapshot(manifest.length)
        for part in filter(is_of_build, snapshot.parts):
            search_part(catalog, snapshot, part, None, found)
        if not found.spans:
            return None
        found.fill = fill_of(catalog, snapshot, found, None)
        return redacted_body(Rule(), found.spans, documents=found.documents, fill=found.fill, said={"build": build, **said})

    catalog.stream_log(name).append(decide)
    return sum(map(is_of_build, catalog.stream(name).parts))
