"""How much of a text its seed document has: word for word, and under other names.

Always holds: comments and white space change neither share; other names and numbers change the first alone.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from streamer.likeness.code_words import Hashes, code_words, shingle_hashes
from streamer.likeness.near_duplicates import USUAL

RUN = 16  # words of a run that is compared without names
LEAST_KINDS = 4  # different ones in such a run; runs of fewer are tables and lists, which tell nothing
LEAST_RUNS = 10  # a text of fewer is compared by its words alone
MOST_SEEDS = 256  # whose runs are kept, some 15 KB each: a seed comes again with the next files that are written from it


class Shares(NamedTuple):
    """The shares of a text's runs that its seed has: of five words each, and of 16 without names, 0 for short texts."""

    words: float
    structure: float


def shares_of_seed(text: str, seed: str, language: str) -> Shares:
    """How much of a text stands in its seed."""
    mine, seeds = code_words(text, language), seed_runs(seed, language)
    words = np.unique(shingle_hashes(mine.numbers, USUAL.shingle))
    runs = telling_runs(mine.kinds)
    return Shares(
        words=share_among(words, seeds.words),
        structure=share_among(runs, seeds.structure) if len(runs) >= LEAST_RUNS else 0.0,
    )


class Runs(NamedTuple):
    """The hashes of a seed's runs, sorted."""

    words: Hashes
    structure: Hashes


@lru_cache(MOST_SEEDS)
def seed_runs(seed: str, language: str) -> Runs:
    words = code_words(seed, language)
    return Runs(np.sort(shingle_hashes(words.numbers, USUAL.shingle)), np.sort(shingle_hashes(words.kinds, RUN)))


def share_among(hashes: Hashes, there: Hashes) -> float:
    """Which share of some hashes is among others, which are sorted."""
    places = np.minimum(np.searchsorted(there, hashes), len(there) - 1)
    return float((there[places] == hashes).mean())


def telling_runs(kinds: Hashes) -> Hashes:
    """The hashes of the different runs of words without names that have enough different ones."""
    if len(kinds) <= RUN:
        return np.zeros(0, np.uint64)
    hashes = shingle_hashes(kinds, RUN)
    order, places = np.argsort(kinds, kind="stable"), np.arange(len(kinds))
    before = np.full(len(kinds), -1)  # where the same word stands the last time before
    before[order[1:]] = np.where(kinds[order[1:]] == kinds[order[:-1]], order[:-1], -1)
    # A word is the first of its kind in the runs that begin behind the one before it, up to its own place.
    since = np.maximum(before, places - RUN) + 1
    different = np.cumsum(np.bincount(np.maximum(since, 0), minlength=len(kinds))) - places
    found: Hashes = np.unique(hashes[different[: len(hashes)] >= LEAST_KINDS])
    return found
