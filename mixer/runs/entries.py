"""Entries that somebody makes in a run's log, and what they may say."""

import time
from typing import Any

from mixer.errors import RunError
from mixer.ledger.ledger import FORMAT, Ledger
from mixer.mixture.faults import shown
from streamer.catalog.names import whole_text
from streamer.store.log import Body

BOUNDS = {
    "seed": (0, (1 << 63) - 1),
    "global_batch": (1, 1 << 20),  # a share of 2^40 times a batch must leave room in 64 bits
    "canonical_nodes": (1, 64),
    "num_steps": (1, 1 << 40),
    "segment_batches": (1, 1 << 16),  # counts of a segment are planned at once
    "write_ahead": (1, 1 << 40),
    "skip": (0, 1 << 16),  # segments are written for what is skipped too
    "start_step": (0, 1 << 40),
    "batches": (1, 1 << 16),
    "at_step": (0, 1 << 40),
    "to_step": (0, 1 << 40),
}
MAX_TEXT = 4000  # characters


def entry(event: str, by: str | None, why: str | None, **values: Any) -> Body:
    """An entry that somebody made. Raises: RunError for a name or a reason that is no short text."""
    said = {key: value for key, value in (("by", by), ("why", why)) if value is not None}
    for key, value in said.items():
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise RunError(f"{key} is no text of up to {MAX_TEXT:,} characters; shorten it")
        if whole_text(value) != value:
            raise RunError(f"{key} = {shown(value)} is no UTF-8; write it in UTF-8")
    return {"format": FORMAT, "event": event, **values, **said, "at_s": round(time.time(), 3)}


def is_same_request(written: Body, asked: Body) -> bool:
    """Whether an entry is what somebody asks for again: all but the moment, and the step that follows from the moment."""
    keys = (written.keys() | asked.keys()) - {"at_s", "at_step"}
    return all(written.get(key) == asked.get(key) for key in keys)


def check_numbers(name: str, *, global_batch: int = 1, canonical_nodes: int = 1, **others: int | None) -> None:
    """Raises: RunError for a number that no run can have."""
    for key, value in {**others, "global_batch": global_batch, "canonical_nodes": canonical_nodes}.items():
        low, high = BOUNDS[key]
        if value is not None and (type(value) is not int or not low <= value <= high):
            raise RunError(f"run {name}: {key} = {value!r} is no whole number from {low} to {high:,}; give one that is")
    if global_batch % canonical_nodes:
        raise RunError(
            f"run {name}: canonical_nodes {canonical_nodes} does not divide the global batch of {global_batch}; use a "
            "divisor of it"
        )


def check_length(name: str, ledger: Ledger, mixture: str, seq_len: int) -> None:
    """Raises: RunError when a mixture is of another sequence length than the run."""
    if seq_len != ledger.settings.seq_len:
        raise RunError(
            f"run {name} has seq_len {ledger.settings.seq_len}, {mixture} {seq_len}; switch to a mixture of the same, or "
            "start another run"
        )


def refuse_ended(name: str, ledger: Ledger) -> None:
    """Raises: RunError when the run has ended."""
    if ledger.ended is not None:
        raise RunError(f"run {name} has ended: {ledger.ended}; fork it, or start another run")
