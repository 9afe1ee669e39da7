"""`phasemix streams`: create, publish, list, show, verify."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamer.commands.options import add_json, add_root
from streamer.commands.table import print_table


def add_streams(parser: argparse.ArgumentParser) -> Any:
    """Adds the verbs, and returns them for a room above to add its own."""
    verbs = parser.add_subparsers(required=True, metavar="create|publish|list|show|verify")
    create = verbs.add_parser("create", help="make an empty stream")
    create.add_argument("name")
    create.add_argument("--seq-len", type=int, required=True, help="tokens of a sample")
    create.add_argument("--dtype", default="uint16", choices=["uint16", "uint32"])
    create.add_argument("--tokenizer", help="the tokenizer's fingerprint")
    create.set_defaults(run=run_create)
    publish = verbs.add_parser("publish", help="publish documents or samples that lie at a path as one part")
    publish.add_argument("name")
    publish.add_argument("path", type=Path, help="a folder of stock MDS, or Parquet or JSONL files of documents")
    publish.add_argument("--tokenizer", metavar="FINGERPRINT|FILE", help="what the samples were written with")
    publish.add_argument("--seq-len", type=int, help="tokens of a sample, where bytes do not say it")
    publish.add_argument("--dtype", choices=["uint16", "uint32"], help="of a new stream (default: the folder's, or uint16)")
    publish.set_defaults(run=run_publish)
    listing = verbs.add_parser("list", help="one line a stream")
    listing.add_argument("glob", nargs="?", default="*")
    listing.set_defaults(run=run_list)
    show = verbs.add_parser("show", help="one line a part")
    show.add_argument("name")
    show.set_defaults(run=run_show)
    verify = verbs.add_parser("verify", help="read everything again; name what is damaged, missing, or named by no entry")
    verify.add_argument("glob", nargs="?", default="*")
    verify.add_argument("--remove", action="store_true", help="remove what no entry names")
    verify.set_defaults(run=run_verify)
    for verb in (create, publish, listing, show, verify):
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
    from streamer.catalog.catalog import Catalog
    from streamer.publishing.publication import publish_path

    snapshot, dropped = publish_path(
        Catalog(options.root),
        options.name,
        options.path,
        tokenizer=options.tokenizer,
        seq_len=options.seq_len,
        dtype=options.dtype,
    )
    row = {"stream": snapshot.name, "samples": snapshot.samples, "snapshot": snapshot.number}
    print_table([{**row, "dropped": sum(dropped.values()), **dropped}], options.json)
    return 0


def run_list(options: argparse.Namespace) -> int:
    import msgspec

    from streamer.catalog.catalog import Catalog

    print_table([msgspec.to_builtins(stream) for stream in Catalog(options.root).streams(options.glob)], options.json)
    return 0


def run_show(options: argparse.Namespace) -> int:
    from streamer.catalog.catalog import Catalog

    rows = [
        {
            "part": part.number,
            "id": part.part_id,
            "samples": part.samples,
            "shards": len(part.shards),
            "size_bytes": sum(shard.size_bytes for shard in part.shards),
        }
        for part in Catalog(options.root).stream(options.name).parts
    ]
    print_table(rows, options.json)
    return 0


def run_verify(options: argparse.Namespace, entries: Mapping[str, int] = {}) -> int:
    """Exit code 1 when something must be restored; each such thing is a line.

    `entries`: how many entries the logs of streams had when a run last looked.
    """
    from streamer.catalog.catalog import Catalog
    from streamer.catalog.verification import verify_streams

    found = list(verify_streams(Catalog(options.root), options.glob, remove=options.remove, entries=entries))
    rows = [{"stream": one.stream, "part": one.part, "shard": one.shard, "state": one.state} for one in found]
    print_table(rows, options.json)
    return int(any(one.is_fault for one in found))
