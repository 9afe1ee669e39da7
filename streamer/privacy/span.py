"""A place in a text that is private, and of which kind it is."""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What is private about a place. The order decides where places overlap: the first of the kinds names the whole."""

    KEY = "key"
    PASSWORD = "password"
    EMAIL = "email"
    IP_ADDRESS = "ip_address"


class Span(NamedTuple):
    """Characters `start` to `end` (exclusive) of a text."""

    start: int
    end: int
    kind: Kind


RANK = {kind: place for place, kind in enumerate(Kind)}


def merge(spans: list[Span]) -> list[Span]:
    """The spans in order, those that overlap joined into one of the kind that comes first in `Kind`."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        if found and span.start < found[-1].end:
            last = found.pop()
            kind = min(last.kind, span.kind, key=RANK.__getitem__)
            span = Span(last.start, max(last.end, span.end), kind)
        found.append(span)
    return found
