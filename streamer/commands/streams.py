"""`phasemix streams`: create, publish, list, show, card, verify, redact, compact."""

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from streamer.commands.options import add_json, add_root
from streamer.commands.redact import add_compact, add_redact
from streamer.commands.table import print_table

TOKEN_DTYPES = ("int32", "int64", "uint16", "uint32")  # those of streamer.publishing.token_rows, which loads numpy


def add_streams(parser: argparse.ArgumentParser) -> Any:
    """Adds the verbs, and returns them for a room above to add its own."""
    verbs = parser.add_subparsers(required=True, metavar="create|publish|list|show|card|verify|redact|compact")
    create = verbs.add_parser("create", help="make an empty stream")
    create.add_argument("name", help="the stream, such as synthetic/go")
    create.add_argument("--seq-len", type=int, required=True, metavar="IDS", help="set how many tokens a sample has")
    create.add_argument("--dtype", default="uint16", choices=["uint16", "uint32"], help="set the dtype of its tokens")
    create.add_argument("--tokenizer", metavar="FINGERPRINT", help="name the tokenizer of its samples")
    create.set_defaults(run=run_create)
    publish = verbs.add_parser("publish", help="publish documents or samples that lie at a path as one part")
    publish.add_argument("name", help="the stream, such as raw/python; it is made if it does not exist")
    publish.add_argument("path", help="a folder of stock MDS, or Parquet or JSONL files of documents")
    publish.add_argument("--tokenizer", metavar="FINGERPRINT|FILE", help="name what the samples were written with")
    publish.add_argument(
        "--token-dtype",
        choices=TOKEN_DTYPES,
        help="say what ids are that are stored as bytes, which do not say it themselves",
    )
    publish.add_argument("--seq-len", type=int, metavar="IDS", help="say how many ids a row has, where bytes do not say it")
    publish.add_argument(
        "--dtype", choices=["uint16", "uint32"], help="choose the dtype of a new stream (default: the folder's, or uint16)"
    )
    publish.add_argument(
        "--reference",
        action="store_true",
        help="register a folder of MDS where it is, by its path or object-store address; nothing is copied, and readers "
        "need it there",
    )
    publish.add_argument("--again", action="store_true", help="publish also shards that the stream has already")
    publish.set_defaults(run=run_publish)
    listing = verbs.add_parser("list", help="one line a stream")
    listing.add_argument("glob", nargs="?", default="*")
    listing.set_defaults(run=run_list)
    show = verbs.add_parser("show", help="one line a part; with the samples in which something is redacted")
    show.add_argument("name")
    show.set_defaults(run=run_show)
    card = verbs.add_parser(
        "card", help="the data card of a stream: documents, licences, and how synthetic files came to be"
    )
    card.add_argument("name")
    card.set_defaults(run=run_card)
    verify = verbs.add_parser("verify", help="read everything again; name what is damaged, missing, or named by no entry")
    verify.add_argument("glob", nargs="?", default="*")
    verify.add_argument("--remove", action="store_true", help="remove what no entry names")
    verify.set_defaults(run=run_verify)
    for verb in (create, publish, listing, show, card, verify, add_redact(verbs), add_compact(verbs)):
        add_root(verb)
        add_json(verb)
    return verbs


NOUNS = {"streams": add_streams}


def run_create(options: argparse.Namespace) -> int:
    from streamer.catalog.catalog import Catalog

    snapshot = Catalog(options.root).create_stream(
        options.name, seq_len=options.seq_len, dtype=options.dtype, tokenizer=options.tokenizer
    )
    print_table([{"stream": snapshot.name, "samples": snapshot.samples, "snapshot": snapshot.number}], options.json)
    return 0


