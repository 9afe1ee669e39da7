"""JSON Lines that anyone wrote: one object a line, each line bounded before it is read.

Always holds: a line that is too long, is no UTF-8, is no JSON or is no object is yielded as a Bad, never raised; no more
than one line is held.
"""

import json
from collections.abc import Iterator
from enum import Enum
from typing import Any, Protocol

MOST_LINE_BYTES = 1 << 24
SKIPPED_BYTES = 1 << 16  # of a line that is too long, at once
Row = dict[str, Any]


class Lines(Protocol):
    """A file of bytes, compressed or not (for annotations)."""

    def readline(self, size: int, /) -> bytes: ...


class Bad(Enum):
    """Why a line has no row."""

    TOO_LONG = "too long"
    NOT_UTF8 = "not UTF-8"
    NO_OBJECT = "not a JSON object"


def read_json_lines(file: Lines) -> Iterator[tuple[int, Row | Bad]]:
    """The rows of a file with the numbers of their lines, from 1; blank lines are passed over. Raises: OSError."""
    number = 0
    while line := file.readline(MOST_LINE_BYTES):
        number += 1
        if len(line) == MOST_LINE_BYTES and not line.endswith(b"\n"):
            while (rest := file.readline(SKIPPED_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield number, Bad.TOO_LONG
        elif line.strip():
            yield number, parse_line(line)


def parse_line(line: bytes) -> Row | Bad:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Bad.NOT_UTF8
    except (ValueError, RecursionError):  # no JSON, a number of too many digits, lists nested too deep
        return Bad.NO_OBJECT
    return row if isinstance(row, dict) else Bad.NO_OBJECT
