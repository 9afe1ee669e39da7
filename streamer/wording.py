"""How names, values and errors are put into messages: short whatever was sent, and on one line.

Always holds: nothing that is said here steers a terminal.
"""

import difflib
from collections.abc import Iterable
from typing import Any

LONGEST = 60  # characters of a name or a value
MOST_LISTED = 12
LONGEST_LINE = 2000  # characters of what a command says of an error


def one_line(error: object) -> str:
    """What an error says as one line that a terminal shows: what strangers sent is in it, of any length and characters."""
    said = str(error)
    if len(said) > LONGEST_LINE:
        half = LONGEST_LINE // 2
        said = f"{said[:half]} ... {said[-half:]}"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in said)


def plain(word: str) -> str:
    return word if word.isprintable() and word and len(word) <= LONGEST else shown(word)


def shown(value: Any) -> str:
    """A value in an error: one line, not long."""
    try:
        text = repr(value)
    except ValueError:
        text = f"a number of {value.bit_length()} bits"
    except RecursionError:
        text = "a value of many levels"
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def listed(words: Iterable[str], joint: str = ", ") -> str:
    """Words in an error: the first dozen, each kept short, and how many more there are."""
    found = list(words)
    more = [f"and {len(found) - MOST_LISTED:,} more"] if len(found) > MOST_LISTED else []
    return joint.join([*map(plain, found[:MOST_LISTED]), *more])


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'share'?` or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def without_secrets(url: str) -> str:
    """An address without its user and password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if rest else url


def duration(seconds: float | None) -> str | None:
    """`90 s`, `2.5 h`, `12 d`; None for what is not known."""
    if seconds is None:
        return None
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
