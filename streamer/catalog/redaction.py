"""Redaction: which documents of a stream must not be given any more, as entries of its log say. Format stream/3.

An entry of format stream/4 says where a part lies that was written anew without them.

Always holds: an entry names the very tokens, so that nothing is searched while batches are read; no row moves; an entry is
never taken back.

How: rows and tokens lie in an entry in columns, sorted by row, compressed.
"""

import base64
import zlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from streamer.errors import StreamError
from streamer.store.formats import check_format
from streamer.store.log import Bodies, Body

FORMAT = "stream/3"
EVENT = "redacted"
COMPACTED, COMPACTED_FORMAT = "compacted", "stream/4"
RULES = "redactions"  # the log of the rules of a root
RULE_FORMAT = "redaction/1"
PART_SHIFT = 32
WORDS = {"documents": "document", "repositories": "repository", "licenses": "license"}
Ints = npt.NDArray[np.int64]


class Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """What must go: documents by their ids, all of some repositories, all under some licences."""

    documents: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()

    @cached_property
    def columns(self) -> dict[str, frozenset[str]]:
        """The columns of a sidecar or of documents that the rule looks at, each with the values that match."""
        found = {column: frozenset(getattr(self, name)) for name, column in WORDS.items()}
        return {column: values for column, values in found.items() if values}

    def matches(self, row: Mapping[str, Any]) -> bool:
        return any(row.get(column) in values for column, values in self.columns.items())

    def __str__(self) -> str:
        said = []
        for name, column in WORDS.items():
            values = getattr(self, name)
            if values:
                said.append(f"{column} {values[0]}" if len(values) == 1 else f"{len(values):,} {name}")
        return ", ".join(said)


class Span(NamedTuple):
    """Tokens [start, end) of a row of a part; of a stream of documents the whole row, as (0, 0)."""

    row: int
    start: int
    end: int


class Redaction(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. `number`: its own in the stream's log; `spans` by part id; `documents`: how many there are in them.

    `fill`: the id that the tokens are given as, that of the end of a document; None in a stream of documents.
    """

    number: int
    rule: Rule
    documents: int
    spans: dict[str, str]
    fill: int | None = None
    by: str | None = None
    why: str | None = None
    at_s: float | None = None

    @property
    def columns(self) -> dict[str, Ints]:
        """(spans, 3) rows, starts and ends by part id."""
        return {part: unpack(text) for part, text in self.spans.items()}


def redacted_body(
    rule: Rule, spans: Mapping[str, Iterable[Span]], *, documents: int, fill: int | None, said: Mapping[str, Any]
) -> Body:
    """The body of an entry. `said`: `by`, `why` and `at_s`, those that there are."""
    packed = {part: pack(found) for part, rows in spans.items() if (found := list(rows))}
    body: Body = {"format": FORMAT, "event": EVENT, "rule": msgspec.to_builtins(rule), "documents": documents, **said}
    return {**body, "spans": packed, **({} if fill is None else {"fill": fill})}


def read_redaction(number: int, body: Body) -> Redaction:
    """Raises: KeyError, ValueError and their kin for a body that cannot be understood."""
    fields = {name: body[name] for name in Redaction.__struct_fields__ if name in body}
    found = msgspec.convert({**fields, "number": number}, Redaction)
    _ = found.columns
    return found


def read_rule(body: Body) -> Rule:
    return msgspec.convert(body["rule"], Rule)


def read_rules(bodies: Bodies) -> list[Rule]:
    """Those of the log of a root's rules. Raises: StreamError for a format that is not known, LogError."""
    found = []
    for number, body in enumerate(bodies):
        with bodies.understood(number):
            check_format(StreamError, f"log {RULES}", body["format"], RULE_FORMAT)
            found.append(read_rule(body))
    return found


def pack(spans: Iterable[Span]) -> str:
    table = np.array(sorted(spans), "<i4").reshape(-1, 3)
    return base64.b64encode(zlib.compress(table.T.tobytes())).decode()


def unpack(text: str) -> Ints:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i4").reshape(3, -1).T.astype(np.int64)


class Redacted:
    """What some redactions of a stream cover. `numbers`: of the parts' entries, by part id."""

    def __init__(self, redactions: Iterable[Redaction], numbers: Mapping[str, int]) -> None:
        columns = [np.zeros((0, 4), np.int64)]
        for redaction in redactions:
            for part, spans in redaction.columns.items():
                fill = np.full((len(spans), 1), redaction.fill or 0)
                keys = numbers[part] << PART_SHIFT | spans[:, :1]
                columns.append(np.concatenate([keys, spans[:, 1:], fill], axis=1))
        table = np.concatenate(columns)
        self._keys, self._starts, self._ends, self._fill = table[np.argsort(table[:, 0], kind="stable")].T

    def __bool__(self) -> bool:
        return bool(len(self._keys))

    def has(self, part: int, row: int) -> bool:
        """Whether something of a row is redacted."""
        return len(self.spans(part, row)) > 0

    def spans(self, part: int, row: int) -> list[Span]:
        """Of one row of the part of an entry."""
        low, high = np.searchsorted(self._keys, [part << PART_SHIFT | row, (part << PART_SHIFT | row) + 1])
        return [Span(row, int(self._starts[at]), int(self._ends[at])) for at in range(low, high)]

    def covers(self, part: int, span: Span) -> bool:
        """Whether all tokens of a span are redacted."""
        return any(found.start <= span.start and span.end <= found.end for found in self.spans(part, span.row))

    def blank(self, tokens: npt.NDArray[Any], parts: Ints, rows: Ints) -> npt.NDArray[np.bool_] | None:
        """Fills in what is redacted of (n, seq_len) tokens of n rows, in place; where, or None for nowhere."""
        keys = parts.astype(np.int64) << PART_SHIFT | rows
        low, high = np.searchsorted(self._keys, keys, "left"), np.searchsorted(self._keys, keys, "right")
        hit = np.flatnonzero(high > low)
        if not len(hit):
            return None
        mask = np.zeros(tokens.shape, np.bool_)
        for place in hit.tolist():
            for at in range(low[place], high[place]):
                span = slice(int(self._starts[at]), int(self._ends[at]))
                tokens[place, span], mask[place, span] = self._fill[at], True
        return mask


def refuse_redacted(rules: Iterable[Rule], rows: Iterable[Mapping[str, Any]]) -> None:
    """Raises: StreamError when a rule of the root takes away one of the documents of a part that is to be published."""
    together = merge(rules)
    row = next(filter(together.matches, rows), None) if together.columns else None
    if row is not None:
        where = f"{row.get('repository')}/{row.get('path')}"
        raise StreamError(
            f"document {row.get('document')} ({where}, licence {row.get('license')}) is redacted under this root; leave it "
            "out of the part. phasemix streams redact --list shows by which rule"
        )


def merge(rules: Iterable[Rule]) -> Rule:
    """One rule that matches whatever one of them matches."""
    kept = list(rules)
    return Rule(**{name: tuple({value for rule in kept for value in getattr(rule, name)}) for name in WORDS})
