"""Options that every subcommand has, and how results are printed. Imports nothing heavy."""

import argparse
import json
import os
import sys
from typing import Any


def add_root(parser: argparse.ArgumentParser) -> None:
    """Adds `--root`; `PHASEMIX_ROOT` is its default, and one of them must be there."""
    default = os.environ.get("PHASEMIX_ROOT") or None
    parser.add_argument(
        "--root",
        type=root_address,
        default=default,
        required=default is None,
        metavar="ROOT",
        help="the catalog: a directory or an s3, gs or azure address (default: PHASEMIX_ROOT)",
    )


def root_address(text: str) -> str:
    """The address, which may not be empty: that would mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; name a directory or an s3, gs or azure address")
    return text


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def print_table(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Prints rows under the first row's keys, or as a JSON list."""
    if as_json:
        json.dump(rows, sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    if not rows:
        print("none")
        return
    cells = [[show(row.get(name)) for name in rows[0]] for row in rows]
    widths = [max(len(name), *(len(line[place]) for line in cells)) for place, name in enumerate(rows[0])]
    numeric = [isinstance(value, int | float) for value in rows[0].values()]
    for line in [list(rows[0]), *cells]:
        padded = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        )
        print("  ".join(padded).rstrip())


def show(value: Any) -> str:
    """One cell: thousands separated, four decimals, empty for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
