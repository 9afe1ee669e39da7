"""What corpora of code call the columns of a document: our own names, The Stack v1 and StarCoderData, The Stack v2 and
Stack-Edu, github-code.

Always holds: of several names for one thing the first in the table that a row has decides; a row is never refused here.
"""

import math
from datetime import UTC, datetime
from typing import Any, NamedTuple

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
STANDING = {
    "stars": ("max_stars_count", "star_events_count"),
    "date": ("max_stars_repo_stars_event_min_datetime", "committer_date", "revision_date"),
}
COLUMNS = tuple(dict.fromkeys(name for names in KNOWN.values() for name in names))
STANDING_COLUMNS = tuple(name for names in STANDING.values() for name in names)
LONGEST_WORD = 4096  # characters of a path, a repository, a licence or a language
MOST_LICENSES = 8
MOST_STARS, LATEST_S = 1 << 40, 1 << 40


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


class Standing(NamedTuple):
    """What says which of several copies is the original: the stars of its repository, and when it was first seen.

    `stars`: 0 where they are not known. `date_s`: seconds since 1970, infinite where it is not known.
    """

    stars: int = 0
    date_s: float = math.inf


UNKNOWN_STANDING = Standing()


def standing(row: Row) -> Standing:
    """The standing of a row. What is no number of stars or no date is not known."""
    stars = next((row[name] for name in STANDING["stars"] if row.get(name) is not None), 0)
    date = next((row[name] for name in STANDING["date"] if row.get(name) is not None), math.inf)
    is_count = isinstance(stars, int | float) and 0 < stars < MOST_STARS
    return Standing(int(stars) if is_count else 0, seconds_of(date))


def seconds_of(date: Any) -> float:
    """Seconds since 1970 of a number of them or of a text in ISO 8601; what is not after 1970 was never known."""
    if isinstance(date, str):
        try:
            found = datetime.fromisoformat(date)
        except ValueError:
            return math.inf
        date = (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    return float(date) if isinstance(date, int | float) and 0 < date < LATEST_S else math.inf


def has(names: list[str], field: str) -> bool:
    """Whether one of a file's columns is that field."""
    return any(name in names for name in KNOWN[field])


def clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
