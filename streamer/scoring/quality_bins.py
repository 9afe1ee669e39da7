"""Documents ranked by score and cut into tiers (DESIGN section 5).

Always holds: every document is in exactly one tier; no document of a tier scores below one of a lower tier; inside a tier
the best come first; equal scores are ordered by document id, so the same scores give the same tiers. Documents that come
later take the tiers that their places among all documents give them, and those that are there keep theirs.
"""

from collections.abc import Sequence

from streamer.errors import CorpusError

TIERS = tuple(range(95, -1, -5))  # 20 equal ones


def check_bounds(bounds: Sequence[int]) -> tuple[int, ...]:
    """Lower percentile bounds, highest first, down to 0. Raises: CorpusError."""
    if not bounds or list(bounds) != sorted(set(bounds), reverse=True) or bounds[-1] != 0 or bounds[0] > 99:
        raise CorpusError(
            f"bins {list(bounds)} cannot be lower percentiles: give whole numbers from at most 99 down to 0, "
            "each once, for example [80, 50, 0]"
        )
    return tuple(bounds)


def equal_bounds(tiers: int) -> tuple[int, ...]:
    """The lower percentile bounds of so many equal tiers. Raises: CorpusError when whole percents cannot bound them."""
    if not 1 <= tiers <= 100 or 100 % tiers:
        raise CorpusError(f"{tiers} equal tiers have no whole percents as bounds; cut 1, 2, 4, 5, 10, 20, 25, 50 or 100")
    return tuple(range(100 - 100 // tiers, -1, -(100 // tiers)))


def bin_name(bound: int) -> str:
    """The last word of the tier's stream: q80 holds the 80th percentile and what lies above, up to the next tier."""
    return f"q{bound:02d}"


def cut_bins(
    scores: Sequence[float], ids: Sequence[str], bounds: Sequence[int], *, old: Sequence[tuple[float, str]] = ()
) -> dict[int, list[int]]:
    """Indices of the documents of one language for each lower percentile bound, best first.

    A document at place r of n (0 the best) lies at percentile 100 (n - r - 0.5) / n: of 10 documents, 2 are in q80.

    Args: old, scores and ids of documents that are ranked together with them and have their tiers already.
    """
    count, new = len(scores) + len(old), len(scores)
    ranked = sorted(
        [*((-score, one, place) for place, (score, one) in enumerate(zip(scores, ids, strict=True)))]
        + [(-score, one, new) for score, one in old]
    )
    bins: dict[int, list[int]] = {bound: [] for bound in check_bounds(bounds)}
    for place, (_, _, index) in enumerate(ranked):
        if index < new:
            percentile = 100 * (2 * (count - place) - 1)
            bins[next(bound for bound in bins if percentile >= 2 * count * bound)].append(index)
    return bins
