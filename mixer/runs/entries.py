"""Entries that somebody makes in a run's log, and what they may say."""

import time
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from mixer.errors import RunError
from mixer.faults import Fault, check
from mixer.ledger.ledger import FORMAT, Batches, Ledger, Shape, Step, Steps
from mixer.steering.binding import Bound
from streamer.catalog.names import whole_text
from streamer.store.log import Body
from streamer.wording import shown

MAX_TEXT = 4000  # characters
T = TypeVar("T")


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """Steps and counts that entries are made of. Segments are written for what is skipped too."""

    at_step: Step | None = None
    to_step: Step = 0
    start_step: Step = 0
    batches: Batches = 1
    num_steps: Steps | None = None
    skip: Annotated[int, Meta(ge=0, le=1 << 16, title="an integer from 0 to 65,536")] = 0


def checked(name: str, values: dict[str, Any], kind: type[T]) -> T:
    """Raises: RunError for a value that no run can have."""
    try:
        return check(values, kind)
    except Fault as fault:
        raise RunError(f"run {name}: {fault}") from fault


def check_nodes(name: str, shape: Shape) -> None:
    """Raises: RunError when canonical nodes do not divide the global batch."""
    if shape.global_batch % shape.canonical_nodes:
        raise RunError(
            f"run {name}: canonical_nodes = {shape.canonical_nodes} does not divide global_batch = {shape.global_batch}; "
            "use a divisor of it"
        )


def entry(event: str, by: str | None, why: str | None, **values: Any) -> Body:
    """An entry that somebody made. Raises: RunError for a name or a reason that is no short text."""
    said = {key: value for key, value in (("by", by), ("why", why)) if value is not None}
    for key, value in said.items():
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise RunError(f"{key} must be a text of at most {MAX_TEXT:,} characters; shorten it")
        if whole_text(value) != value:
            raise RunError(f"{key} = {shown(value)} is not UTF-8; write it in UTF-8")
    return {"format": FORMAT, "event": event, **values, **said, "at_s": round(time.time(), 3)}


def is_same_request(written: Body, asked: Body) -> bool:
    """Whether an entry is what somebody asks for again: all but the moment, and the step that follows from the moment."""
    keys = (written.keys() | asked.keys()) - {"at_s", "at_step"}
    return all(written.get(key) == asked.get(key) for key in keys)


def check_length(name: str, ledger: Ledger, bound: Bound) -> None:
    """Raises: RunError when mixtures are of another sequence length than the run."""
    have = ledger.settings.seq_len
    if bound.seq_len != have:
        raise RunError(
            f"run {name} has seq_len {have}, {bound.plan.mixture} {bound.seq_len}; switch to a mixture of the same, or "
            "start another run"
        )


def refuse_ended(name: str, ledger: Ledger) -> None:
    """Raises: RunError when the run has ended."""
    if ledger.ended is not None:
        raise RunError(f"run {name} has ended: {ledger.ended}; fork it, or start another run")
