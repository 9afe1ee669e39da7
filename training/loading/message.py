"""Messages: how a worker process hands batches to the trainer, several at once while batches are small.

Always holds: a message keeps the order of its batches, and what ended them comes last.

How: torch hands a message over at a cost of about a millisecond, whatever it holds, so that batches of 8 rows were eleven
times slower with workers than without. A message therefore holds as many batches as fit into `MESSAGE_BYTES`, but no more
than keep all workers together within a segment (else a switch would take effect later than one segment from now). The bytes
of all its arrays lie in one piece of shared memory. They do not go through the pipe: a worker whose trainer was killed would
wait for ever at a full one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from streamer.errors import PhasemixError

MESSAGE_BYTES = 2 << 20
PREFETCH = 2  # messages that a worker has ready, torch's default
ALIGNMENT = 16  # bytes; a multiple of every item's size

Arrays = Mapping[str, npt.NDArray[Any]]
Item = dict[str, torch.Tensor]


class Failure(msgspec.Struct, frozen=True):
    """What comes in place of a batch, after the last one: the error or the end that the run met."""

    error: PhasemixError


class Numbered(NamedTuple):
    """A batch with its number in the run. `num_streams`: how many streams the run had had when it was read."""

    step: int
    num_streams: int
    arrays: Arrays


class Field(NamedTuple):
    """Where an array lies in a message. `start` in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int


class Message(NamedTuple):
    """Batches as (step, num_streams, fields) over the bytes of `packed`; `failure`, if there is one, follows them."""

    batches: list[tuple[int, int, list[Field]]]
    packed: torch.Tensor | None
    failure: Failure | None


def batches_a_message(batch_bytes: int, *, num_workers: int, segment_batches: int) -> int:
    """How many batches one message holds."""
    within_segment = segment_batches // max(1, num_workers * PREFETCH)
    return max(1, min(MESSAGE_BYTES // max(1, batch_bytes), within_segment))


def pack(batches: list[Numbered], failure: Failure | None) -> Message:
    """A message of batches. Their arrays are copied into shared memory."""
    placed, size = [], 0
    for batch in batches:
        fields = []
        for name, array in batch.arrays.items():
            fields.append(Field(name, array.dtype.str, array.shape, size))
            size += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        placed.append((batch.step, batch.num_streams, fields))
    if not size:
        return Message(placed, None, failure)
    packed = torch.empty(0, dtype=torch.uint8).set_(torch.UntypedStorage._new_shared(size))  # type: ignore[no-untyped-call]
    memory = packed.numpy()
    for (_, _, fields), batch in zip(placed, batches, strict=True):
        for field in fields:
            array = batch.arrays[field.name]
            memory[field.start : field.start + array.nbytes].view(array.dtype).reshape(array.shape)[...] = array
    return Message(placed, packed, failure)


def unpack(message: Message) -> list[tuple[int, int, Item]]:
    """(step, num_streams, tensors) of each batch. The tensors are views: any of them keeps the whole message in memory."""
    packed = message.packed
    if packed is None:
        return [(step, num_streams, {}) for step, num_streams, _ in message.batches]
    memory = packed.numpy()
    return [
        (step, num_streams, {name: view(memory, dtype, shape, start) for name, dtype, shape, start in fields})
        for step, num_streams, fields in message.batches
    ]


def view(memory: npt.NDArray[np.uint8], dtype: str, shape: tuple[int, ...], start: int) -> torch.Tensor:
    """One array of a message as a tensor."""
    return torch.from_numpy(np.ndarray(shape, dtype, buffer=memory, offset=start))
