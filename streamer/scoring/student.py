"""The annotator's fast student: hashed n-grams and a ridge regression, fitted to the annotator's scores.

Always holds: the student's scores lie on the annotator's scale (its predictions are mapped to the annotator's scores
of the same rank), so both can be ranked together; the same texts and scores give the same student.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from streamer.scoring.sections import cut_sections

CODE_WORD = r"[A-Za-z_]\w*|\d+|[^\w\s]|\n[ \t]*"
NUM_FEATURES = 2**16
NUM_FOLDS = 5
RIDGE = 1.0
Scores = npt.NDArray[np.float64]


class Student(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted student. `predicted` and `scores` are the two ascending columns of the mapping to the annotator's scale.

    `rank_correlation`: Spearman's, with the annotator, of predictions for files that the fold's student had not seen.
    """

    section_tokens: int
    weights: npt.NDArray[np.float64]
    bias: float
    predicted: Scores
    scores: Scores
    rank_correlation: float

    def score(self, texts: Sequence[str]) -> Scores:
        """(texts,) scores between the lowest and the highest that the annotator gave."""
        rows = hash_files(texts, section_tokens=self.section_tokens)
        return np.interp(np.asarray(rows @ self.weights).ravel() + self.bias, self.predicted, self.scores)


def hash_ngrams(texts: Sequence[str]) -> Any:
    """(texts, 65536) sparse counts of code words and pairs of them, each row of length 1."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        token_pattern=CODE_WORD, lowercase=False, ngram_range=(1, 2), n_features=NUM_FEATURES, alternate_sign=False
    )
    return vectorizer.transform(texts)


def hash_files(texts: Sequence[str], *, section_tokens: int) -> Any:
    """(texts, 65536) features of the sections that the annotator would see."""
    return hash_ngrams(["\n".join(cut_sections(text, section_tokens=section_tokens)) for text in texts])


def fit_student(texts: Sequence[str], scores: npt.ArrayLike, *, section_tokens: int) -> Student:
    """Fits a student to the annotator's scores of these texts (at least 2)."""
    from sklearn.linear_model import Ridge

    rows, wanted = hash_files(texts, section_tokens=section_tokens), np.asarray(scores, dtype=np.float64)
    clipped = np.clip(wanted, 1e-4, 1 - 1e-4)
    target = np.log(clipped / (1 - clipped))
    folds = np.arange(len(wanted)) % min(NUM_FOLDS, len(wanted))
    unseen = np.zeros(len(wanted))
    for fold in np.unique(folds):
        found = Ridge(alpha=RIDGE, solver="sparse_cg", tol=1e-6).fit(rows[folds != fold], target[folds != fold])
        unseen[folds == fold] = found.predict(rows[folds == fold])
    whole = Ridge(alpha=RIDGE, solver="sparse_cg", tol=1e-6).fit(rows, target)
    return Student(
        section_tokens=section_tokens,
        weights=np.asarray(whole.coef_, dtype=np.float64).ravel(),
        bias=float(whole.intercept_),
        predicted=np.sort(unseen),
        scores=np.sort(wanted),
        rank_correlation=rank_correlation(unseen, wanted),
    )


def rank_correlation(first: Scores, second: Scores) -> float:
    """Spearman's rank correlation; 0 when one of the two is constant."""
    from scipy.stats import rankdata

    ranks = rankdata(first), rankdata(second)
    if min(np.ptp(ranks[0]), np.ptp(ranks[1])) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])
