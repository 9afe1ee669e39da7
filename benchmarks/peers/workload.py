"""The mixing work that every peer does, and what its draws are judged by. Pure but for `make_streams`.

Four streams of rows of tokens; the first three tokens of a row say which stream and which row it is, so that whatever a peer
hands over tells its own order. `SHARES` of the draws are wanted from the streams.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.uint16]
SHARES = (0.5, 0.3, 0.15, 0.05)
OTHER_SHARES = (0.25, 0.3, 0.15, 0.3)


class Peer(Protocol):
    """One loader. `write` turns streams into its format; `batches` yields arrays or tensors of shape (size, seq_len)."""

    name: str

    def write(self, folder: Path, streams: list[Rows]) -> None: ...

    def batches(
        self,
        folder: Path,
        shares: tuple[float, ...],
        size: int,
        workers: int,
        *,
        rank: int = 0,
        world_size: int = 1,
    ) -> Iterator[object]: ...

    def change(
        self, folder: Path, before: tuple[float, ...], after: tuple[float, ...], size: int, batches: int
    ) -> Iterator[object]:
        """As a person would do it: `batches` batches by the shares before, and from there on by the others."""
        ...


def make_streams(sizes: Iterable[int], seq_len: int) -> list[Rows]:
    """Rows of random tokens below 30,000 that begin with their stream and their number."""
    random = np.random.default_rng(1)
    streams = []
    for stream, count in enumerate(sizes):
        rows = random.integers(0, 30_000, (count, seq_len), np.uint16)
        numbers = np.arange(count)
        rows[:, 0], rows[:, 1], rows[:, 2] = stream, numbers & 0x7FFF, numbers >> 15
        streams.append(rows)
    return streams


def identify(batch: object) -> npt.NDArray[np.int64]:
    """(size, 2): stream and row of each sample of a batch."""
    head = np.asarray(batch)[:, :3].astype(np.int64)
    return np.stack([head[:, 0], head[:, 1] | head[:, 2] << 15], axis=1)


class Fidelity(NamedTuple):
    """`worst_error` in samples over all batches and streams. `repeats`: draws of a row before its stream's pass had ended,
    `lost`: rows that were never drawn in the first two passes; both in percent of the rows."""

    worst_error: float
    repeats: float
    lost: float


def judge(draws: npt.NDArray[np.int64], size: int, shares: tuple[float, ...], sizes: tuple[int, ...]) -> Fidelity:
    """`draws` (samples, 2) in order, of batches of `size`."""
    whole = len(draws) // size * size
    drawn = np.cumsum(draws[:whole, :1] == np.arange(len(sizes)), axis=0)[size - 1 :: size]
    wanted = (np.arange(1, whole // size + 1) * size)[:, None] * np.array(shares)
    repeats = lost = rows = 0
    for stream, count in enumerate(sizes):
        own = draws[draws[:, 0] == stream, 1]
        if len(own) < 2 * count:
            continue
        rows += count
        repeats += count - len(np.unique(own[:count]))
        lost += count - len(np.unique(own[: 2 * count]))
    return Fidelity(float(np.abs(drawn - wanted).max()), 100 * repeats / max(rows, 1), 100 * lost / max(rows, 1))


def repeats_after_change(draws: npt.NDArray[np.int64], changed_at: int, sizes: tuple[int, ...]) -> float:
    """Of what is drawn after a change of shares, the percentage drawn although its stream's pass had not ended."""
    early = total = 0
    for stream, count in enumerate(sizes):
        places = np.flatnonzero(draws[:, 0] == stream)[:count]
        rows = draws[places, 1]
        _, first = np.unique(rows, return_index=True)
        is_first = np.zeros(len(rows), bool)
        is_first[first] = True
        after = places >= changed_at
        early += int((after & ~is_first).sum())
        total += int(after.sum())
    return 100 * early / max(total, 1)
