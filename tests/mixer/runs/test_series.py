"""Target and realised shares over steps: exact, few, and the same whoever asks and when."""

import time
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from mixer import Mixtures, RunReader, Runs
from mixer.ledger.reports import Report, Reports
from mixer.runs.series import Curves, choose_steps
from streamer import Catalog

MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nname = "all"\nstreams = "raw/*"\nshare = 1\nwithin = "equal"\n'


@pytest.fixture
def catalog(root: Path, fill: Callable[..., Catalog]) -> Catalog:
    fill("raw/python", 40)
    fill("raw/go/a", 40)
    found = fill("raw/go/b", 40)
    Runs(found).create("a", mixture=Mixtures(found).apply(MIXTURE), seed=1, global_batch=12, segment_batches=8)
    return found


@given(start=st.integers(0, 10**6), length=st.integers(0, 10**6), points=st.integers(2, 400))
def test_the_points_are_few_and_stay_where_they_are_as_a_run_grows(start: int, length: int, points: int) -> None:
    steps = choose_steps(start, start + length, points)
    assert len(steps) <= points
    assert steps == sorted(set(steps))
    assert steps[-1:] == ([start + length] if length else [])
    later = choose_steps(start, start + length + 1, points)
    assert set(later[:-1]) <= {*steps, start + length}


@pytest.mark.parametrize("points", [2, 7, 1000])
def test_realised_shares_are_those_of_the_batches_read(catalog: Catalog, points: int) -> None:
    reader = RunReader(catalog.store, "a")
    batches = [reader.read(step).origin["stream"] for step in range(40)]
    Runs(catalog).switch("a", Mixtures(catalog).edit("m", ["all.pin.python=0.75"]), 48)
    batches += [reader.read(step).origin["stream"] for step in range(40, 80)]
    found = Curves(catalog, "a").series("stream", points=points)
    assert found.groups == reader.streams
    assert found.steps[-1] == 80
    for low, high, realised in zip([0, *found.steps], found.steps, found.realised, strict=False):
        drawn = np.bincount(np.concatenate(batches[low:high]), minlength=3)
        assert realised == pytest.approx((drawn / drawn.sum()).tolist(), abs=1e-6)
    python = found.groups.index("raw/python")
    assert found.target[0][python] == pytest.approx(1 / 3, abs=1e-6) if points > 2 else True
    assert found.target[-1][python] == pytest.approx(0.75, abs=0.25)
    assert [(mark.step, mark.event, mark.mixture) for mark in found.events] == [
        (0, "created", "m@1"),
        (48, "switched", "m@2"),
    ]


def test_groups_are_keys_or_components_and_losses_are_means_over_samples(catalog: Catalog) -> None:
    RunReader(catalog.store, "a").read(0)
    curves = Curves(catalog, "a")
    streams = ["raw/go/a", "raw/go/b", "raw/python"]
    Reports(catalog, "a").append(
        Report(start_step=0, end_step=8, streams=streams, samples=[10, 30, 0], loss=[1.0, 2.0, None])
    )
    found = curves.series("key", points=2)
    losses = dict(zip(found.groups, found.loss[-1], strict=True))
    assert losses == {"go": 1.75, "python": None}
    assert sum(found.realised[-1]) == pytest.approx(1.0)
    assert curves.series("component").groups == ["all"]


def test_what_was_counted_once_is_not_counted_again(catalog: Catalog) -> None:
    reader, curves = RunReader(catalog.store, "a"), Curves(catalog, "a")
    grown = []
    for step in range(0, 64, 8):
        reader.read(step)
        grown.append(curves.series(points=16))
    assert Curves(catalog, "a").series(points=16) == grown[-1]


def test_a_fork_begins_where_it_was_forked(catalog: Catalog) -> None:
    RunReader(catalog.store, "a").read(20)
    Runs(catalog).fork("a", "b", at_step=13)
    RunReader(catalog.store, "b").read(30)
    found = Curves(catalog, "b").series(points=1000)
    assert (found.first_step, found.steps[0]) == (13, 14)
    assert all(sum(row) == pytest.approx(1.0) for row in (*found.realised, *found.target))


def test_the_loss_over_all_streams_the_speed_and_a_stretch_of_the_steps(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    RunReader(catalog.store, "a").read(31)
    streams = ["raw/go/a", "raw/go/b", "raw/python"]
    for number, now_s in enumerate([100.0, 108.0, 508.0, 516.0]):  # the third after a pause
        monkeypatch.setattr(time, "time", lambda now_s=now_s: now_s)
        Reports(catalog, "a").append(
            Report(
                start_step=8 * number, end_step=8 * number + 8, streams=streams, samples=[10, 30, 10],
                loss=[1.0, 2.0, None if number else 4.0],
            )
        )  # fmt: skip
    curves = Curves(catalog, "a")
    found = curves.series("key", points=4)
    assert found.steps == [8, 16, 24, 32]
    assert found.total_loss == [pytest.approx(110 / 50), *[1.75] * 3]
    tokens = 8 * 12 * 8
    assert found.tokens_per_s == [None, tokens / 8, pytest.approx(tokens / 400, abs=0.05), tokens / 8]
    assert found.speed_tokens_per_s == tokens / 8  # the pause has no weight
    near = curves.series("key", points=8, start=8, end=12)
    assert (near.first_step, near.steps) == (8, [9, 10, 11, 12])
    assert near.total_loss == [1.75] * 4
    whole = curves.series("key", points=32)
    assert near.realised == whole.realised[8:12]
    assert curves.series("key", start=90, end=80).steps == []
