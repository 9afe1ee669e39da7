"""The annotator's fast student: hashed n-grams and a ridge regression, fitted to the annotator's scores.

Always holds: the student's scores lie on the annotator's scale (within each language its predictions are mapped to the
annotator's scores of the same rank), so that both can be ranked together; the same texts and scores give the same student.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from streamer.scoring.sections import cut_sections

CODE_WORD = r"[A-Za-z_]\w*|\d+|[^\w\s]|\n[ \t]*"
NUM_FEATURES = 2**16
NUM_FOLDS = 5
RIDGE = 1.0
BEST = 0.05  # of a language's files: those that a student must not lose
FEW_FILES = 20  # of a language, with fewer all languages' files together give its scale
EVERY = ""  # all languages together
Scores = npt.NDArray[np.float64]


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How far student and annotator agree on files of a language that the student had not seen.

    `rank_correlation`: Spearman's, 0 where one of the two is constant; `kept`: of the annotator's own best 5 % the share
    that the student passes on.
    """

    files: int
    rank_correlation: float
    kept: float


class Scale(msgspec.Struct, frozen=True):
    """Two ascending columns: a prediction and the annotator's score of the same rank."""

    predicted: Scores
    scores: Scores


class Student(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted student. `pass_on`: which share of a language's files the annotator reads itself; `agreement` and `scales` by
    language, under "" of all together.
    """

    section_tokens: int
    pass_on: float
    weights: npt.NDArray[np.float32]
    bias: float
    scales: dict[str, Scale]
    agreement: dict[str, Agreement]

    def score(self, texts: Sequence[str], languages: Sequence[str]) -> Scores:
        """(texts,) scores between the lowest and the highest that the annotator gave in a text's language."""
        if not texts:
            return np.zeros(0)
        rows = hash_files(texts, section_tokens=self.section_tokens)
        found = np.asarray(rows @ self.weights.astype(np.float64)).ravel() + self.bias
        for language, mine in by_language(languages):
            scale = self.scales.get(language, self.scales[EVERY])
            found[mine] = np.interp(found[mine], scale.predicted, scale.scores)
        return found


def by_language(languages: Sequence[str]) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """Each language with the places of its files."""
    names = np.asarray(languages, np.str_)
    for language in sorted(set(languages)):
        yield language, np.flatnonzero(names == language)


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


def fit_student(
    texts: Sequence[str],
    languages: Sequence[str],
    scores: npt.ArrayLike,
    *,
    section_tokens: int,
    pass_on: float,
    beside: int = 0,
) -> Student:
    """Fits a student to the annotator's scores of these texts (at least 2).

    Args: beside, how many of the first texts are not of the kind that it will score, so that the agreement leaves them out.
    """
    from sklearn.linear_model import Ridge

    def fit(rows: Any, values: Scores) -> Any:
        return Ridge(alpha=RIDGE, solver="sparse_cg", tol=1e-6).fit(rows, values)

    rows, wanted = hash_files(texts, section_tokens=section_tokens), np.asarray(scores, dtype=np.float64)
    unseen = by_folds(fit, rows, wanted)
    whole = fit(rows, wanted)
    places = dict(by_language(languages))
    groups = {EVERY: np.arange(len(wanted)), **{name: mine for name, mine in places.items() if len(mine) >= FEW_FILES}}
    return Student(
        section_tokens=section_tokens,
        pass_on=pass_on,
        weights=np.asarray(whole.coef_, dtype=np.float32).ravel(),
        bias=float(whole.intercept_),
        scales={name: Scale(np.sort(unseen[mine]), np.sort(wanted[mine])) for name, mine in groups.items()},
        agreement={
            name: agree(unseen[kept], wanted[kept], pass_on)
            for name, mine in {EVERY: groups[EVERY], **places}.items()
            if len(kept := mine[mine >= beside])
        },
    )


def by_folds(fit: Callable[[Any, Scores], Any], rows: Any, wanted: Scores) -> Scores:
    """What models that had not seen a file predict of it."""
    folds = np.arange(len(wanted)) % min(NUM_FOLDS, len(wanted))
    unseen = np.zeros(len(wanted))
    for fold in np.unique(folds):
        unseen[folds == fold] = fit(rows[folds != fold], wanted[folds != fold]).predict(rows[folds == fold])
    return unseen


def agree(predicted: Scores, scores: Scores, pass_on: float) -> Agreement:
    best = max(1, round(len(scores) * BEST))
    passed = np.argsort(-predicted, kind="stable")[: int(len(scores) * pass_on)]
    top = np.argsort(-scores, kind="stable")[:best]
    return Agreement(
        files=len(scores),
        rank_correlation=round(rank_correlation(predicted, scores), 4),
        kept=round(float(np.isin(top, passed).mean()), 4),
    )


def rank_correlation(first: Scores, second: Scores) -> float:
    """Spearman's rank correlation; 0 when one of the two is constant."""
    from scipy.stats import rankdata

    ranks = rankdata(first), rankdata(second)
    if min(np.ptp(ranks[0]), np.ptp(ranks[1])) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def encode_student(student: Student) -> bytes:
    """For `decode_student`."""
    plain = {
        "section_tokens": student.section_tokens,
        "pass_on": student.pass_on,
        "weights": student.weights.astype("<f4").tobytes(),
        "bias": student.bias,
        "scales": {
            name: [column.astype("<f8").tobytes() for column in (scale.predicted, scale.scores)]
            for name, scale in sorted(student.scales.items())
        },
        "agreement": {name: msgspec.to_builtins(one) for name, one in sorted(student.agreement.items())},
    }
    return msgspec.msgpack.encode(plain)


def decode_student(data: bytes) -> Student:
    plain = msgspec.msgpack.decode(data)
    scales = {
        name: Scale(*(np.frombuffer(column, "<f8") for column in columns)) for name, columns in plain["scales"].items()
    }
    return Student(
        section_tokens=plain["section_tokens"],
        pass_on=plain["pass_on"],
        weights=np.frombuffer(plain["weights"], "<f4"),
        bias=plain["bias"],
        scales=scales,
        agreement=msgspec.convert(plain["agreement"], dict[str, Agreement]),
    )
