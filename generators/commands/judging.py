"""`phasemix annotator` with what only an engine can add to it: `judge`, `labels`, `rubrics`. Imports nothing heavy."""

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from streamer.commands.annotators import add_annotator as add_verbs
from streamer.commands.options import add_json, add_root
from streamer.commands.table import print_table

if TYPE_CHECKING:
    from generators.judging.judge import Judged
    from generators.judging.rubric import Rubric
    from streamer.catalog.catalog import Catalog
    from streamer.documents.document import Document

FILES = 500


def add_annotator(parser: argparse.ArgumentParser) -> None:
    actions = add_verbs(parser)
    rubrics = actions.add_parser("rubrics", help="list the rubrics that come with the package")
    rubrics.set_defaults(run=run_rubrics)
    judge = actions.add_parser("judge", help="have a model label random documents by a rubric")
    judge.add_argument("rubric", metavar="RUBRIC", help="a name, or a TOML file")
    judge.add_argument("--engine", nargs="+", required=True, metavar="URL", help="OpenAI-compatible addresses up to /v1")
    judge.add_argument("--model", help="ask this model (default: the first that the engine serves)")
    judge.add_argument("--from", dest="glob", default="documents/*", metavar="GLOB", help="streams of documents")
    judge.add_argument("--files", type=int, default=FILES, metavar="N", help=f"documents to label (default: {FILES})")
    judge.add_argument("--runs", type=int, default=1, metavar="N", help="how often each is judged, to see how far it agrees")
    judge.add_argument("--concurrency", type=int, default=32, metavar="N")
    judge.add_argument(
        "--away", type=float, default=300.0, metavar="SECONDS", help="how long to wait for an engine that is away"
    )
    judge.add_argument("--seed", type=int, default=0, help="of the choice of documents")
    judge.set_defaults(run=run_judge)
    labels = actions.add_parser("labels", help="show the labels by a rubric: how many, how they spread, how runs agree")
    labels.add_argument("rubric", metavar="RUBRIC", help="a name, or a TOML file")
    labels.set_defaults(run=run_labels)
    for action in (rubrics, judge, labels):
        if action is not rubrics:
            add_root(action)
        add_json(action)


NOUNS = {"annotator": add_annotator}


def run_rubrics(options: argparse.Namespace) -> int:
    from generators.judging.rubric import built_in

    rows = [
        {
            "rubric": rubric.name,
            "version": rubric.version,
            "scale": f"{rubric.lowest:g} to {rubric.highest:g}",
            "criteria": ", ".join(rubric.criteria),
        }
        for rubric in built_in().values()
    ]
    print_table(rows, options.json)
    return 0


def run_judge(options: argparse.Namespace) -> int:
    from generators.errors import RubricError
    from generators.judging.rubric import find_rubric
    from streamer.catalog.catalog import Catalog

    if min(options.files, options.runs, options.concurrency) < 1:
        raise RubricError("--files, --runs and --concurrency must be at least 1; raise them")
    catalog, rubric = Catalog(options.root), find_rubric(options.rubric)
    documents = choose(catalog, options.glob, options.files, options.seed)
    found = judge(options, catalog, rubric, documents)
    for why, count in found.without.items():
        print(f"phasemix: {count:,} of {len(documents) * options.runs:,} files have no label: {why}", file=sys.stderr)
    if found.without and not found.before + found.labels:
        raise RubricError("the judge gave no label at all; ask another model with --model, or mend the rubric's prompt")
    return show_labels(catalog, rubric, as_json=options.json)


def judge(options: argparse.Namespace, catalog: "Catalog", rubric: "Rubric", documents: "list[Document]") -> "Judged":
    import asyncio

    from generators.engines.engine import API_KEY, Engine
    from generators.judging.judge import judge_documents
    from streamer.commands.progress_line import ProgressLine

    progress = ProgressLine(sys.stderr)

    async def ask() -> "Judged":
        engine = Engine(options.engine, model=options.model, concurrency=options.concurrency, key=os.environ.get(API_KEY))
        try:
            return await judge_documents(
                catalog, rubric, documents, engine, runs=options.runs, concurrency=options.concurrency, away_s=options.away,
                progress=lambda done, total: progress("judge", done, total),
            )  # fmt: skip
        finally:
            await engine.close()

    try:
        return asyncio.run(ask())
    finally:
        progress.end()


def choose(catalog: "Catalog", glob: str, files: int, seed: int) -> "list[Document]":
    """Random documents of streams of documents. Raises: RubricError when there is none."""
    from generators.errors import RubricError
    from streamer.packing.grouping import random_key

    names = [snapshot.name for snapshot in catalog.match(glob) if snapshot.kind == "documents"]
    keys = sorted(
        {random_key(seed, "judge", one.document): one.document for name in names for one in catalog.documents(name)}.items()
    )
    wanted = {document for _, document in keys[:files]}
    found = {one.document: one for name in names for one in catalog.documents(name) if one.document in wanted}
    if not found:
        raise RubricError(f"no stream of documents under {catalog.store.url} matches {glob}; see phasemix streams list")
    return [found[document] for _, document in keys[:files]]


def run_labels(options: argparse.Namespace) -> int:
    from generators.judging.rubric import find_rubric
    from streamer.catalog.catalog import Catalog

    return show_labels(Catalog(options.root), find_rubric(options.rubric), as_json=options.json)


def show_labels(catalog: "Catalog", rubric: "Rubric", *, as_json: bool) -> int:
    """A row for each model: labels, their spread, and how far two runs agree."""
    from streamer.scoring.labels import agreement_of, load_labels

    labels = [label for label in load_labels(catalog, rubric.name) if label.rubric == rubric.label]
    rows = []
    for model in sorted({label.model for label in labels}):
        mine = [label for label in labels if label.model == model]
        scores, agreement = sorted(label.score for label in mine), agreement_of(mine)
        row: dict[str, Any] = {
            "rubric": rubric.label,
            "model": model,
            "documents": len({label.document for label in mine}),
            "labels": len(mine),
            "mean": round(sum(scores) / len(scores), 3),
            "median": scores[len(scores) // 2],
            "judged_twice": agreement.documents if agreement is not None else 0,
        }
        for name in ("equal", "within_one", "kappa"):
            row[name] = None if agreement is None else round(getattr(agreement, name), 3)
        rows.append(row)
    print_table(rows, as_json)
    return 0
