"""The annotator's fast student: a ridge regression on hashed n-grams and on what the annotator's own model says of single
tokens, fitted to the annotator's scores.

Always holds: the student's scores lie on the annotator's scale (within each language its predictions are mapped to the
annotator's scores of the same rank), so that both can be ranked together; the same texts and scores give the same student.

How: each token of the model's vocabulary is embedded alone, once. A section is the mean of its tokens' vectors, rare tokens
weighing more, as model2vec has it. The regression makes of each vector one number, so that a student is a weight for each
token beside those of the n-grams. Measured: docs/decisions.md.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from streamer.scoring.sections import Sections

CODE_WORD = r"[A-Za-z_]\w*|\d+|[^\w\s]|\n[ \t]*"
NUM_FEATURES, DIMENSIONS = 2**16, 384
COUNTS = 100.0  # a word's share of its text times this, of which the logarithm is a feature
NUM_FOLDS = 5
RIDGE, SCALE = 0.5, 16.0
LEAST = 1e-4  # a chance below it counts as it
BEST = 0.05  # of a language's files: those that a student must not lose
FEW_FILES = 20  # of a language, with fewer all languages' files together give its scale
EVERY = ""  # all languages together
Scores = npt.NDArray[np.float64]
Embed = Callable[[list[str]], Any]


class Model(NamedTuple):
    """What embeds texts, and its tokenizer.json."""

    embed: Embed
    tokenizer: str


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


class TokenWeights(msgspec.Struct, frozen=True, kw_only=True):
    """A weight for each token of a tokenizer.json. A text's number is the mean over its sections of their tokens' mean."""

    tokenizer: str
    weights: npt.NDArray[np.float32]

    def score(self, tokenizer: Tokenizer, texts: Sequence[str], sections: Sections) -> Scores:
        """(texts,) by the tokenizer of this text."""
        return mean_over_sections(tokenizer, texts, self.weights[:, None], sections).ravel()


class Student(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted student. `pass_on`: which share of a language's files the annotator reads itself; `agreement` and `scales` by
    language, under "" of all together.
    """

    sections: Sections
    pass_on: float
    weights: npt.NDArray[np.float32]
    tokens: TokenWeights | None
    bias: float
    scales: dict[str, Scale]
    agreement: dict[str, Agreement]

    def score(self, texts: Sequence[str], languages: Sequence[str]) -> Scores:
        """(texts,) scores between the lowest and the highest that the annotator gave in a text's language."""
        if not texts:
            return np.zeros(0)
        rows = hash_files(texts, self.sections)
        found = np.asarray(rows @ self.weights.astype(np.float64)).ravel() + self.bias
        if self.tokens is not None:
            tokenizer = parse_tokenizer(self.tokens.tokenizer)
            found += self.tokens.score(tokenizer, texts, self.sections)
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


def hash_files(texts: Sequence[str], sections: Sections) -> Any:
    """(texts, 65536) features of the sections that the annotator would see, in logarithms, each row of length 1."""
    from sklearn.preprocessing import normalize

    rows = hash_ngrams(["\n".join(sections.cut(text)) for text in texts])
    rows.data = np.log1p(rows.data * COUNTS)
    return normalize(rows)


@lru_cache(maxsize=2)
def parse_tokenizer(text: str) -> Tokenizer:
    found = Tokenizer.from_str(text)
    found.no_truncation()
    found.no_padding()
    return found


def cut_and_encode(tokenizer: Tokenizer, texts: Sequence[str], sections: Sections) -> list[list[list[int]]]:
    """Of each text the ids of its sections."""
    cut = [sections.cut(text) for text in texts]
    encoded = iter(tokenizer.encode_batch_fast([one for found in cut for one in found], add_special_tokens=False))
    return [[next(encoded).ids for _ in found] for found in cut]


def mean_over_sections(
    tokenizer: Tokenizer, texts: Sequence[str], vectors: npt.NDArray[Any], sections: Sections
) -> npt.NDArray[np.float64]:
    """(texts, columns) of (tokens, columns) vectors: the mean over a text's sections of their tokens' mean."""
    found = np.zeros((len(texts), vectors.shape[1]))
    for place, encoded in enumerate(cut_and_encode(tokenizer, texts, sections)):
        means = [vectors[ids].mean(axis=0, dtype=np.float64) for ids in encoded if ids]
        if means:
            found[place] = np.mean(means, axis=0)
    return found


