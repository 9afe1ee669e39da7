"""Shares as integers: 2^40 is the whole, and weights are rounded to it without a remainder."""

from fractions import Fraction

ONE_BITS = 40
ONE = 1 << ONE_BITS


def to_shares(weights: list[Fraction]) -> list[int]:
    """Integers that sum to ONE, in proportion to weights; what rounding leaves goes out by largest remainder."""
    total = sum(weights)
    exact = [weight * ONE / total for weight in weights]
    shares = [int(value) for value in exact]
    order = sorted(range(len(weights)), key=lambda place: (shares[place] - exact[place], place))
    for place in order[: ONE - sum(shares)]:
        shares[place] += 1
    return shares
