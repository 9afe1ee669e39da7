"""How many samples of each stream a global batch holds, and where in the batch they stand.

Always holds:
- exact: while the shares stay, every stream is within 1 sample of its cumulative target after every batch;
- carried: credits survive a switch, so nothing bursts;
- pure: integers only.

How: Tijdeman's chairman assignment, a batch at a time: the draws that are due, then at most one more for each stream,
earliest deadline first. Draw k of a stream stands at `hash + k * PHI mod 2^64`; a batch is its draws in that order.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mixer.order.permutation import PHI, Ints, Words, fold, mix
from mixer.order.shares import ONE, ONE_BITS

FEW = 8
LATE = np.int64(1 << 61)  # added to the deadline of a draw that is not released yet


def count_draws(shares: Ints, credits: Ints, size: int, batches: int) -> Ints:
    """Draws of each stream in each of `batches` batches of `size` samples: (batches, streams).

    Args: shares (streams,), sum ONE; credits (streams,), samples owed in units of 1/ONE, sum 0.
    Source: Tijdeman 1980, the chairman assignment problem: every prefix within 1 - 1/(2K-2).
    """
    present = np.flatnonzero(shares)
    counts = np.zeros((batches, len(shares)), np.int64)
    if len(present) == 1:
        counts[:, present] = size
        return counts
    margin = ONE // (2 * len(present) - 2)
    share, owed = shares[present], even_out(shares, credits)[present] + margin
    if len(present) <= FEW:
        counts[:, present] = list(count_few(share.tolist(), owed.tolist(), margin, size, batches))
        return counts
    gain, found = share * size, np.empty((batches, len(present)), np.int64)
    for due in found:
        owed += gain
        np.right_shift(owed, ONE_BITS, out=due)
        np.maximum(due, 0, out=due)
        owed -= due << ONE_BITS
        missing = size - int(np.add.reduce(due))
        while missing:
            deadline = (ONE - owed) // share
            if missing > 0:
                deadline += np.where(owed >= 2 * margin, 0, LATE)
                chosen = np.argsort(deadline, kind="stable")[:missing]
                step = 1
            else:
                deadline -= np.where(due > 0, 0, LATE)
                chosen = np.argsort(-deadline, kind="stable")[: min(-missing, int((due > 0).sum()))]
                step = -1
            due[chosen] += step
            owed[chosen] -= step * ONE
            missing = size - int(np.add.reduce(due))
    counts[:, present] = found
    return counts


def even_out(is_present: npt.ArrayLike, credits: Ints) -> Ints:
    """What each present stream is owed: its credit, and its part of what the absent hold, which is taken evenly off them."""
    present = np.flatnonzero(is_present)
    owed = np.zeros_like(credits)
    if len(present):
        each, rest = divmod(-int(credits[present].sum()), len(present))
        owed[present] = credits[present] + each + (np.arange(len(present)) < rest)
    return owed


def count_few(share: list[int], owed: list[int], margin: int, size: int, batches: int) -> Iterator[list[int]]:
    """What `count_draws` does, for few streams, where the calls of numpy would cost more than the counting."""
    gain, every = [one * size for one in share], range(len(share))
    for _ in range(batches):
        owed = [one + more for one, more in zip(owed, gain, strict=True)]
        due = [max(0, one >> ONE_BITS) for one in owed]
        owed = [one - (count << ONE_BITS) for one, count in zip(owed, due, strict=True)]
        missing = size - sum(due)
        while missing:
            step = 1 if missing > 0 else -1
            deadline = [(ONE - one) // of for one, of in zip(owed, share, strict=True)]
            if missing > 0:
                chosen = sorted(every, key=lambda place: (owed[place] < 2 * margin, deadline[place]))
            else:
                chosen = sorted((p for p in every if due[p]), key=lambda place: -deadline[place])
            for place in chosen[: abs(missing)]:
                due[place] += step
                owed[place] -= step * ONE
            missing = size - sum(due)
        yield due


def settle(shares: Ints, credits: Ints, counts: Ints) -> Ints:
    """Credits after batches with these counts (batches, streams). Differences wrap modulo 2^64 and come out exact."""
    with np.errstate(over="ignore"):
        after: Ints = credits + shares * int(counts.sum()) - (counts.sum(0) << ONE_BITS)
    return after


def arrange(hashes: Words, drawn: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """The stream of every slot and its draw's number in that stream: two arrays (batches, size).

    Args: hashes (streams,), keyed; drawn (streams,), draws before the first batch; counts (batches, streams).
    """
    batches, width = counts.shape
    flat = counts.ravel()
    streams = np.repeat(np.tile(np.arange(width), batches), flat)
    firsts = drawn + np.cumsum(counts, axis=0) - counts
    draws = np.repeat(firsts.ravel() - (np.cumsum(flat) - flat), flat) + np.arange(len(streams))
    with np.errstate(over="ignore"):
        places = hashes[streams] + draws.astype(np.uint64) * np.uint64(PHI)
    order = np.argsort(places.reshape(batches, -1), axis=1, kind="stable")
    order += np.arange(batches)[:, None] * order.shape[1]
    return streams[order], draws[order]


def stream_hashes(seed: int, num_streams: int) -> Words:
    """Where each stream's draw 0 stands."""
    return mix(np.uint64(fold(seed, 1)), np.arange(num_streams))  # type: ignore[arg-type]
