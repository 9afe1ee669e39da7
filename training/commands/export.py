"""`phasemix export`: writes a checkpoint as a folder that transformers and vLLM load."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def add_export(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `phasemix export`."""
    from streamer.commands.options import add_json, add_root

    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="a file step-NNNNNNNN.pt, or the folder of a run's checkpoints: the newest; or its address",
    )
    parser.add_argument("folder", metavar="DIR", help="write this folder, which must be absent or empty")
    parser.add_argument(
        "--trust", metavar="SHA256", help="load a checkpoint that no training here wrote, if this is its digest"
    )
    add_root(parser)
    add_json(parser)
    parser.set_defaults(run=export)


NOUNS: dict[str, Callable[[argparse.ArgumentParser], None]] = {"export": add_export}


def export(args: argparse.Namespace) -> int:
    """Exports and prints where the model comes from. Raises: PhasemixError."""
    import msgspec

    from streamer.commands.table import print_table
    from training.checkpoints.export import export_checkpoint
    from training.commands.train import say

    exported = export_checkpoint(args.root, args.checkpoint, args.folder, trusted=args.trust, say=say)
    if exported.tokenizer is None:
        say(f"the streams of run {exported.run} name no tokenizer, so {args.folder} has none")
    print_table([{"folder": args.folder, **msgspec.to_builtins(exported)}], args.json)
    return 0
