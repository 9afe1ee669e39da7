"""`phasemix streams redact`: takes documents out of every stream of a root, and lists what was taken out."""

import argparse
import sys
import time
from datetime import datetime
from typing import Any

from streamer.commands.options import add_why, person
from streamer.commands.table import print_table


def add_redact(verbs: Any) -> argparse.ArgumentParser:
    redact = verbs.add_parser("redact", help="take documents out of every stream; running trainings go on without them")
    redact.add_argument(
        "--document", action="append", default=[], metavar="ID", help="a document, by its id; may be repeated"
    )
    redact.add_argument("--repository", action="append", default=[], metavar="NAME", help="all documents of a repository")
    redact.add_argument("--licence", "--license", action="append", default=[], metavar="NAME", help="all under a licence")
    redact.add_argument("--documents-from", metavar="FILE", help="documents by their ids, one a line; - for standard input")
    redact.add_argument(
        "--fill",
        type=int,
        metavar="ID",
        help="the id that redacted tokens are given as",
    )
    redact.add_argument("--dry-run", action="store_true", help="say what would be redacted, and write nothing")
    redact.add_argument("--list", action="store_true", help="list what was redacted under this root")
    add_why(redact)
    redact.set_defaults(run=run_redact)
    parser: argparse.ArgumentParser = redact
    return parser


def run_redact(options: argparse.Namespace) -> int:
    from streamer.catalog.catalog import Catalog
    from streamer.catalog.redaction import RULES, Rule, read_rule
    from streamer.commands.progress_line import ProgressLine
    from streamer.errors import StreamError
    from streamer.publishing.redacting import redact, search

    catalog = Catalog(options.root)
    if options.list:
        bodies = catalog.log(RULES).read()
        rows = [{"rule": str(read_rule(body)), "by": body.get("by"), "why": body.get("why")} for body in bodies]
        for row, body in zip(rows, bodies, strict=True):
            at_s = body.get("at_s")
            at = None if at_s is None else f"{datetime.fromtimestamp(at_s):%Y-%m-%d %H:%M}"
            row |= {"at_s": at_s} if options.json else {"at": at}
        print_table(rows, options.json)
        return 0
    documents = [*options.document, *read_ids(options.documents_from)]
    rule = Rule(
        documents=tuple(sorted(set(documents))),
        repositories=tuple(sorted(set(options.repository))),
        licenses=tuple(sorted(set(options.licence))),
    )
    progress = ProgressLine(sys.stderr)
    try:
        found = list(search(catalog, rule, fill=options.fill, progress=progress))
    finally:
        progress.end()
    there = {document for one in found for document in one.document_ids}
    unknown = [document for document in rule.documents if document not in there]
    if not there:
        raise StreamError(
            f"no stream under {catalog.store.url} says that it has {rule}; nothing was written. Ids of documents and names "
            "of repositories are shown by phasemix runs trace RUN --batch 0"
        )
    if unknown:
        print(
            f"phasemix: no stream says that it has {len(unknown):,} of the documents, such as {unknown[0]}", file=sys.stderr
        )
    unsearched = sum(one.unsearched for one in found)
    if unsearched:
        print(f"phasemix: {unsearched:,} parts do not say which documents they hold, and were not searched", file=sys.stderr)
    written = found if options.dry_run else redact(catalog, rule, found, by=person(), why=options.why, at_s=time.time())
    rows = [
        {"stream": one.stream, "documents": one.documents, "samples": one.samples, "tokens": one.tokens}
        for one in written
        if one.documents
    ]
    if not rows and not options.json:
        print(f"{rule}: redacted before; nothing was written")
        return 0
    print_table(rows, options.json)
    if not options.json and not options.dry_run:
        print("From their next segment on, runs give these tokens as the end of a document, masked in the loss.")
    return 0


def add_compact(verbs: Any) -> argparse.ArgumentParser:
    compact = verbs.add_parser("compact", help="write parts anew without what is redacted in them, or small ones together")
    compact.add_argument("glob", nargs="?", default="*", help="the streams, such as 'raw/*' (default: all)")
    compact.add_argument("--merge", action="store_true", help="also write many small parts of tokens into few folders")
    compact.set_defaults(run=run_compact)
    parser: argparse.ArgumentParser = compact
    return parser


def run_compact(options: argparse.Namespace) -> int:
    from streamer.catalog.catalog import Catalog
    from streamer.commands.progress_line import ProgressLine
    from streamer.publishing.compacting import compact
    from streamer.publishing.merging import merge

    catalog, progress = Catalog(options.root), ProgressLine(sys.stderr)
    rows = []
    try:
        for snapshot in catalog.match(options.glob):
            found = [compact(catalog, snapshot.name, progress=progress)]
            if options.merge:
                found.append(merge(catalog, snapshot.name))
            rows += [one._asdict() for one in found if one.parts]
    finally:
        progress.end()
    if not rows and not options.json:
        print(
            "No file has anything that is redacted"
            + (", and no parts are small" if options.merge else "")
            + "; nothing was written."
        )
        return 0
    print_table(rows, options.json)
    if not options.json:
        print(
            "The old files still lie there. Trainings of this version go on without them. Once nothing else reads them, "
            "delete them: phasemix streams verify --remove"
        )
    return 0


def read_ids(path: str | None) -> list[str]:
    """The words of a file, one a line. Raises: StreamError."""
    from streamer.errors import StreamError

    if path is None:
        return []
    try:
        if path == "-":
            return sys.stdin.read().split()
        with open(path) as file:
            return file.read().split()
    except (OSError, UnicodeDecodeError) as error:
        raise StreamError(f"{path} cannot be read ({error}); give a text file of ids, one a line") from error
