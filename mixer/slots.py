"""How many samples of each stream a global batch holds, and where in the batch they stand.

Always holds:
- exact: while the shares stay, every stream is within 1 sample of its cumulative target after every batch;
- carried: credits survive a switch, so nothing bursts;
- pure: integers only.

How: Tijdeman's chairman assignment, a batch at a time: the draws that are due, then at most one more for each stream,
earliest deadline first. Draw k of a stream stands at `hash + k * PHI mod 2^64`; a batch is its draws in that order.
"""

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from mixer.permutation import mix

ONE = 1 << 40
PHI = np.uint64(0x9E3779B97F4A7C15)
Ints = npt.NDArray[np.int64]


def to_shares(weights: list[Fraction]) -> list[int]:
    """Integers that sum to ONE, in proportion to weights; what rounding leaves goes out by largest remainder."""
    total = sum(weights)
    exact = [weight * ONE / total for weight in weights]
    shares = [int(value) for value in exact]
    order = sorted(range(len(weights)), key=lambda place: (shares[place] - exact[place], place))
    for place in order[: ONE - sum(shares)]:
        shares[place] += 1
    return shares


def count_draws(shares: Ints, credits: Ints, size: int) -> Ints:
    """Draws of each stream in a batch of `size`.

    Args: shares (streams,), sum ONE; credits (streams,), samples owed in units of 1/ONE, sum 0.
    Source: Tijdeman 1980, the chairman assignment problem: every prefix within 1 - 1/(2K-2).
    """
    present = np.flatnonzero(shares)
    counts = np.zeros(len(shares), np.int64)
    if len(present) == 1:
        counts[present] = size
        return counts
    margin = ONE // (2 * len(present) - 2)
    share, owed = shares[present], credits[present] + shares[present] * size
    each, rest = divmod(int(credits.sum() - credits[present].sum()), len(present))
    owed = owed + each + (np.arange(len(present)) < rest)
    due = np.maximum((owed + margin) // ONE, 0)
    missing = size - int(due.sum())
    while missing:
        step = 1 if missing > 0 else -1
        deadline = (ONE - margin - (owed - due * ONE)) // share
        may = (owed + ONE - margin) // ONE > due if step > 0 else due == 0
        order = np.lexsort((np.arange(len(present)), deadline * step, ~may if step > 0 else may))
        chosen = order[: min(abs(missing), len(present) if step > 0 else int((due > 0).sum()))]
        due[chosen] += step
        missing = size - int(due.sum())
    counts[present] = due
    return counts


def settle(shares: Ints, credits: Ints, counts: Ints) -> Ints:
    """Credits after a batch with these counts."""
    after: Ints = credits + shares * int(counts.sum()) - counts * ONE
    return after


def arrange(hashes: npt.NDArray[np.uint64], drawn: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """The stream of every slot of a batch and its draw's number in that stream.

    Args: hashes (streams,), keyed; drawn (streams,), draws before this batch. Returns: two arrays (sum of counts,).
    """
    streams = np.repeat(np.arange(len(counts)), counts)
    starts = np.cumsum(counts) - counts
    draws = np.arange(len(streams)) - np.repeat(starts - drawn, counts)
    with np.errstate(over="ignore"):
        place = hashes[streams] + draws.astype(np.uint64) * PHI
    order = np.argsort(place, kind="stable")
    return streams[order], draws[order]


def stream_hashes(seed: int, num_streams: int) -> npt.NDArray[np.uint64]:
    """Where each stream's draw 0 stands."""
    return mix(seed, 1, np.arange(num_streams))
