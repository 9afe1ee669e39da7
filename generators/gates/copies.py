"""How much of a text its seed document has: word for word, and under other names.

Always holds: comments and white space change neither share; other names and numbers change the first alone.
"""

from typing import NamedTuple

import numpy as np

from streamer.likeness.code_words import Hashes, code_words, shingle_hashes
from streamer.likeness.near_duplicates import USUAL

RUN = 16  # words of a run that is compared without names
LEAST_KINDS = 4  # different ones in such a run; runs of fewer are tables and lists, which tell nothing
LEAST_RUNS = 10  # a text of fewer is compared by its words alone


class Shares(NamedTuple):
    """The shares of a text's runs that its seed has: of five words each, and of 16 without names, 0 for short texts."""

    words: float
    structure: float


def shares_of_seed(text: str, seed: str, language: str) -> Shares:
    """How much of a text stands in its seed."""
    mine, theirs = code_words(text, language), code_words(seed, language)
    words = np.unique(shingle_hashes(mine.numbers, USUAL.shingle))
    runs = telling_runs(mine.kinds)
    return Shares(
        words=float(np.isin(words, shingle_hashes(theirs.numbers, USUAL.shingle)).mean()),
        structure=float(np.isin(runs, shingle_hashes(theirs.kinds, RUN)).mean()) if len(runs) >= LEAST_RUNS else 0.0,
    )


def telling_runs(kinds: Hashes) -> Hashes:
    """The hashes of the different runs of words without names that have enough different ones."""
    if len(kinds) <= RUN:
        return np.zeros(0, np.uint64)
    hashes = shingle_hashes(kinds, RUN)
    words = np.sort(np.lib.stride_tricks.sliding_window_view(kinds, RUN)[: len(hashes)], axis=1)
    found: Hashes = np.unique(hashes[1 + (words[:, 1:] != words[:, :-1]).sum(axis=1) >= LEAST_KINDS])
    return found
