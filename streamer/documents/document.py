"""One source file as the corpus keeps it.

Always holds: a document is immutable; its id names repository, path and text (`document_id`), so equal ids mean equal
documents.
"""

from __future__ import annotations

import msgspec
import xxhash

FIRST_COLUMNS = {  # of the first format; parts that have these and only some of the others are read too
    "text": "str",
    "path": "str",
    "repository": "str",
    "language": "str",
    "license": "str",
    "document": "str",
    "score": "float64",
}
COLUMNS = {**FIRST_COLUMNS, "encoding": "str", "flags": "str", "copies": "int", "replaced": "str"}


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A source file with where it came from. `COLUMNS` are its fields as MDS columns; a score that is None is NaN there.

    `document` is the id (32 hex digits), `score` the annotator's number (higher is better) or None when none was given.
    `encoding`: what the file was written in before it became text. `flags`: those of generated, vendored, test and
    documentation that it is, divided by blanks. `copies`: how many files it stands for, duplicates and itself together.
    `replaced`: at how many places what is private was replaced in the text, by kind, such as `key=1 email=2`.
    """

    text: str
    path: str
    repository: str
    language: str
    license: str
    document: str
    score: float | None = None
    encoding: str = "utf-8"
    flags: str = ""
    copies: int = 1
    replaced: str = ""


def document_id(repository: str, path: str, text: str) -> str:
    """The xxh3-128, in hex, of what tells a document from all others."""
    return xxhash.xxh3_128_hexdigest("\0".join((repository, path, text)).encode("utf-8", "surrogatepass"))