def run_publish(options: argparse.Namespace) -> int:
    """Shards that the stream has already are named; exit code 0 when all are there, so that a job may try again."""
    from streamer.catalog.catalog import Catalog
    from streamer.errors import AlreadyPublishedError
    from streamer.publishing.publication import Options, publish_path

    catalog = Catalog(options.root)
    asked = Options(
        tokenizer=options.tokenizer,
        seq_len=options.seq_len,
        dtype=options.dtype,
        token_dtype=options.token_dtype,
        reference=options.reference,
        again=options.again,
    )
    try:
        snapshot, dropped = publish_path(catalog, options.name, options.path, asked)
    except AlreadyPublishedError as error:
        if not error.whole:
            raise
        print(f"phasemix: {error}", file=sys.stderr)
        snapshot = catalog.stream(options.name)
        row = {"stream": snapshot.name, "published": 0, "samples": snapshot.samples, "snapshot": snapshot.number}
        print_table([row], options.json)
        return 0
    row = {
        "stream": snapshot.name,
        "published": snapshot.parts[-1].samples,
        "samples": snapshot.samples,
        "snapshot": snapshot.number,
    }
    print_table([row if dropped is None else {**row, "dropped": dropped.total(), **dropped}], options.json)
    return 0


def run_list(options: argparse.Namespace) -> int:
    import msgspec

    from streamer.catalog.catalog import Catalog

    rows = [msgspec.to_builtins(stream) for stream in Catalog(options.root).streams(options.glob)]
    print_table([row if row["kind"] == "tokens" else {**row, "tokens": None} for row in rows], options.json)
    return 0


def run_show(options: argparse.Namespace) -> int:
    from streamer.catalog.catalog import Catalog

    catalog = Catalog(options.root)
    snapshot = catalog.stream(options.name)
    parts = snapshot.parts
    rows: list[dict[str, Any]] = [
        {
            "part": part.number,
            "id": part.part_id,
            "samples": part.samples,
            "shards": len(part.shards),
            "size_bytes": sum(shard.own_bytes for shard in part.shards),
            **({"reference": part.reference} if any(part.reference for part in parts) else {}),
        }
        for part in parts
    ]
    places = {row["id"]: row for row in rows}
    for one in catalog.manifest(options.name).redactions_before(snapshot.number):
        for part_id, spans in one.columns.items():
            places[part_id]["redacted"] = places[part_id].get("redacted", 0) + len(set(spans[:, 0].tolist()))
    if snapshot.redacted_by:
        rows = [{**row, "redacted": row.get("redacted", 0)} for row in rows]
    print_table(rows, options.json)
    return 0


def run_card(options: argparse.Namespace) -> int:
    import msgspec

    from streamer.catalog.catalog import Catalog
    from streamer.publishing.card import card_of

    card = msgspec.to_builtins(card_of(Catalog(options.root), options.name))
    if options.json:
        json.dump(card, sys.stdout, indent=1)
        sys.stdout.write("\n")
        return 0
    tables = {name: card.pop(name) for name in ("licenses", "largest_repositories")}
    origins = card.pop("origins") or {}
    tables |= {name: origins.pop(name) for name in ("recipes", "models", "seed_licenses") if name in origins}
    for name, value in [*card.items(), *origins.items()]:
        if value is not None:
            print(f"{name.replace('_', ' '):20} {value:,}" if isinstance(value, int) else f"{name:20} {value}")
    for name, counts in tables.items():
        print(f"\n{name.replace('_', ' ')}")
        print_table([{"name": key, "documents": count} for key, count in counts.items()], False)
    return 0


def run_verify(options: argparse.Namespace, entries: Mapping[str, int] = {}) -> int:
    """Exit code 1 when something must be restored; each such thing is a line.

    `entries`: how many entries the logs of streams had when a run last looked.
    """
    from streamer.catalog.catalog import Catalog
    from streamer.catalog.verification import count_shards, verify_streams
    from streamer.commands.progress_line import ProgressLine

    catalog, progress = Catalog(options.root), ProgressLine(sys.stderr)
    total, read, found = count_shards(catalog, options.glob), 0, []
    try:
        for one in verify_streams(catalog, options.glob, remove=options.remove, entries=entries):
            found.append(one)
            if one.is_shard:
                read += 1
                progress("shards", read, total)
    finally:
        progress.end()
    rows = [{"stream": one.stream, "part": one.part, "shard": one.shard, "state": one.state} for one in found]
    print_table(rows, options.json)
    return int(any(one.is_fault for one in found))