def token_vectors(tokenizer: Tokenizer, embed: Embed, texts: Sequence[str], sections: Sections) -> npt.NDArray[Any]:
    """(tokens, at most 384) float32 of the tokens that occur in some texts, each embedded alone; 0 for the others."""
    from sklearn.decomposition import PCA

    encoded = cut_and_encode(tokenizer, texts, sections)
    seen = sorted({token for found in encoded for ids in found for token in ids})
    words = [tokenizer.decode([token], skip_special_tokens=False).removeprefix("##") or " " for token in seen]
    rows = np.asarray(embed(words), np.float64)
    reduced = PCA(min(DIMENSIONS, *rows.shape), random_state=0).fit_transform(rows)
    found = np.zeros((tokenizer.get_vocab_size(), reduced.shape[1]), np.float32)
    found[seen] = reduced * np.log(2.0 + np.array(seen))[:, None]  # a vocabulary has its frequent tokens first
    return found


def fit_student(
    texts: Sequence[str],
    languages: Sequence[str],
    scores: npt.ArrayLike,
    *,
    sections: Sections,
    pass_on: float,
    chances: bool = True,
    beside: int = 0,
    model: Model | None = None,
) -> Student:
    """Fits a student to the annotator's scores of these texts (at least 2).

    Args: sections, those that the annotator reads; chances, whether scores are of a logistic head, from 0 to 1; model, what
        embeds for the annotator, for a weight of each token; beside, how many of the first texts are not of the kind that it
        will score, so that the agreement leaves them out.
    """
    from sklearn.linear_model import Ridge

    def fit(rows: Any, values: Scores) -> Any:
        return Ridge(alpha=RIDGE, solver="sparse_cg", tol=1e-6).fit(rows, values)

    wanted = np.asarray(scores, dtype=np.float64)
    rows, vectors, scale = hash_files(texts, sections), None, 1.0
    if model is not None:
        from scipy.sparse import csr_matrix, hstack

        tokenizer = parse_tokenizer(model.tokenizer)
        vectors = token_vectors(tokenizer, model.embed, texts, sections)
        means = mean_over_sections(tokenizer, texts, vectors, sections)
        scale = 1 / (SCALE * max(float(means.std(axis=0).mean()), 1e-12))  # so that both kinds of features weigh alike
        rows = hstack([rows, csr_matrix(means * scale)]).tocsr()
    target = wanted
    if wanted.min() >= 0 and wanted.max() <= 1:  # chances
        clipped = np.clip(wanted, LEAST, 1 - LEAST)
        target = np.log(clipped / (1 - clipped))
    unseen = by_folds(fit, rows, target)
    whole = fit(rows, target)
    weights = np.asarray(whole.coef_, np.float64).ravel()
    tokens = None
    if model is not None and vectors is not None:
        by_token = (vectors @ weights[NUM_FEATURES:] * scale).astype(np.float32)
        tokens = TokenWeights(tokenizer=model.tokenizer, weights=by_token)
    places = dict(by_language(languages))
    groups = {EVERY: np.arange(len(wanted)), **{name: mine for name, mine in places.items() if len(mine) >= FEW_FILES}}
    return Student(
        sections=sections,
        pass_on=pass_on,
        weights=weights[:NUM_FEATURES].astype(np.float32),
        tokens=tokens,
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
        "sections": list(student.sections),
        "pass_on": student.pass_on,
        "weights": student.weights.astype("<f4").tobytes(),
        "tokens": student.tokens and [student.tokens.tokenizer, student.tokens.weights.astype("<f4").tobytes()],
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
    tokens = plain["tokens"]
    return Student(
        sections=Sections(*plain["sections"]),
        pass_on=plain["pass_on"],
        weights=np.frombuffer(plain["weights"], "<f4"),
        tokens=tokens and TokenWeights(tokenizer=tokens[0], weights=np.frombuffer(tokens[1], "<f4")),
        bias=plain["bias"],
        scales=scales,
        agreement=msgspec.convert(plain["agreement"], dict[str, Agreement]),
    )
