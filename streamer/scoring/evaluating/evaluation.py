"""How well scores tell a benchmark's solutions from random documents, and whether they measure more than length.

Always holds: the same scores and seed give the same figures. A figure is an area under the ROC curve: the chance that a
solution scores above a random document, ties counting half.

Source: Figure 2 of the Arctic-SnowCoder paper. That length alone tells solutions from files, and how far, is why every
figure has two companions here: the best that length alone can do, and the area among pairs of nearly equal length.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from streamer.scoring.roc import Floats, roc_auc, wins

BOOTSTRAPS, CONFIDENCE = 1000, 0.95
NEAR_LENGTH = 1.25  # lengths at most so many times each other are nearly equal


class Scored(msgspec.Struct, frozen=True):
    """Files with their scores: `scores`, `lengths` in characters and `languages`, each (files,)."""

    scores: Floats
    lengths: npt.NDArray[np.int64]
    languages: npt.NDArray[np.str_]

    def of(self, language: str) -> "Scored":
        mine = self.languages == language
        return Scored(self.scores[mine], self.lengths[mine], self.languages[mine])


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one set and one language, None for all together.

    `auc` with the bounds of its 95 % interval; `by_length`: of the better of "the shorter file" and "the longer file";
    `matched`: among the `pairs` of a solution and a document of nearly equal length, which `matched_solutions` of the
    solutions have, None where none has.
    """

    set: str
    language: str | None
    solutions: int
    documents: int
    auc: float
    low: float
    high: float
    by_length: float
    matched: float | None
    pairs: int
    matched_solutions: int


def compare(name: str, language: str | None, solutions: Scored, documents: Scored, *, seed: int) -> Figures:
    """Both have at least one file."""
    low, high = interval(solutions.scores, documents.scores, seed=seed)
    shorter = roc_auc(-solutions.lengths, -documents.lengths)
    matched, pairs, covered = matched_auc(solutions, documents)
    return Figures(
        set=name,
        language=language,
        solutions=len(solutions.scores),
        documents=len(documents.scores),
        auc=roc_auc(solutions.scores, documents.scores),
        low=low,
        high=high,
        by_length=max(shorter, 1 - shorter),
        matched=matched,
        pairs=pairs,
        matched_solutions=covered,
    )


def interval(good: Floats, other: Floats, *, seed: int) -> tuple[float, float]:
    """The bounds of the area's 95 % interval, by drawing both kinds of files again."""
    chance, found = np.random.default_rng(seed), np.empty(BOOTSTRAPS)
    for place in range(BOOTSTRAPS):
        drawn = chance.multinomial(len(other), np.full(len(other), 1 / len(other))).astype(np.float64)
        mine = chance.integers(0, len(good), len(good))
        found[place] = wins(good, other, drawn)[mine].mean()
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def matched_auc(solutions: Scored, documents: Scored) -> tuple[float | None, int, int]:
    """The area among pairs of nearly equal length, None where there is none; how many pairs; how many solutions have some.

    Each solution counts the same, and of its documents the shorter ones together as much as the longer ones, so that length
    alone gives a half. A solution that has no document on one side is left out.
    """
    order = np.argsort(documents.lengths, kind="stable")
    lengths, scores = documents.lengths[order], documents.scores[order]
    first = np.searchsorted(lengths, np.ceil(solutions.lengths / NEAR_LENGTH), "left")
    middle = np.searchsorted(lengths, solutions.lengths, "left")
    above = np.searchsorted(lengths, solutions.lengths, "right")
    end = np.searchsorted(lengths, np.floor(solutions.lengths * NEAR_LENGTH), "right")
    found, pairs = list[float](), 0
    for score, *sides in zip(solutions.scores, first, middle, above, end, strict=True):
        shorter, longer = scores[sides[0] : sides[1]], scores[sides[2] : sides[3]]
        if len(shorter) and len(longer):
            found.append(float(wins([score], shorter)[0] + wins([score], longer)[0]) / 2)
            pairs += len(shorter) + len(longer)
    return (float(np.mean(found)) if found else None), pairs, len(found)


def scored(scores: Floats, texts: Sequence[str], languages: Sequence[str]) -> Scored:
    return Scored(scores, np.array([len(text) for text in texts], np.int64), np.array(languages, np.str_))
