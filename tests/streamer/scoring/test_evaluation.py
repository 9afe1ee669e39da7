"""ROC-AUC with its interval, beside what length alone can do, and among files of nearly equal length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from streamer.scoring.evaluating.evaluation import Scored, compare, interval, matched_auc
from streamer.scoring.roc import roc_auc, wins


def files(scores: list[float], lengths: list[int], language: str = "python") -> Scored:
    return Scored(np.array(scores, float), np.array(lengths), np.array([language] * len(scores)))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_the_area_is_that_of_scikit_learn(good: list[int], other: list[int]) -> None:
    labels = [1] * len(good) + [0] * len(other)
    assert roc_auc(good, other) == pytest.approx(roc_auc_score(labels, good + other))
    drawn = np.arange(1.0, len(other) + 1)
    repeated = [score for score, times in zip(other, drawn, strict=True) for _ in range(int(times))]
    assert wins(good, other, drawn).mean() == pytest.approx(roc_auc(good, repeated))


def test_the_interval_holds_the_true_area_as_often_as_it_says() -> None:
    chance, held = np.random.default_rng(5), 0
    for trial in range(60):
        low, high = interval(chance.normal(1, 1, 60), chance.normal(0, 1, 80), seed=trial)
        held += low <= 0.7602 <= high  # of two normals one deviation apart
    assert held >= 51
    assert interval(np.array([1.0, 2.0]), np.array([0.0]), seed=3) == (1.0, 1.0)


def test_an_annotator_that_only_measures_length_is_seen() -> None:
    chance = np.random.default_rng(1)
    short, long = chance.integers(200, 900, 300), chance.integers(300, 9000, 600)
    good, other = files((-short).tolist(), short.tolist()), files((-long).tolist(), long.tolist())
    found = compare("bench", None, good, other, seed=0)
    assert found.auc > 0.9
    assert found.by_length == found.auc
    assert found.matched == 0.5
    assert found.matched_solutions > 200
    better = files((chance.normal(2, 1, 300)).tolist(), short.tolist())
    also = files((chance.normal(0, 1, 600)).tolist(), long.tolist())
    assert (compare("bench", None, better, also, seed=0).matched or 0) > 0.8


def test_pairs_are_those_of_nearly_equal_length() -> None:
    good = files([1.0, 1.0, 1.0], [100, 1000, 50])
    other = files([0.0, 2.0, 1.0, 0.5, 5.0, 9.0], [80, 125, 101, 126, 1000, 79])
    assert matched_auc(good, other) == (pytest.approx((1 + (0 + 0.5) / 2) / 2), 3, 1)
    assert matched_auc(good, files([1.0], [10**6])) == (None, 0, 0)
