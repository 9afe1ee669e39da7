"""`phasemix annotator`: list, train, evaluate, look, score. Imports nothing heavy before a command runs."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamer.commands.options import add_json, add_root
from streamer.commands.ranking import add_rank, add_where, run_score_streams
from streamer.commands.table import print_table

if TYPE_CHECKING:
    from streamer.scoring.trained import Trained

LINES = 30  # of a file that is looked at
FIGURES = ("auc", "low", "high", "by_length", "matched")


def add_annotator(parser: argparse.ArgumentParser) -> Any:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="list the annotators of a root, and the recipes that come with the package")
    listed.set_defaults(run=run_list)
    train = actions.add_parser("train", help="train an annotator by a recipe, and keep it as a version")
    train.add_argument("recipe", metavar="RECIPE", help="a name, such as hqins, or a TOML file")
    train.add_argument("--positives", nargs="+", metavar="GLOB", help="good files or .jsonl files, in place of the recipe's")
    train.add_argument("--embedder", metavar="NAME|FOLDER", help="the model that embeds, in place of the recipe's")
    train.add_argument("--files", type=int, metavar="N", help="random documents to read, in place of the recipe's")
    train.set_defaults(run=run_train)
    evaluate = actions.add_parser("evaluate", help="how well annotators tell a benchmark's solutions from documents")
    evaluate.add_argument("annotators", nargs="+", metavar="ANNOTATOR", help="NAME or NAME@VERSION")
    evaluate.add_argument("--sets", nargs="+", required=True, metavar="GLOB", help="JSONL files of benchmarks, also .gz")
    evaluate.add_argument("--from", dest="glob", default="documents/*", metavar="GLOB", help="streams of documents")
    evaluate.add_argument("--files", type=int, default=1000, metavar="N", help="random documents (default: 1000)")
    evaluate.add_argument("--seed", type=int, default=0)
    evaluate.add_argument("--plot", metavar="FOLDER", help="write ROC curves, histograms of scores and a page there")
    evaluate.set_defaults(run=run_evaluate)
    look = actions.add_parser("look", help="show documents with their scores")
    look.add_argument("annotator", metavar="ANNOTATOR")
    which = look.add_mutually_exclusive_group(required=True)
    which.add_argument("--top", type=int, metavar="N", help="the N best")
    which.add_argument("--bottom", type=int, metavar="N", help="the N worst")
    which.add_argument("--between", nargs=2, type=float, metavar=("A", "B"), help="those with a score in between")
    look.add_argument("--from", dest="glob", default="documents/*", metavar="GLOB", help="streams of documents")
    look.add_argument("--files", type=int, default=500, metavar="N", help="random documents to score (default: 500)")
    look.add_argument("--seed", type=int, default=0)
    look.set_defaults(run=run_look)
    score = actions.add_parser("score", help="score the documents of streams, or files")
    score.add_argument("annotator", metavar="ANNOTATOR")
    score.add_argument("files", nargs="*", metavar="FILE")
    score.add_argument(
        "--streams", default="documents/*", metavar="GLOB", help="without FILE: of these (default: documents/*)"
    )
    add_where(score)
    score.set_defaults(run=run_score)
    add_rank(actions)
    for action in (listed, train, evaluate, look, score):
        add_root(action)
        add_json(action)
    return actions


def run_list(options: argparse.Namespace) -> int:
    from streamer.catalog.catalog import Catalog
    from streamer.scoring.annotator_recipe import built_in
    from streamer.scoring.trained import versions

    rows = [row_of(found) for found in versions(Catalog(options.root))]
    print_table(rows, options.json)
    if not options.json:
        print(f"Recipes that come along: {', '.join(built_in())}.")
    return 0


def row_of(found: "Trained") -> dict[str, Any]:
    return {
        "annotator": found.label,
        "head": found.recipe.head,
        "embedder": found.embedder,
        "good": found.good,
        "random": found.other,
        "languages": len(found.languages),
        "figure": round(found.figure, 4),
    }


def run_train(options: argparse.Namespace) -> int:
    import msgspec

    from streamer.catalog.catalog import Catalog
    from streamer.commands.progress_line import ProgressLine
    from streamer.errors import CorpusError
    from streamer.scoring.annotator_recipe import AnnotatorRecipe, Positives, load_recipe, place_of
    from streamer.scoring.trained import gather, train

    recipe = load_recipe(options.recipe)
    changes: dict[str, Any] = {}
    if options.positives:
        changes["positives"] = (Positives(files=tuple(options.positives)),)
    changes |= {name: value for name in ("embedder", "files") if (value := getattr(options, name)) is not None}
    if "embedder" in changes:
        changes["embedder"] = place_of(changes["embedder"])
    try:
        plain = msgspec.to_builtins(msgspec.structs.replace(recipe, **changes))
        recipe = msgspec.convert(plain, AnnotatorRecipe)
    except msgspec.ValidationError as error:
        raise CorpusError(f"{error}; change the option") from error
    catalog, progress = Catalog(options.root), ProgressLine(sys.stderr)
    sample = gather(catalog, recipe)
    for line in sample.warnings:
        print(f"phasemix: {line}", file=sys.stderr)
    try:
        found = train(catalog, recipe, sample, lambda done, total: progress("embed", done, total))
    finally:
        progress.end()
    print_table([row_of(found)], options.json)
    return 0


def run_evaluate(options: argparse.Namespace) -> int:
    from functools import partial

    import msgspec

    from streamer.catalog.catalog import Catalog
    from streamer.commands.progress_line import ProgressLine
    from streamer.extras import require
    from streamer.scoring.evaluating.benchmarks import PER_LANGUAGE, choose_documents, judge, read_solutions
    from streamer.scoring.evaluating.page import prepare_folder, write_evaluation
    from streamer.scoring.trained import load

    folder = None if options.plot is None else Path(options.plot)
    if folder is not None:
        require("annotator evaluate --plot", "corpus")
        prepare_folder(folder)
    catalog, progress = Catalog(options.root), ProgressLine(sys.stderr)
    annotators = [load(catalog, name) for name in options.annotators]
    solutions = read_solutions(options.sets)
    languages = sorted({one.language for found in solutions.values() for one in found})
    documents = choose_documents(catalog, options.glob, annotators, languages, files=options.files, seed=options.seed)
    try:
        found = judge(annotators, solutions, documents, seed=options.seed, progress=lambda label: partial(progress, label))
    finally:
        progress.end()
    exact = [{"annotator": one.annotator.label, **msgspec.to_builtins(figure)} for one in found for figure in one.figures]
    rows = [
        row
        | {name: None if row[name] is None else round(row[name], 3) for name in FIGURES}
        | {"language": row["language"] or "all"}
        for row in exact
    ]
    if options.json:
        print_table(exact, as_json=True)
    else:
        print_figures(rows, several=len(found) > 1)
    if folder is not None:
        about = (
            f"{len(documents.together):,} random documents of {options.glob} that no annotator has learned from, and up to "
            f"{PER_LANGUAGE} of each language of the sets, were scored beside the sets' solutions (seed {options.seed})."
        )
        page = write_evaluation(folder, found, rows, about)
        if not options.json:
            print(f"Curves and histograms: {page}")
    return 0


def print_figures(rows: list[dict[str, Any]], *, several: bool) -> None:
    print_table(rows, as_json=False)
    if several:
        print()
        print_table(matrix(rows), as_json=False)
    print(
        "auc: a solution scores above a random document. by_length: what length alone does. matched: auc among pairs of "
        "nearly equal length, where length alone gives 0.5."
    )


def matrix(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each set and language, a column for each annotator."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    by_length = {(row["set"], row["language"]): row["by_length"] for row in rows}
    for row in rows:
        line = found.setdefault((row["set"], row["language"]), {"set": row["set"], "language": row["language"]})
        line[row["annotator"]] = row["auc"]
    return [{**line, "by_length": by_length[key]} for key, line in found.items()]


def run_look(options: argparse.Namespace) -> int:
    from streamer.catalog.catalog import Catalog
    from streamer.commands.progress_line import ProgressLine
    from streamer.packing.grouping import random_key
    from streamer.scoring.positives import Draw, read_streams
    from streamer.scoring.trained import load, score

    catalog, progress = Catalog(options.root), ProgressLine(sys.stderr)
    trained = load(catalog, options.annotator)
    drawn = Draw(options.files)
    for one in read_streams(catalog, options.glob):
        drawn.add(random_key(options.seed, "look", one.text), one)
    texts = list(drawn.sorted().values())
    try:
        scores = score(trained, [one.text for one in texts], lambda done, total: progress("score", done, total))
    finally:
        progress.end()
    ranked = sorted(zip(scores.tolist(), texts, strict=True), key=lambda pair: (-pair[0], pair[1].name))
    if options.between is not None:
        low, high = sorted(options.between)
        ranked = [pair for pair in ranked if low <= pair[0] <= high]
    elif options.top is not None:
        ranked = ranked[: max(0, options.top)]
    else:
        ranked = ranked[::-1][: max(0, options.bottom)]
    rows = [{"score": number, "file": one.name, "language": one.language, "text": one.text} for number, one in ranked]
    if options.json:
        print_table(rows, as_json=True)
        return 0
    for row in rows:
        lines = row["text"].splitlines()
        print(f"--- {row['score']:.4f}  {row['file']}  ({row['language']}, {len(lines):,} lines)")
        print("\n".join(lines[:LINES]))
    print(f"{len(rows):,} of {len(texts):,} random documents, scored by {trained.label}.")
    return 0


def run_score(options: argparse.Namespace) -> int:
    if not options.files:
        return run_score_streams(options)
    from streamer.catalog.catalog import Catalog
    from streamer.scoring.positives import read_text
    from streamer.scoring.trained import load, score

    trained = load(Catalog(options.root), options.annotator)
    named = [one for path in options.files for one in read_text(path)]
    scores = score(trained, [one.text for one in named])
    rows = [{"file": one.name, "score": number} for one, number in zip(named, scores.tolist(), strict=True)]
    print_table(rows, options.json)
    return 0
