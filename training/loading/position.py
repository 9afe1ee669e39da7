"""The position of a training in its run: what a loader saves, and whether a run can go on from what was saved.

Always holds: a position names its run, the step behind the last batch that was handed out, and a digest of the ledger up to
that step. A run goes on from a position only if it is the same as that run up to there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import xxhash

from mixer import RunReader
from training.errors import PositionError

FORMAT = "position/1"


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Right behind batch `step - 1` of `run`; samples are counted from `first_step` on. `ledger`: a digest up to `step`.

    `boundaries`: whether batches said where documents begin; None: as the run was created.
    """

    run: str
    step: int
    first_step: int
    ledger: str
    boundaries: bool | None = None
    format: str = FORMAT


def read_position(state: Mapping[str, Any]) -> Position:
    """A position from what was saved. Raises: PositionError for another format, or when something is missing."""
    if state.get("format") != FORMAT:
        raise PositionError(
            f"position format {state.get('format')!r} is not {FORMAT}; resume with the version that saved it"
        )
    lacking = [key for key in ("run", "step", "first_step", "ledger") if key not in state]
    if lacking:
        raise PositionError(f"the position lacks {', '.join(lacking)}; resume from a state that state_dict gave")
    try:
        return msgspec.convert(dict(state), Position)
    except msgspec.ValidationError as error:
        raise PositionError(f"the position cannot be read: {error}; resume from a state that state_dict gave") from error


def digest_ledger(reader: RunReader, step: int) -> str:
    """A digest of the settings and segments that decide the batches before `step`; those of a fork's parent, if they do."""
    settings = msgspec.json.encode(reader.settings_at(step - 1), order="sorted")
    return xxhash.xxh3_64_hexdigest(settings + reader.ledger_digest(step).encode())


def check_position(position: Position, reader: RunReader) -> None:
    """Raises: PositionError when the reader's run cannot go on from a position."""
    check_origin(position, reader)
    check_start(reader, position.step)
    found = digest_ledger(reader, position.step)
    if found != position.ledger:
        raise PositionError(
            f"run {reader.run}: up to step {position.step} the ledger's digest is {found}, the checkpoint was trained on "
            f"{position.ledger}; resume under the root where it was trained, or start another run with --from"
        )


def check_origin(position: Position, reader: RunReader) -> None:
    """Raises: PositionError when the reader's run is not, up to the position, the same as the position's run."""
    if position.run == reader.run:
        return
    upto = reader.forked_from().get(position.run)
    if upto is None:
        raise PositionError(f"the checkpoint is of run {position.run}, not of {reader.run}; resume that run, or use --from")
    if position.step > upto:
        raise PositionError(
            f"the checkpoint is of run {position.run} at step {position.step}; run {reader.run} forked from it at {upto}: "
            "resume from one up to there"
        )


def check_start(reader: RunReader, step: int) -> None:
    """Raises: PositionError when a fork would go through batches of its parent that have another size than its own."""
    forks, own_size = reader.forked_from(), reader.settings.global_batch
    starts = sorted({first for first in forks.values() if first > step})
    sizes = {first: reader.settings_at(first).global_batch for first in (step, *starts)}
    odd = max((first for first, size in sizes.items() if size != own_size), default=None)
    if odd is not None:
        first = min(start for start in starts if start > odd)
        parent = next(run for run, upto in forks.items() if upto >= first)
        raise PositionError(
            f"run {reader.run} has a global batch of {own_size}, before step {first} its parent's {sizes[odd]}: "
            f"resume from a checkpoint of {parent} at that step, or fork with its global batch"
        )
