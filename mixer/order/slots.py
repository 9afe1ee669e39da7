"""How many samples of each stream a global batch holds, and where in the batch they stand.

Always holds:
- exact: while the shares stay, every stream is within 1 sample of its cumulative target after every batch;
- carried: credits survive a switch, so nothing bursts;
- pure: integers only.

How: Tijdeman's chairman assignment, a batch at a time: the draws that are due, then at most one more for each stream,
earliest deadline first. Draw k of a stream stands at `hash + k * PHI mod 2^64`; a batch is its draws in that order.
"""

import numpy as np
import numpy.typing as npt

from mixer.order.permutation import PHI, Ints, Words, fold, mix
from mixer.order.shares import ONE, ONE_BITS

FEW = 8  # batches for which the arrays of `count_at_once` cost more than a loop
MOST_SAMPLES = 1 << 20  # of the batches that are counted at once: more would leave no room in 63 bits
MOST_COUNTS = 1 << 15
FAR = np.int64(np.iinfo(np.int64).max)
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
    most = max(1, min(MOST_SAMPLES // size, MOST_COUNTS // len(present)))
    for first in range(0, batches, most):
        number = min(most, batches - first)
        found = count_at_once(share, owed, margin, size, number) if number >= FEW else None
        if found is None:
            found = count_in_turn(share, owed, margin, size, number)
        owed = owed + share * (size * number) - (found.sum(0) << ONE_BITS)
        counts[first : first + number, present] = found
    return counts


def count_in_turn(share: Ints, owed: Ints, margin: int, size: int, batches: int) -> Ints:
    """The rule as it is said, one batch after the other. `owed` holds the margin already."""
    owed, gain, found = owed.copy(), share * size, np.empty((batches, len(share)), np.int64)
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
    return found


def even_out(is_present: npt.ArrayLike, credits: Ints) -> Ints:
    """What each present stream is owed: its credit, and its part of what the absent hold, which is taken evenly off them."""
    present = np.flatnonzero(is_present)
    owed = np.zeros_like(credits)
    if len(present):
        each, rest = divmod(-int(credits[present].sum()), len(present))
        owed[present] = credits[present] + each + (np.arange(len(present)) < rest)
    return owed


def count_at_once(share: Ints, owed: Ints, margin: int, size: int, batches: int) -> Ints | None:
    """What `count_in_turn` finds, several times faster; None where the short cut does not hold.

    While shares stay, a stream has had after any batch what was due of it by then, or one sample more. How many streams are
    one ahead is known of every batch beforehand, and so is when a draw is released and when it is due. Only the choice of
    who goes ahead is left to a loop, which holds the streams that are ahead as the bits of an integer. The short cut does
    not hold where more than what is there is due, or too little is released: after some switches.
    """
    width = len(share)
    samples = np.arange(1, batches + 1)[:, None] * size
    left = samples * share + owed
    counts = np.maximum(left >> ONE_BITS, 0)  # what is due in all
    ahead = samples[:, 0] - counts.sum(1)
    if ahead.min() < 0:
        return None
    is_same = np.empty((batches, width), bool)  # who was ahead before stays so
    is_same[0], is_same[1:] = counts[0] == 0, counts[1:] == counts[:-1]
    left -= counts << ONE_BITS
    is_free = left >= 2 * margin
    deadline = np.where(is_free, (ONE - left) // share, FAR)
    order = np.argsort(deadline, axis=1, kind="stable")[:, : int(ahead.max())]
    same, row_bytes = np.packbits(is_same, axis=1, bitorder="little").tobytes(), -(-width // 8)
    bits, held, found = [1 << place for place in range(width)], 0, []
    for place, wanted, line in zip(range(0, len(same), row_bytes), ahead.tolist(), order.tolist(), strict=True):
        held &= int.from_bytes(same[place : place + row_bytes], "little")
        missing = wanted - held.bit_count()
        if missing < 0:
            return None
        for stream in line if missing else ():
            if not held & bits[stream]:
                held |= bits[stream]
                missing -= 1
                if not missing:
                    break
        found.append(held.to_bytes(row_bytes, "little"))
    packed = np.frombuffer(b"".join(found), np.uint8).reshape(batches, row_bytes)
    is_ahead = np.unpackbits(packed, axis=1, count=width, bitorder="little").view(bool)
    is_new = is_ahead.copy()
    is_new[1:] &= ~(is_ahead[:-1] & is_same[1:])
    if (is_new & ~is_free).any() or (is_ahead.sum(1) != ahead).any():
        return None
    counts += is_ahead
    return np.diff(counts, axis=0, prepend=np.zeros((1, width), np.int64))


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
