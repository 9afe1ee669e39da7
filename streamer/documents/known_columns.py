"""What corpora of code call the columns of a document: our own names, The Stack v1 and StarCoderData, The Stack v2 and
Stack-Edu, github-code.

Always holds: of several names for one thing the first in the table that a row has decides; a row is never refused here.
"""

from typing import Any

Row = dict[str, Any]

KNOWN = {
    "text": ("text", "content", "code"),
    "path": ("path", "max_stars_repo_path"),
    "repository": ("repository", "repo_name", "max_stars_repo_name"),
    "language": ("language", "lang"),
    "license": ("license", "licenses", "max_stars_repo_licenses", "detected_licenses"),
    "score": ("score",),
    "encoding": ("encoding", "src_encoding"),
    "flags": ("flags",),
    "replaced": ("replaced",),
    "content_id": ("blob_id",),
}
COLUMNS = tuple(dict.fromkeys(name for names in KNOWN.values() for name in names))
LONGEST_WORD = 4096  # characters of a path, a repository, a licence or a language
MOST_LICENSES = 8


def find(row: Row, field: str) -> Any:
    """The value of a field under whichever name a row has it; None for none."""
    return next((row[name] for name in KNOWN[field] if row.get(name) is not None), None)


def word(row: Row, field: str) -> str:
    """A field as text that can be written as UTF-8, licences of a list joined by AND; empty for none."""
    value = find(row, field)
    if isinstance(value, list):
        value = " AND ".join(dict.fromkeys(str(one) for one in value[:MOST_LICENSES] if isinstance(one, str) and one))
    if isinstance(value, bytes):
        return value[:LONGEST_WORD].decode("utf-8", "backslashreplace")
    return clean(str(value)[:LONGEST_WORD]) if isinstance(value, str | int | float) and value else ""


def has(names: list[str], field: str) -> bool:
    """Whether one of a file's columns is that field."""
    return any(name in names for name in KNOWN[field])


def clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
