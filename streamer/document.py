"""One source file as the corpus keeps it.

Always holds: a document is immutable; its id names repository, path and text, so equal ids mean equal documents.
"""

from __future__ import annotations

import msgspec


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A source file with where it came from.

    `document` is the id (32 hex digits), `score` the annotator's number (higher is better) or None when none was given.
    """

    text: str
    path: str
    repository: str
    language: str
    license: str
    document: str
    score: float | None = None
