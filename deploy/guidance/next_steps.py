"""The command that a person would type after one that has succeeded.

Always holds: it is said on standard error, only where that is a terminal, and never beside `--json`, so that no program
reads it. A step is left out where one of its names is not known.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys

# (noun, verb) to the next command; {...} are attributes of the options that were given.
NEXT = {
    ("corpus", "ingest"): "phasemix streams list",
    ("corpus", "repack"): "phasemix streams list",
    ("corpus", "stats"): "phasemix streams list",
    ("streams", "list"): "phasemix mixtures list",
    ("streams", "create"): "phasemix streams publish {name} FOLDER",
    ("streams", "publish"): "phasemix streams show {name}",
    ("mixtures", "list"): "phasemix mixtures preview NAME",
    ("mixtures", "show"): "phasemix mixtures preview {mixture}",
    ("mixtures", "apply"): "phasemix mixtures preview {mixture}",
    ("mixtures", "edit"): "phasemix mixtures preview {mixture}",
    ("mixtures", "set"): "phasemix mixtures preview {mixture}",
    ("runs", "create"): "phasemix runs show {name}",
    ("runs", "list"): "phasemix runs show NAME",
    ("runs", "show"): "phasemix runs history {name}",
    ("runs", "switch"): "phasemix runs show {name} --watch",
    ("runs", "fork"): "phasemix runs show {name}",
    ("runs", "pause"): "phasemix runs resume {name}",
    ("runs", "archive"): "phasemix runs list --archived",
    ("generators", "seed"): "phasemix generators status",
    ("generators", "scale"): "phasemix generators status",
    ("up", ""): "phasemix status",
    ("train", ""): "phasemix runs show {run_name}",
}


def next_step(noun: str, verb: str, options: argparse.Namespace) -> str | None:
    """The command after this one, with the root where it was given as an option, or None where nothing is natural."""
    template = NEXT.get((noun, verb)) or NEXT.get((noun, ""))
    if template is None or getattr(options, "dry_run", False) is True:
        return None
    try:
        command = template.format_map({key: value for key, value in vars(options).items() if value is not None})
    except KeyError:
        return None
    return with_root(command, getattr(options, "root", None))


def with_root(command: str, root: str | None) -> str:
    """The command, with its root unless the environment names the same one."""
    return command if root in (None, os.environ.get("PHASEMIX_ROOT")) else f"{command} --root {shlex.quote(root)}"


def say_next_step(noun: str, verb: str, options: argparse.Namespace) -> None:
    """Says it to a person, if one reads."""
    command = next_step(noun, verb, options)
    if command is not None and not getattr(options, "json", False) and sys.stderr.isatty():
        print(f"\nNext: {command}", file=sys.stderr)
