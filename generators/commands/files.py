"""`phasemix generators show | rejected`: what engines wrote. Imports nothing heavy."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from streamer.commands.options import add_json, add_root
from streamer.commands.table import print_table

if TYPE_CHECKING:
    from mixer.pool.files import Values

SHOWN_LINES, SHOWN_CHARACTERS = 12, 120  # of a file that was rejected


def add_show(verbs: Any) -> None:
    show = verbs.add_parser("show", help="a file that an engine wrote: its text, and how it came to be")
    show.add_argument("file", metavar="FILE", help="its id, as phasemix runs trace and the dashboard show it")
    add_root(show)
    add_json(show)
    show.set_defaults(run=run_show)


def add_rejected(verbs: Any) -> argparse.ArgumentParser:
    rejected = verbs.add_parser("rejected", help="the last 200 files that a gate refused, and how they begin")
    rejected.add_argument("--reason", metavar="REASON", help="those refused for this reason alone, such as cut_off")
    rejected.add_argument("--most", type=int, default=10, metavar="N", help="show so many of them (default: 10)")
    add_root(rejected)
    add_json(rejected)
    rejected.set_defaults(run=run_rejected)
    parser: argparse.ArgumentParser = rejected
    return parser


def measures(values: "Values") -> list[str]:
    """What gates measured, a line each, with the limit beside its figure."""
    words = {"min": "at least", "least": "at least", "max": "at most"}
    limits = {name: side for name in values if (side := name.partition("_")[0]) in words}
    found = []
    for name, value in values.items():
        if name not in limits:
            beside = [f"{words[limits[one]]} {values[one]}" for one in limits if one.partition("_")[2] == name]
            found.append(f"{name} {value}" + (f" ({', '.join(beside)})" if beside else ""))
    return found


def run_show(options: argparse.Namespace) -> int:
    from generators.publishing.published_files import find_file
    from streamer.catalog.catalog import Catalog

    found = find_file(Catalog(options.root), options.file)
    if options.json:
        json.dump(found, sys.stdout, indent=1)
        sys.stdout.write("\n")
        return 0
    origin = found.pop("origin") or {}
    text = found.pop("text")
    measured = origin.pop("values", {})
    for name, value in [*found.items(), *origin.items()]:
        print(f"{name:16} {json.dumps(value) if isinstance(value, dict) else value}")
    for line in measures(measured):
        print(f"{'measured':16} {line}")
    print(f"--- text\n{text}", end="")
    return 0


def run_rejected(options: argparse.Namespace) -> int:
    import msgspec

    from generators.commands.queues import open_queue
    from generators.errors import GeneratorError

    kept = open_queue(options).rejected_files()
    reasons = sorted({file.reason for file in kept})
    if options.reason is not None and options.reason not in reasons:
        raise GeneratorError(
            f"none of the last {len(kept)} rejected files was refused as {options.reason}; the reasons there are "
            f"{', '.join(reasons) or 'none'}"
        )
    chosen = [file for file in kept if options.reason in (None, file.reason)][: options.most]
    if options.json:
        json.dump([msgspec.to_builtins(file) for file in chosen], sys.stdout, indent=1)
        sys.stdout.write("\n")
        return 0
    for file in chosen:
        print(f"--- {file.reason}: {file.language} by {file.recipe}, {file.model}, of seed {file.seed}, job {file.id}")
        print("".join(f"    {line}\n" for line in measures(file.values)), end="")
        print("\n".join(line[:SHOWN_CHARACTERS] for line in file.text.splitlines()[:SHOWN_LINES]))
    counts = {reason: sum(file.reason == reason for file in kept) for reason in reasons}
    print_table([{"reason": reason, "of the files kept": count} for reason, count in counts.items()], False)
    return 0
