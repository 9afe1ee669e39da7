"""Documents ranked by score and cut into quality bins (DESIGN section 5).

Always holds: every document is in exactly one bin; no document of a bin scores below one of a lower bin; inside a bin
the best come first; equal scores are ordered by document id, so the same scores give the same bins.
"""

from collections.abc import Sequence

from streamer.errors import CorpusError


def check_bounds(bounds: Sequence[int]) -> tuple[int, ...]:
    """Lower percentile bounds, highest first, down to 0. Raises: CorpusError."""
    if not bounds or list(bounds) != sorted(set(bounds), reverse=True) or bounds[-1] != 0 or bounds[0] > 99:
        raise CorpusError(
            f"bins {list(bounds)} cannot be lower percentiles: give whole numbers from at most 99 down to 0, "
            "each once, for example [80, 50, 0]"
        )
    return tuple(bounds)


def bin_name(bound: int) -> str:
    """The last word of the bin's stream: q80 holds the 80th percentile and what lies above, up to the next bin."""
    return f"q{bound:02d}"


def cut_bins(scores: Sequence[float], ids: Sequence[str], bounds: Sequence[int]) -> dict[int, list[int]]:
    """Indices of the documents of one language for each lower percentile bound, best first.

    A document at place r of n (0 the best) lies at percentile 100 (n - r - 0.5) / n: of 10 documents, 2 are in q80.
    """
    count = len(scores)
    ranked = sorted(range(count), key=lambda index: (-scores[index], ids[index]))
    bins: dict[int, list[int]] = {bound: [] for bound in check_bounds(bounds)}
    for place, index in enumerate(ranked):
        percentile = 100 * (2 * (count - place) - 1)
        bins[next(bound for bound in bins if percentile >= 2 * count * bound)].append(index)
    return bins
