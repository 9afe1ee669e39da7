"""`phasemix annotator score --streams` and `rank`. Imports nothing heavy before a command runs."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamer.commands.options import add_executor, add_json, add_root
from streamer.commands.progress_line import ProgressLine
from streamer.commands.table import print_table

if TYPE_CHECKING:
    from streamer.catalog.catalog import Catalog
    from streamer.corpus.executors import Execution
    from streamer.scoring.trained import Trained


def add_rank(actions: Any) -> None:
    rank = actions.add_parser("rank", help="rank the documents of streams into tiers: scored@NAME/LANG/qNN")
    rank.add_argument("annotator", metavar="ANNOTATOR", help="NAME or NAME@VERSION")
    rank.add_argument("--streams", default="documents/*", metavar="GLOB", help="streams of documents (default: documents/*)")
    rank.add_argument("--as", dest="name", metavar="NAME", help="name the ranking (default: as the annotator)")
    which = rank.add_mutually_exclusive_group()
    which.add_argument("--tiers", type=int, default=20, metavar="N", help="cut N equal tiers (default: 20)")
    which.add_argument("--bounds", type=int, nargs="+", metavar="P", help="lower percentiles of the tiers, such as 80 50 0")
    add_where(rank)
    add_root(rank)
    add_json(rank)
    rank.set_defaults(run=run_rank)


def add_where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, metavar="N", help="how many tasks run at once (default: one for each core)")
    add_executor(parser)
    parser.add_argument(
        "--work",
        metavar="FOLDER",
        help="keep unfinished work here (default: below the root, or in the cache; all machines must see it)",
    )


def execution(options: argparse.Namespace) -> "Execution":
    """How many tasks run at once, and where. Raises: CorpusError."""
    from streamer.corpus.executors import Execution, cores
    from streamer.corpus.recipe import check

    workers = cores() if options.workers is None else options.workers
    check("workers", workers, 1, 1024, "change --workers")
    return Execution(tasks=1, workers=workers, executor=options.executor)


def score_missing(catalog: "Catalog", trained: "Trained", options: argparse.Namespace) -> list[Any]:
    """Scores what has no score by a version, with its progress."""
    from streamer.corpus.ranking.scoring import score_streams

    progress = ProgressLine(sys.stderr)
    try:
        work = Path(options.work) if options.work else None
        return score_streams(catalog, trained, options.streams, how=execution(options), work=work, progress=progress)
    finally:
        progress.end()


def run_score_streams(options: argparse.Namespace) -> int:
    import msgspec

    from streamer.catalog.catalog import Catalog
    from streamer.scoring.students import load_student
    from streamer.scoring.trained import load

    catalog = Catalog(options.root)
    trained = load(catalog, options.annotator)
    rows = [msgspec.to_builtins(one) for one in score_missing(catalog, trained, options)]
    if options.json or rows:
        print_table(rows, options.json)
    if options.json:
        return 0
    if not rows:
        print(f"All documents of {options.streams} have scores by {trained.label}.")
    student = load_student(catalog, trained.label) if trained.recipe.student is not None else None
    if student is not None:
        print(f"\nThe student of {trained.label} on documents that it had not seen:")
        print_table([{"language": name, **msgspec.to_builtins(one)} for name, one in student.agreement.items()], False)
    return 0


def run_rank(options: argparse.Namespace) -> int:
    import msgspec

    from streamer.catalog.catalog import Catalog
    from streamer.catalog.names import check_word
    from streamer.corpus.ranking.tiers import check_ranking, rank
    from streamer.scoring.quality_bins import equal_bounds
    from streamer.scoring.trained import load

    catalog = Catalog(options.root)
    trained = load(catalog, options.annotator)
    name = check_word(options.name or trained.name, what="ranking")
    bounds = tuple(options.bounds) if options.bounds else equal_bounds(options.tiers)
    check_ranking(catalog, trained.label, name=name, bounds=bounds)
    score_missing(catalog, trained, options)
    progress = ProgressLine(sys.stderr)
    try:
        tiers = rank(
            catalog,
            trained.label,
            options.streams,
            name=name,
            bounds=bounds,
            how=execution(options),
            work=Path(options.work) if options.work else None,
            progress=progress,
        )
    finally:
        progress.end()
    print_table([msgspec.to_builtins(tier) for tier in tiers], options.json)
    return 0
