"""How results are printed: tables that fit the terminal, or JSON.

Always holds: colour only repeats what a word says, goes to terminals alone, and never where NO_COLOR is set.
"""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any, TextIO

BOLD, GREEN, YELLOW, RED = "1", "32", "33", "31"
TONES = {
    "ok": GREEN, "running": GREEN, "live": GREEN, "open": GREEN, "whole": GREEN, "note": YELLOW, "paused": YELLOW,
    "starting": YELLOW, "draining": YELLOW, "drained": YELLOW, "lost": RED, "failed": RED, "mend": RED, "damaged": RED,
    "missing": RED,
}  # fmt: skip
LEAST_WIDTH = 8  # to which a column of text is shortened before whole columns are left out


def print_table(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    """Prints rows under the first row's keys, as wide as the terminal if it is one, or as a JSON list."""
    if as_json:
        print_json(list(rows))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print("\n".join(table_lines(rows, width, colour=has_colour(sys.stdout))))


def has_colour(out: TextIO) -> bool:
    """Whether a person reads it on a terminal that shows colour. NO_COLOR and TERM=dumb say that it does not."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, tone: str) -> str:
    """The text between a terminal's signs of a tone; it takes as much room as before."""
    return f"\x1b[{tone}m{text}\x1b[0m"


def painted(cell: str) -> str:
    """A cell in the tone of its first word, if that is a state."""
    words = cell.split(maxsplit=1)
    tone = TONES.get(words[0].rstrip(":")) if words else None
    return cell if tone is None else paint(cell, tone)


def print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=1)
    sys.stdout.write("\n")


def table_lines(rows: Sequence[dict[str, Any]], width: int | None = None, *, colour: bool = False) -> list[str]:
    """The lines of a table, none longer than `width` characters where that can be. With `colour` titles are bold.

    Text is shortened in its middle, the longest column first; numbers never are. What then still does not fit is left out
    from the right, and the last line names it.
    """
    if not rows:
        return ["none"]
    names = list(rows[0])
    numeric = {name: all(isinstance(row.get(name), int | float | None) for row in rows) for name in names}
    cells = {name: [name, *(show(row.get(name)) for row in rows)] for name in names}
    natural, kept = {name: max(map(len, column)) for name, column in cells.items()}, len(names)
    widths = shrink(natural, numeric, width)
    while width is not None and kept > 1 and line_length(widths) > width:
        kept -= 1
        widths = shrink({name: natural[name] for name in names[:kept]}, numeric, width)
    left_out = names[kept:]
    lines = []
    for place in range(len(rows) + 1):
        padded = {
            name: cells[name][place].rjust(size) if numeric[name] else shorten(cells[name][place], size).ljust(size)
            for name, size in widths.items()
        }
        if colour and place and "state" in padded:
            padded["state"] = painted(padded["state"])
        line = "  ".join(padded.values()).rstrip()
        lines.append(paint(line, BOLD) if colour and not place else line)
    return [*lines, f"(no room for {', '.join(left_out)}; --json has all)"] if left_out else lines


def line_length(widths: dict[str, int]) -> int:
    return sum(widths.values()) + 2 * (len(widths) - 1)


def shrink(widths: dict[str, int], numeric: dict[str, bool], width: int | None) -> dict[str, int]:
    """The widths with columns of text made narrower, the widest first, until the line fits or they are at their least."""
    found = dict(widths)
    while width is not None and line_length(found) > width:
        text = [name for name, size in found.items() if not numeric[name] and size > LEAST_WIDTH]
        if not text:
            break
        found[max(text, key=lambda name: found[name])] -= 1
    return found


def shorten(text: str, width: int) -> str:
    """The text, or its two ends around an ellipsis."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def show(value: Any) -> str:
    """One cell: thousands separated, four decimals, empty for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if isinstance(value, float) else one_line(str(value))


def short(count: int) -> str:
    """A count as people say it, with three digits: `9,999`, `1.36M`, `12.5B`."""
    if abs(count) < 10_000:
        return f"{count:,}"
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6)):
        if abs(count) >= 0.9995 * size:
            return f"{count / size:.3g}{unit}" if abs(count) < 999.5 * size else f"{count / size:,.0f}{unit}"
    return f"{count / 1000:.3g}K"


def one_line(text: str) -> str:
    """The text with a space for what would end its line or steer a terminal."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
