"""What the ranks of a training tell each other, over torch's process group.

Always holds: without a process group there is one rank, and nothing is sent.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import distributed

from training.errors import LostRankError

T = TypeVar("T")


def is_one_of_many() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def rank() -> int:
    return distributed.get_rank() if is_one_of_many() else 0


def world_size() -> int:
    return distributed.get_world_size() if is_one_of_many() else 1


def all_reduce(tensor: torch.Tensor, operation: str) -> None:
    """Sums up (`SUM`) or takes the highest (`MAX`), in place."""
    if is_one_of_many():
        distributed.all_reduce(tensor, getattr(distributed.ReduceOp, operation))


def gather(value: Any) -> list[Any]:
    """Each rank's value, in the order of ranks."""
    if not is_one_of_many():
        return [value]
    found: list[Any] = [None] * world_size()
    distributed.all_gather_object(found, value)
    return found


def of_first(find: Callable[[], T]) -> T:
    """What the first rank finds, which alone looks, on every rank."""
    if not is_one_of_many():
        return find()
    found: list[Any] = [find() if rank() == 0 else None]
    distributed.broadcast_object_list(found)
    told: T = found[0]
    return told


def any_rank(flag: bool) -> bool:
    """Whether the flag is set on any rank."""
    if not is_one_of_many():
        return flag
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    there = torch.tensor([int(flag)], device=device)
    all_reduce(there, "MAX")
    return bool(there.item())


def barrier() -> None:
    """Returns once every rank has come here."""
    if is_one_of_many():
        distributed.barrier()


@contextlib.contextmanager
def plain_losses() -> Iterator[None]:
    """While ranks train together: one that is lost, or does not answer in time, is one line. Raises: LostRankError."""
    try:
        yield
    except RuntimeError as error:
        why = find_loss(error) if is_one_of_many() or isinstance(error, distributed.DistError) else None
        if why is None:
            raise
        raise LostRankError(
            f"another process of the training ended or does not answer, so rank {rank()} ends too ({why}). Look at what the "
            "others said, then start all of them again with --resume"
        ) from error


def find_loss(error: BaseException | None) -> str | None:
    """What torch says of a lost connection to another rank, however it was wrapped on the way; None when it says nothing."""
    while error is not None:
        if isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error)):
            return str(error).strip().partition("\n")[0].rpartition("] ")[2]
        error = error.__cause__ or error.__context__
    return None


def say(text: str) -> None:
    """Tells a person who waits what is being done; the first rank alone does."""
    if rank() == 0:
        print(f"phasemix: {text}", file=sys.stderr, flush=True)
