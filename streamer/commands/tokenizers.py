"""`phasemix tokenizer`: train, show. Imports nothing heavy before a command runs."""

import argparse
from collections.abc import Iterator
from typing import Any

from streamer.commands.options import add_json, add_root
from streamer.commands.table import print_table


def add_tokenizer(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    train = actions.add_parser("train", help="train a byte-level BPE tokenizer on documents/* or on SOURCEs")
    train.add_argument("sources", nargs="*", metavar="SOURCE", help="folders, archives or Parquet files")
    train.add_argument("--vocabulary", type=int, default=8192, metavar="IDS", help="ids, the 256 bytes included")
    train.add_argument("--max-mb", type=float, default=4.0, metavar="MB", help="text to train on")
    train.add_argument("--out", metavar="FILE", help="also write a tokenizer.json")
    add_root(train)
    add_json(train)
    train.set_defaults(run=run_tokenizer_train)
    show = actions.add_parser("show", help="tokenizers of the streams, or one by fingerprint or tokenizer.json")
    show.add_argument("name", nargs="?", metavar="FINGERPRINT|FILE")
    add_root(show)
    add_json(show)
    show.set_defaults(run=run_tokenizer_show)


def iterate_texts(args: argparse.Namespace) -> Iterator[str]:
    """The texts of the sources, or of `documents/*`, up to `--max-mb`."""
    from streamer.catalog.catalog import Catalog
    from streamer.corpus.recipe import Source
    from streamer.corpus.sources.ingest import read_source
    from streamer.documents.text import DropReason, decode

    left = args.max_mb * 1e6
    if args.sources:
        files = (file for path in args.sources for file in read_source(Source(path=path), seed=0) if file.fault is None)
        found = (decode(file.data) for file in files)
        texts = (one.text for one in found if not isinstance(one, DropReason))
    else:
        catalog = Catalog(args.root)
        texts = (doc.text for stream in catalog.streams("documents/*") for doc in catalog.documents(stream.name))
    for text in texts:
        if left <= 0:
            return
        left -= len(text)
        yield text


def run_tokenizer_train(args: argparse.Namespace) -> int:
    from pathlib import Path

    from streamer.catalog.catalog import Catalog
    from streamer.errors import CorpusError
    from streamer.packing import tokenizer as tokenizers

    tokenizers.check_vocabulary(args.vocabulary)
    if not 0 < args.max_mb < float("inf"):
        raise CorpusError(f"--max-mb must be a number above 0 (got {args.max_mb:g})")
    if args.out:
        check_out(args.out)
    texts = list(iterate_texts(args))
    if not texts:
        where = "in these sources" if args.sources else f"under {args.root}"
        raise CorpusError(f"there is no text to train on {where}; name a SOURCE with files, or ingest a corpus first")
    text = tokenizers.train(texts, vocabulary=args.vocabulary).to_str()
    if args.out:
        try:
            Path(args.out).write_text(text, encoding="utf-8")
        except OSError as error:
            raise CorpusError(f"--out {args.out} cannot be written: {error.strerror}; name another file") from error
    Catalog(args.root).put_tokenizer(text)
    print_table([describe_tokenizer(text, texts[:200])], args.json)
    return 0


def check_out(path: str) -> None:
    """Raises: CorpusError for a file that cannot be written, so that it is known before the training."""
    import os
    from pathlib import Path

    from streamer.errors import CorpusError

    place = Path(path)
    if place.is_dir() or not os.access(place if place.exists() else place.parent, os.W_OK):
        raise CorpusError(f"--out {path} cannot be written; name a file in a folder that exists and may be written to")


def run_tokenizer_show(args: argparse.Namespace) -> int:
    from pathlib import Path

    from streamer.catalog.catalog import Catalog
    from streamer.packing.tokenizer_file import read_text

    catalog = Catalog(args.root)
    if args.name and Path(args.name).is_file():
        print_table([describe_tokenizer(read_text(args.name), [], name=f"tokenizer {args.name}")], args.json)
        return 0
    names = [args.name] if args.name else sorted({info.tokenizer for info in catalog.streams() if info.tokenizer})
    rows = []
    for name in names:
        rows.append(describe_tokenizer(catalog.tokenizer_text(name), []))
    print_table(rows, args.json)
    return 0


def describe_tokenizer(json_text: str, texts: list[str], *, name: str = "tokenizer") -> dict[str, Any]:
    from streamer.packing import tokenizer as tokenizers
    from streamer.packing.encoder import TextEncoder

    found = tokenizers.describe(json_text, name=name)
    row: dict[str, Any] = {
        "tokenizer": found.fingerprint,
        "vocabulary": found.vocabulary,
        "end_of_document_id": found.end_of_document_id,
    }
    if texts:
        tokens = sum(map(len, TextEncoder(json_text).encode(texts)))
        row["bytes_per_token"] = round(sum(len(text.encode()) for text in texts) / max(1, tokens), 3)
    return row
