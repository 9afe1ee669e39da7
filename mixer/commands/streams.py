"""`phasemix streams` with what only the mixer can add to it: `export`, of a mixture or a glob."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamer.commands.options import add_root
from streamer.commands.streams import add_streams as add_verbs


def add_streams(parser: argparse.ArgumentParser) -> None:
    verbs = add_verbs(parser)
    verbs.metavar = f"{verbs.metavar}|export"
    export = verbs.add_parser("export", help="write the arguments of stock streaming.Stream, as JSON")
    export.add_argument("what", metavar="MIXTURE|GLOB", help="NAME, NAME@VERSION, or a glob over streams like 'raw/*'")
    export.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")
    export.add_argument("--cache", metavar="FOLDER", help="where stock streaming keeps shards of an object store")
    export.set_defaults(run=run_export)
    add_root(export)
    verbs.choices["verify"].set_defaults(run=run_verify)


NOUNS = {"streams": add_streams}


def run_verify(options: argparse.Namespace) -> int:
    """`streams verify`, with what the ledgers of runs know of the streams' logs."""
    from mixer.runs.verification import entries_seen
    from streamer.catalog.catalog import Catalog
    from streamer.commands.streams import run_verify as verify

    return verify(options, entries_seen(Catalog(options.root)))


def run_export(options: argparse.Namespace) -> int:
    from mixer.preview.previews import Mixtures
    from streamer.errors import StreamError
    from streamer.reading.export import export_glob

    mixtures = Mixtures(options.root)
    arguments: Sequence[dict[str, Any]]
    if any(sign in options.what for sign in "/*?["):
        arguments = export_glob(mixtures.catalog, options.what, cache=options.cache)
    else:
        arguments = mixtures.export(options.what, cache=options.cache)
    text = json.dumps(arguments, indent=1) + "\n"
    if options.out is None:
        sys.stdout.write(text)
        return 0
    try:
        options.out.write_text(text)
    except OSError as error:
        raise StreamError(f"{options.out} cannot be written ({error.strerror}); name another --out") from error
    return 0
