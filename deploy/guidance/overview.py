"""`phasemix` alone: what the root holds, and the command to type next.

Always holds: it answers in a fraction of a second, because it reads the lists of names alone and loads neither numpy nor
pyarrow; `next_command` decides from those names only.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from typing import NamedTuple

from deploy.guidance.next_steps import with_root


class Holding(NamedTuple):
    """The names that a root has, the oldest first."""

    streams: list[str]
    mixtures: list[str]
    runs: list[str]


def overview(root: str | None) -> str:
    """What a person should read who typed `phasemix` alone. Raises: StoreError, StreamError for a root that fails."""
    if root is None:
        return (
            "No root is named. A root is a folder, or an s3, gs or azure address. It keeps streams, mixtures, runs.\n"
            "\nName one, then fill it with your own files:\n"
            "    export PHASEMIX_ROOT=$HOME/phasemix\n"
            "    phasemix quickstart FOLDER\n"
            "\n`phasemix --help` lists all commands."
        )
    holding = read_holding(root)
    purpose, command = next_command(holding, can_train=importlib.util.find_spec("composer") is not None)
    return (
        f"{root} {describe(holding)}.\n\n{purpose}:\n    {with_root(command, root)}\n\n`phasemix --help` lists all commands."
    )


def read_holding(root: str) -> Holding:
    """The names under a root, all lists empty where it is absent. Raises: StoreError, StreamError."""
    from streamer.catalog.registry import read_names
    from streamer.store.roots import open_store

    store = open_store(root)
    return Holding(*(read_names(store, kind) for kind in Holding._fields))


def describe(holding: Holding) -> str:
    """`holds 3 streams (2 raw, 1 synthetic), 1 mixture (m) and no run`."""
    if not any(holding):
        return "is empty"
    kinds = Counter(name.partition("/")[0] for name in holding.streams)
    streams = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
    return (
        f"holds {count_of(holding.streams, 'stream')}{f' ({streams})' if streams else ''}, "
        f"{count_of(holding.mixtures, 'mixture')}{newest(holding.mixtures)} and "
        f"{count_of(holding.runs, 'run')}{newest(holding.runs)}"
    )


def count_of(names: list[str], noun: str) -> str:
    return f"{len(names):,} {noun}{'' if len(names) == 1 else 's'}" if names else f"no {noun}"


def newest(names: list[str]) -> str:
    """The newest names in brackets, at most three."""
    shown = ", ".join(reversed(names[-3:]))
    return f" ({shown}{', ...' if len(names) > 3 else ''})" if names else ""


def next_command(holding: Holding, *, can_train: bool) -> tuple[str, str]:
    """(what it is for, the command) that brings a root one step on. Rows of tokens are all but those of documents."""
    rows = [name for name in holding.streams if not name.startswith("documents/")]
    if not rows and not holding.mixtures:
        return "Fill it with your own files, see batches and train 20 steps", "phasemix quickstart FOLDER"
    if not holding.mixtures:
        kind = rows[-1].partition("/")[0]
        return (
            f'Write a mixture to a file (name, seq_len and [[component]] with streams = "{kind}/*" and share = 1.0; '
            "docs/mixtures.md has examples) and make a version of it",
            "phasemix mixtures apply mixture.toml",
        )
    mixture = holding.mixtures[-1]
    if not holding.runs and can_train:
        return f"Train on mixture {mixture}", f"phasemix train general --mixture {mixture} --run first"
    if not holding.runs:
        return (
            f"Bind a run to mixture {mixture}, then read its batches from your own loop",
            f"phasemix runs create first --mixture {mixture} --seed 1 --global-batch 32",
        )
    return f"Look at the newest run, {holding.runs[-1]}", f"phasemix runs show {holding.runs[-1]}"
