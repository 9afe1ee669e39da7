"""Which shares hold for how long when streams have caps, and what is asked of them in the batch in which they run dry.

Always holds:
- a stream with a cap is asked for what it has and for nothing more, so it leaves without a debt of either sign;
- each stream that runs dry costs at most one closing batch;
- pure: integers only, and no draws are counted, so what lies ahead is known without counting.

How: the room of a stream is what may still be asked of it: the draws that are left until its cap, less what it is owed, in
units of 1/ONE of a sample. It is None where nothing bounds it: without a cap, or where the run waits for new parts. In the
closing batch a stream's share is lowered to its room; after it the stream is dry and its share is zero. What it leaves goes
to the other streams of its component, in proportion, or to all others when they have run dry too. Where a stream stops the
run, the closing batch is the last one, and there is none if it would take more than a sample or two from somebody.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mixer.order.shares import ONE

SLACK = ONE >> 12  # what shares that are rounded to 1/ONE add up to in 2^28 samples
MOST_MISSING = 2 * ONE  # what a closing batch that ends the run may lack of a stream that runs dry in it
MOST_ADDED = ONE  # what it may ask of another stream beyond its share; counting adds less than a sample

Room = Sequence[int | None]


class Terms(NamedTuple):
    """What a plan says of its streams: `shares` in 1/ONE; `leaves`: whether the others take over when it is dry."""

    shares: Sequence[int]
    component: Sequence[str]
    leaves: Sequence[bool]


class Ahead(NamedTuple):
    """The next `batches`: the shares they ask for, and the streams that were dry before and those that run dry in them.

    With `ending` streams it is one closing batch. Without batches the run ends: at stream `halt`, or, where that is None,
    because all streams are dry.
    """

    batches: int
    shares: Sequence[int] = ()
    dry: Sequence[int] = ()
    ending: Sequence[int] = ()
    halt: int | None = None


def is_spent(room: int | None) -> bool:
    """Whether a stream has been asked for all that it has."""
    return room is not None and room <= SLACK


def look_ahead(terms: Terms, room: Room, dry: Sequence[int], size: int, limit: int) -> Ahead:
    """Up to `limit` batches of `size` samples until something changes. `dry`: the streams that have been asked for all."""
    halting = [place for place in dry if not terms.leaves[place]]
    shares = spread(terms, dict.fromkeys(dry, 0))
    if halting or shares is None:
        return Ahead(0, dry=dry, halt=halting[0] if halting else None)
    bounded = [
        (left + SLACK) // (share * size) for left, share in zip(room, shares, strict=True) if share and left is not None
    ]
    batches = max(0, min(limit, *bounded)) if bounded else limit
    return Ahead(batches, shares, dry) if batches else close(terms, room, dry, shares, size)


def close(terms: Terms, room: Room, dry: Sequence[int], shares: Sequence[int], size: int) -> Ahead:
    """The closing batch, or the run's end. `shares`: what the streams that are not dry were to be asked for."""
    kept = dict.fromkeys(dry, 0)
    lowered: Sequence[int] | None = shares
    while lowered is not None:
        short = {
            place: max(0, -(-left // size))
            for place, (left, share) in enumerate(zip(room, lowered, strict=True))
            if place not in kept and left is not None and share * size > left + SLACK
        }
        if not short:
            break
        kept |= short
        lowered = spread(terms, kept)
    ending = [place for place in kept if place not in dry]  # those that are short of their own share come first
    halting = [place for place in ending if not terms.leaves[place]]
    if lowered is None or (halting and not is_small(room, size, shares, lowered, halting, ending)):
        return Ahead(0, dry=dry, halt=halting[0] if halting else None)
    return Ahead(1, lowered, dry, sorted(ending), halting[0] if halting else None)


def is_small(
    room: Room, size: int, shares: Sequence[int], lowered: Sequence[int], halting: Sequence[int], ending: Sequence[int]
) -> bool:
    """Whether a closing batch that ends the run departs from the shares by no more than it may."""
    missing = max(shares[place] * size - (room[place] or 0) for place in halting)
    added = max(
        (low - share) * size for place, (low, share) in enumerate(zip(lowered, shares, strict=True)) if place not in ending
    )
    return missing <= MOST_MISSING and added <= MOST_ADDED


def spread(terms: Terms, kept: Mapping[int, int]) -> list[int] | None:
    """The shares when some streams keep only so much of theirs; None when there is no other stream to take the rest.

    A stream that was to take over from others and runs dry in the same batch may keep more than its own share.
    """
    shares = list(terms.shares)
    others = [place for place, share in enumerate(shares) if share and place not in kept]
    for place in sorted(kept, key=lambda place: kept[place] > shares[place]):
        left = shares[place] - kept[place]
        near = [other for other in others if terms.component[other] == terms.component[place] and left > 0] or others
        total = sum(shares[other] for other in near)
        if not total:
            return None
        given = [left * shares[other] // total for other in near]
        given[0] += left - sum(given)
        for other, more in zip(near, given, strict=True):
            shares[other] += more
        shares[place] = kept[place]
    return shares


class Course(NamedTuple):
    """How a run goes: `steps` batches, fewer than were wanted where it ends at stream `halt` or with all streams dry.

    `asked`: what they ask of each stream, in 1/ONE.
    """

    steps: int
    asked: list[int]
    halt: int | None


def follow_steps(terms: Terms, room: Room, size: int, wanted: int) -> Course:
    """The next `wanted` batches over streams that do not grow, as segments will have them."""
    room, steps, asked = list(room), 0, [0] * len(room)
    while steps < wanted:
        dry = [place for place, left in enumerate(room) if terms.shares[place] and is_spent(left)]
        ahead = look_ahead(terms, room, dry, size, wanted - steps)
        if not ahead.batches:
            return Course(steps, asked, ahead.halt)
        steps += ahead.batches
        amounts = [share * size * ahead.batches for share in ahead.shares]
        asked = [had + more for had, more in zip(asked, amounts, strict=True)]
        room = [None if left is None else left - more for left, more in zip(room, amounts, strict=True)]
    return Course(steps, asked, None)
