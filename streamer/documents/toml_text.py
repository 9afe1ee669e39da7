"""TOML that strangers wrote: bounded before it is parsed.

Always holds: `tomllib` never sees a text that is longer, has more words, or nests deeper than the limits below, so a text
costs time and memory in proportion to its length. (`tomllib` keeps every beginning of a dotted key: a key of 100,000 words
took 40 GB.) Whatever is wrong with a text is a TomlError.

The scan before parsing knows strings, comments, brackets and words, and nothing else of the grammar. Where a text is
malformed the scan may read it differently from `tomllib`, but never before the place at which `tomllib` gives up.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

from streamer.errors import TomlError

MOST_CHARACTERS = 1 << 20
MOST_WORDS = 50_000  # keys and values together, each word of a dotted key counted
MOST_DOTTED = 8  # words of one dotted key
MOST_NESTED = 8  # lists and inline tables in each other

TOKEN = re.compile(
    r"(?P<blank>[ \t\r]++|\#[^\n]*+)"
    r"|(?P<line>\n)"
    r'|(?P<word>"""(?:[^"\\]|\\.|"(?!""))*+"""(?:"(?!"")|""(?!"))?'
    r"|'''(?:[^']|'(?!''))*+'''(?:'(?!'')|''(?!'))?"
    r'|"(?!"")(?:[^"\\\n]|\\.)*+"'
    r"|'(?!'')[^'\n]*+'"
    r"|[^\s\"'#.,=\[\]{}]++)"
    r"|(?P<dot>\.)"
    r"|(?P<open>[\[{])"
    r"|(?P<close>[\]}])"
    r"|(?P<sign>[=,])",
    re.DOTALL,
)
LINE = re.compile(r"line (\d+)")


def read_text(path: str | Path) -> str:
    """The text of a file, without a byte order mark. Raises: OSError, UnicodeDecodeError, TomlError for too long a file."""
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        text = file.read(MOST_CHARACTERS + 1)
    if len(text) > MOST_CHARACTERS:
        raise TomlError(1, f"the text has more than {MOST_CHARACTERS:,} characters; shorten it")
    return text


def parse_toml(text: str) -> dict[str, Any]:
    """The table that a TOML text means. Raises: TomlError with the line, when the limits or the grammar refuse it."""
    if len(text) > MOST_CHARACTERS:
        raise TomlError(1, f"the text has {len(text):,} characters, at most {MOST_CHARACTERS:,} are read; shorten it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TomlError(
            line_at(text, error.start), "half a surrogate pair cannot be read as text; save the file as UTF-8"
        ) from error
    check_bounds(text)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = LINE.search(str(error))
        line = int(found[1]) if found else text.count("\n") + (not text.endswith("\n"))
        raise TomlError(line, str(error).replace("\n", " "), grammar=True) from error
    except ValueError as error:
        raise TomlError(1, f"a number has too many digits: {error}; write a smaller one") from error


def parse_value(text: str) -> Any:
    """The value of a KEY=VALUE option: TOML, or else the text itself as a bare word. Raises: TomlError beyond the limits."""
    try:
        table = parse_toml(f"value = {text}")
    except TomlError as error:
        if error.grammar:
            return text.strip()
        raise
    return table["value"] if len(table) == 1 else text.strip()


def check_bounds(text: str) -> None:
    """Raises: TomlError for a text with more words, longer dotted keys or deeper nesting than the limits."""
    place = words = dotted = depth = 0
    before = "line"
    while (found := TOKEN.match(text, place)) is not None:
        kind, start, place = str(found.lastgroup), place, found.end()
        if kind == "blank":
            continue
        if kind == "word":
            words += 1
            dotted = dotted + 1 if before == "dot" else 1
        elif kind in ("open", "close"):
            depth = depth + 1 if kind == "open" else max(0, depth - 1)
        before = kind
        if words > MOST_WORDS:
            refuse(text, start, f"the text has more than {MOST_WORDS:,} keys and values; shorten it")
        if dotted > MOST_DOTTED:
            refuse(text, start, f"a dotted key has more than {MOST_DOTTED} words; write a shorter one")
        if depth > MOST_NESTED:
            refuse(text, start, f"values are nested too deep; at most {MOST_NESTED} levels are read, write a flat table")


def refuse(text: str, place: int, reason: str) -> None:
    raise TomlError(line_at(text, place), reason)


def line_at(text: str, place: int) -> int:
    """The line, from 1, on which a character stands."""
    return text.count("\n", 0, place) + 1
