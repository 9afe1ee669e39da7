"""How a benchmark says what it found: a table and its targets, or one JSON object; exit code 1 below a target."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from streamer.commands.table import print_table


class Report(NamedTuple):
    """`rows` of the table; `figures`, the keys at the JSON's top level; `targets` of figures, such as (">=", 0.85)."""

    title: str
    rows: list[dict[str, Any]]
    figures: dict[str, Any]
    targets: dict[str, tuple[str, float]]

    def is_met(self, name: str) -> bool:
        sign, target = self.targets[name]
        found = float(self.figures[name])
        return found >= target if sign == ">=" else found <= target if sign == "<=" else found < target


def main(measure: Callable[[], Report], description: str | None) -> int:
    """Measures and prints; 0 when every target is met."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    options = parser.parse_args()
    return show(measure(), as_json=options.json)


def show(report: Report, *, as_json: bool) -> int:
    """Prints; 0 when every target is met."""
    met = {name: report.is_met(name) for name in report.targets}
    if as_json:
        targets = {name: " ".join(map(str, target)) for name, target in report.targets.items()}
        json.dump({**report.figures, "targets": targets, "met": met, "rows": report.rows}, sys.stdout, indent=1)
        print()
    else:
        print(f"{report.title}; {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
        print_table(report.rows, as_json=False)
        for name, (sign, target) in report.targets.items():
            found = report.figures[name]
            print(f"{name} {found:,.4g} ({sign} {target:,g}): {'met' if met[name] else 'MISSED'}")
    return 0 if all(met.values()) else 1
