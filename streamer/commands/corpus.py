"""`phasemix corpus | tokenizer | annotator`. Imports nothing heavy before a command runs."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamer.commands.annotators import add_annotator
from streamer.commands.options import add_executor, add_json, add_root, add_why, person
from streamer.commands.progress_line import ProgressLine, Stage
from streamer.commands.table import print_table
from streamer.commands.tokenizers import add_tokenizer


def add_corpus(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    ingest = actions.add_parser("ingest", help="read, filter, deduplicate, score, pack and publish")
    ingest.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="folders, archives, Parquet or JSON Lines files; paths or addresses in an object store",
    )
    ingest.add_argument("--recipe", metavar="FILE", help="settings in TOML; SOURCE takes the place of its sources")
    ingest.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help="change one setting (a TOML value)"
    )
    ingest.add_argument("--workers", type=int, metavar="N", help="how many tasks run at once (takes the recipe's place)")
    ingest.add_argument(
        "--tasks", type=int, metavar="N", help="in how many tasks the sources are read (default: 4 a worker)"
    )
    add_executor(ingest)
    ingest.add_argument(
        "--work",
        metavar="FOLDER",
        help="keep unfinished work here (default: corpus/work in the root; all machines must see it)",
    )
    add_root(ingest)
    add_json(ingest)
    ingest.set_defaults(run=run_ingest)
    repack = actions.add_parser("repack", help="pack the samples again, into samples of another length, without the sources")
    repack.add_argument("--seq-len", type=int, required=True, metavar="N", help="set how many tokens a sample has")
    repack.add_argument("--streams", metavar="GLOB", help="pack these streams (default: raw/*, scored/* and heldout/*)")
    add_root(repack)
    add_json(repack)
    repack.set_defaults(run=run_repack)
    give_up = actions.add_parser("give-up", help="give up an ingest that was broken off, and take back what it published")
    give_up.add_argument("--work", metavar="FOLDER", help="remove its unfinished work in this folder")
    add_why(give_up)
    add_root(give_up)
    give_up.set_defaults(run=run_give_up)
    stats = actions.add_parser("stats", help="what the corpus under a root consists of")
    stats.add_argument(
        "--rejected",
        metavar="REASON",
        nargs="?",
        const="",
        help="show files that were dropped for a reason, such as generated; without REASON, of every reason",
    )
    stats.add_argument("--contaminated", action="store_true", help="list files that were dropped for tasks of benchmarks")
    stats.add_argument("--sample", type=int, default=10, metavar="N", help="show so many of them (default: 10)")
    add_root(stats)
    add_json(stats)
    stats.set_defaults(run=run_stats)


NOUNS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "corpus": add_corpus,
    "tokenizer": add_tokenizer,
    "annotator": add_annotator,
}


SHOWN_LINES, SHOWN_CHARACTERS = 12, 120  # of a file that was dropped

# What the stages of an ingest cost beside each other, measured on two cores; an item is a file.
INGEST = (
    Stage("read", 0.0, 0.01),
    Stage("deduplicate", 0.0, 0.001),
    Stage("choose", 0.1),
    Stage("tokenizer", 5.0),
    Stage("load writer", 9.0),
    Stage("annotate", 30.0),
    Stage("student", 3.0),
    Stage("score", 0.0, 0.005),
    Stage("pack", 0.0, 0.015),
    Stage("publish", 1.0),
)


def read_changes(pairs: list[str]) -> dict[str, Any]:
    """KEY=VALUE pairs, the value in TOML; a bare word is a string. Raises: CorpusError."""
    from streamer.documents.toml_text import parse_value
    from streamer.errors import CorpusError, TomlError

    found: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise CorpusError(f"--set {pair} has no '='; write --set KEY=VALUE, for example --set seq_len=256")
        try:
            found[key] = parse_value(value)
        except TomlError as error:
            raise CorpusError(f"--set {key}: {error.reason}") from error
    return found


def run_ingest(args: argparse.Namespace) -> int:
    from streamer.catalog.catalog import Catalog
    from streamer.corpus.parts.publication import settled_keys, unfinished_build
    from streamer.corpus.recipe import load_recipe, parse_recipe

    catalog = Catalog(args.root)
    settled = settled_keys(catalog)
    changes = read_changes(args.changes)
    if args.sources or not args.recipe:
        changes["sources"] = [{"path": path} for path in args.sources]
    if args.workers is not None:
        changes["workers"] = args.workers
    recipe = (
        load_recipe(args.recipe, settled=settled, **changes) if args.recipe else parse_recipe("", settled=settled, **changes)
    )
    from streamer.corpus.annotation import given_annotator, overruled
    from streamer.corpus.pipeline import build

    given = given_annotator(catalog, recipe)
    if given is not None and (keys := overruled(recipe, given)):
        print(
            f"phasemix: annotator {given.label} of this root scores all its ingests, so {', '.join(keys)} of the recipe "
            "is not used. Rank by another annotator beside it with phasemix annotator rank",
            file=sys.stderr,
        )
    if unfinished := unfinished_build(catalog):
        print(
            f"phasemix: ingest {unfinished} was broken off while its parts were published; it is completed first, and what "
            "its sources have more since is added by the next ingest",
            file=sys.stderr,
        )
    progress = ProgressLine(sys.stderr, stages=INGEST)
    try:
        report = build(
            catalog,
            recipe,
            tasks=args.tasks,
            executor=args.executor,
            work=Path(args.work) if args.work else None,
            progress=progress,
        )
    finally:
        progress.end()
    print_report(report, args.json)
    return 0


def print_report(report: Any, as_json: bool) -> None:
    import msgspec

    if as_json:
        json.dump(msgspec.to_builtins(report), sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    languages = sorted(report.languages.items())
    print_table([{"language": name, **msgspec.structs.asdict(found)} for name, found in languages], False)
    print()
    if report.dropped:
        print_table([{"dropped because": reason, "files": count} for reason, count in report.dropped.items()], False)
    else:
        print("No file was dropped.")
    if report.replaced:
        print()
        print_table([{"replaced": kind, "places": count} for kind, count in report.replaced.items()], False)
    unheld = [name for name, found in languages if found.documents and not found.heldout_documents]
    if unheld:
        print(f"\nnothing is held out of {', '.join(unheld)}: raise heldout_share, or give more repositories of them")
    if report.padding:
        padding = sum(report.padding.values())
        print(
            f"\n{padding:,} tokens of padding in {len(report.padding)} streams; all tokens of all documents are in samples"
        )
    print(
        f"{report.documents:,} documents of {report.files:,} files, {report.heldout_documents:,} held out; "
        f"tokenizer {report.tokenizer} ({report.vocabulary:,} ids); annotator {report.annotator}, ROC-AUC "
        f"{report.annotator_auc:.3f}, scored {report.annotated_files:,} of them itself; "
        f"{report.seconds.get('total', 0):.0f} s"
    )
    if report.agreement:
        print("\nHow far its student, which scored the others, agrees with it on documents that it had not seen:")
        rows = [{"language": name or "all", **one} for name, one in msgspec.to_builtins(report.agreement).items()]
        rows = [
            {key: value for key, value in row.items() if key != "kept" or any(one["kept"] for one in rows)} for row in rows
        ]
        print_table(rows, False)


def run_repack(args: argparse.Namespace) -> int:
    import msgspec

    from streamer.catalog.catalog import Catalog
    from streamer.corpus.repacking import repack

    progress = ProgressLine(sys.stderr)
    try:
        found = list(repack(Catalog(args.root), args.seq_len, glob=args.streams, progress=progress))
    finally:
        progress.end()
    print_table([msgspec.to_builtins(one) for one in found], args.json)
    return 0


def run_give_up(args: argparse.Namespace) -> int:
    from streamer.catalog.catalog import Catalog
    from streamer.corpus.completion import give_up

    work = Path(args.work) if args.work else None
    said = {name: value for name, value in (("by", person()), ("why", args.why)) if value is not None}
    build, parts = give_up(Catalog(args.root), work, said=said)
    print(f"ingest {build} is given up; of its {parts:,} parts nothing is read any more. The next ingest begins anew.")
    return 0


def run_stats(args: argparse.Namespace) -> int:
    from streamer.catalog.catalog import Catalog
    from streamer.corpus.parts.publication import count_builds, last_report
    from streamer.errors import CorpusError

    catalog = Catalog(args.root)
    report = last_report(catalog)
    if report is None:
        raise CorpusError(f"root {args.root} has no finished corpus; build one with phasemix corpus ingest")
    if args.contaminated:
        print_contaminated(catalog, report, args.json)
    elif args.rejected is None:
        print_report(report, args.json)
        builds = count_builds(catalog)
        if builds > 1 and not args.json:
            print(f"this is the last of {builds} ingests into this root; all streams are shown by phasemix streams list")
    else:
        print_rejected(catalog, report, args)
    return 0


def print_rejected(catalog: Any, report: Any, args: argparse.Namespace) -> None:
    """Shows files that were dropped, with what was measured and their first lines. Raises: CorpusError."""
    import msgspec

    from streamer.corpus.rejected import read_rejected
    from streamer.errors import CorpusError

    if args.rejected and args.rejected not in report.dropped:
        known = f"files were dropped as {', '.join(report.dropped)}" if report.dropped else "no file was dropped at all"
        raise CorpusError(f"no file was dropped as {args.rejected} here; {known}")
    if args.sample < 1:
        raise CorpusError(f"--sample {args.sample} shows nothing; give a number from 1 on")
    reasons = [args.rejected] if args.rejected else [*report.dropped]
    found = {reason: read_rejected(catalog.store, report.build, reason, args.sample) for reason in reasons}
    if args.json:
        json.dump([msgspec.to_builtins(record) for records in found.values() for record in records], sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    if not reasons:
        print("No file was dropped.")
    for reason, records in found.items():
        print(f"{len(records):,} of {report.dropped[reason]:,} files that were dropped as {reason}\n")
        for record in records:
            values = ", ".join(f"{name} {value}" for name, value in record.values.items())
            print(f"{record.repository}: {record.path} ({record.language or 'no language'}) {values}")
            for line in record.text.splitlines()[:SHOWN_LINES]:
                print(f"    {printable(line[:SHOWN_CHARACTERS])}")
            print()


def print_contaminated(catalog: Any, report: Any, as_json: bool) -> None:
    """Lists the files that were dropped for tasks of benchmarks. Raises: CorpusError when none was looked for."""
    from streamer.corpus.rejected import read_rejected
    from streamer.documents.text import DropReason
    from streamer.errors import CorpusError

    if not report.contamination:
        raise CorpusError(
            f"Build {report.build} looked for no benchmarks. Name some in [decontamination] sets of the recipe."
        )
    count = report.dropped.get(DropReason.CONTAMINATED, 0)
    found = read_rejected(catalog.store, report.build, DropReason.CONTAMINATED, max(1, count))
    rows = [
        {
            "document": record.values["document"],
            "file": f"{record.repository}: {record.path}",
            "task": record.values["task"],
            "score": record.values["score"],
            "found": record.values["found"],
        }
        for record in found
    ]
    if rows or as_json:
        print_table(rows, as_json)
    else:
        print("No file was dropped: none has a task of the benchmarks in it.")


def printable(line: str) -> str:
    """A line of a stranger's file without what a terminal obeys."""
    return "".join(letter if letter.isprintable() else " " for letter in line)
