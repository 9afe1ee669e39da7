"""`phasemix annotator`: train, evaluate, score. Imports nothing heavy before a command runs."""

import argparse
from typing import Any

from streamer.commands.options import add_json, add_root
from streamer.commands.table import print_table


def add_annotator(parser: argparse.ArgumentParser) -> Any:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    train = actions.add_parser("train", help="train a head on good files against random documents")
    train.add_argument("--positives", nargs="*", default=[], metavar="GLOB", help="good files (default: standard library)")
    train.add_argument("--model", metavar="NAME|FOLDER", help="what embeds; 'ngrams' needs no model")
    train.add_argument("--files", type=int, default=150, metavar="N", help="files to read, positives included")
    train.add_argument("--section-tokens", type=int, default=256, metavar="N")
    train.add_argument("--out", required=True, metavar="FILE")
    evaluate = actions.add_parser("evaluate", help="ROC-AUC of an annotator on good against other files")
    evaluate.add_argument("annotator", metavar="ANNOTATOR")
    evaluate.add_argument("--positives", nargs="+", required=True, metavar="GLOB")
    evaluate.add_argument("--negatives", nargs="+", required=True, metavar="GLOB")
    score = actions.add_parser("score", help="score files")
    score.add_argument("annotator", metavar="ANNOTATOR")
    score.add_argument("files", nargs="+", metavar="FILE")
    for action, run in ((train, run_annotator_train), (evaluate, run_annotator_evaluate), (score, run_annotator_score)):
        add_root(action)
        add_json(action)
        action.set_defaults(run=run)
    return actions


def run_annotator_train(args: argparse.Namespace) -> int:
    from streamer.catalog.catalog import Catalog
    from streamer.corpus.annotation import read_positives
    from streamer.corpus.recipe import default_positives
    from streamer.errors import CorpusError
    from streamer.packing.grouping import random_key
    from streamer.scoring import annotator

    catalog = Catalog(args.root)
    positives = [text for _, text in read_positives(args.positives or default_positives())][: args.files // 3]
    found = {doc.text for info in catalog.streams("documents/*") for doc in catalog.documents(info.name)}
    negatives = sorted(found - set(positives), key=lambda text: random_key(0, text))[: args.files - len(positives)]
    if not negatives:
        raise CorpusError(f"root {args.root} has no documents/*; ingest a corpus first")
    embed, label = annotator.load_embedder(args.model or annotator.DEFAULT_MODEL, section_tokens=args.section_tokens)
    features = annotator.embed_files([*positives, *negatives], embed, section_tokens=args.section_tokens)
    trained = annotator.annotate(features, len(positives), model=label, section_tokens=args.section_tokens).annotator
    annotator.save(trained, args.out)
    row = {"annotator": args.out, "model": label, "positives": len(positives), "negatives": len(negatives)}
    print_table([{**row, "auc": round(trained.auc, 4)}], args.json)
    return 0


def run_annotator_evaluate(args: argparse.Namespace) -> int:
    from streamer.corpus.annotation import read_positives
    from streamer.scoring import annotator

    trained = annotator.load(args.annotator)
    good, other = ([text for _, text in read_positives(globs)] for globs in (args.positives, args.negatives))
    scores = annotator.score_texts(trained, [*good, *other])
    auc = annotator.roc_auc(scores[: len(good)], scores[len(good) :])
    print_table([{"model": trained.model, "positives": len(good), "negatives": len(other), "auc": auc}], args.json)
    return 0


def run_annotator_score(args: argparse.Namespace) -> int:
    from streamer.corpus.annotation import read_positives
    from streamer.scoring import annotator

    named = list(read_positives(args.files))
    scores = annotator.score_texts(annotator.load(args.annotator), [text for _, text in named])
    rows = [{"file": name, "score": float(score)} for (name, _), score in zip(named, scores, strict=True)]
    print_table(rows, args.json)
    return 0
