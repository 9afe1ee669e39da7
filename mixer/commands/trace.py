"""`phasemix runs trace`."""

import argparse
from typing import Any

from streamer.commands.table import print_table


def add_trace(verbs: Any) -> argparse.ArgumentParser:
    """Adds the verb; `--root` and `--json` are the caller's."""
    trace: argparse.ArgumentParser = verbs.add_parser("trace", help="a batch to its documents, a document to its positions")
    trace.add_argument("name")
    asked = trace.add_mutually_exclusive_group(required=True)
    asked.add_argument("--batch", type=int, metavar="B", help="the rows of a global batch")
    asked.add_argument("--document", metavar="D", help="every position that holds a document, by its id or path")
    trace.add_argument("--rank", type=int, default=0, help="with --batch: only the rows of this rank")
    trace.add_argument("--world-size", type=int, default=1)
    trace.add_argument("--text", action="store_true", help="with --batch: the rows' text, or token ids without a tokenizer")
    trace.add_argument("--to", type=int, metavar="STEP", help="with --document: up to here, not to the ledger's end")
    trace.set_defaults(run=run_trace)
    return trace


def run_trace(options: argparse.Namespace) -> int:
    import msgspec

    from mixer.errors import RunError
    from mixer.reading.trace import Trace

    if options.document is None and options.to is not None:
        raise RunError("--to goes with --document; a batch is one step")
    if options.document is not None and (options.text or (options.rank, options.world_size) != (0, 1)):
        raise RunError("--text, --rank and --world-size go with --batch; trace one of the document's steps with them")
    trace = Trace(options.root, options.name)
    if options.document is not None:
        positions = trace.document(options.document, to_step=options.to)
        if positions or options.json:
            print_table([msgspec.to_builtins(position) for position in positions], options.json)
        else:
            print(f"{options.name} does not give {options.document} up to there; --to STEP looks further")
        return 0
    rows = trace.batch(options.batch, options.rank, options.world_size, text=options.text)
    if options.json:
        unasked = () if options.text else ("text", "tokens")
        found = [msgspec.to_builtins(row) for row in rows]
        print_table([{key: value for key, value in row.items() if key not in unasked} for row in found], True)
    elif options.text:
        for row in rows:
            print_table(lines([row]), False)
            print(printable(row.text) if row.text is not None else row.tokens, end="\n\n")
    else:
        print_table(lines(rows), False)
    return 0


def lines(rows: list[Any]) -> list[dict[str, Any]]:
    """One line a document of a row."""
    found = []
    for row in rows:
        place = {
            "slot": row.slot,
            "stream": row.stream,
            "part": row.part,
            "row": row.row,
            "pass": row.pass_index,
            "source": row.source,
        }
        nothing: dict[str, Any] = {"start": None, "end": None, "document": "", "repository": "", "path": ""}
        if not row.documents:
            empty = "padding" if not row.redacted else "redacted"
            found.append({**place, **nothing, "document": "no sidecar" if row.documents is None else empty})
        for span in row.documents or []:
            where = {name: getattr(span, name) for name in nothing}
            found.append({**place, **where})
    return found


def printable(text: str) -> str:
    """Without what would steer a terminal."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\ufffd" for sign in text)
