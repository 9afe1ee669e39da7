"""What live runs still need, and how little is read to know it again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mixer import Mixtures, Runs, demand
from mixer.runs.demand import Demand, may_match
from mixer.steering.schedules import Schedule, SchedulePoint
from streamer import Catalog
from streamer.store.store import MemoryStore

MADE = 'name = "made"\nseq_len = 8\n[[component]]\nstreams = "synthetic/*"\nshare = 1\n'
PLAIN = 'name = "plain"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'
Fill = Callable[..., Catalog]


@pytest.fixture
def runs(root: Path, fill: Fill) -> Runs:
    fill("raw/go", 40)
    fill("synthetic/go", 10)
    mixtures = Mixtures(root)
    mixtures.apply(MADE)
    mixtures.apply(PLAIN)
    return Runs(root)


def test_one_that_keeps_asking_sees_what_one_that_asks_anew_sees(runs: Runs, root: Path, fill: Fill) -> None:
    kept = Demand(root)
    assert kept.tokens() == demand(root) == {}
    runs.create("a", mixture="plain", seed=1, global_batch=4)
    assert kept.tokens() == demand(root) == {}
    runs.extend("a", 32)
    runs.switch("a", "made")
    assert kept.tokens() == demand(root) == {"go": (256 * 4 - 10) * 8}
    runs.create("b", mixture="made", seed=1, global_batch=4, num_steps=300)
    assert kept.tokens() == demand(root) == {"go": (300 * 4 - 10) * 8}
    runs.skip("b", 100, 50)
    assert kept.tokens() == demand(root) == {"go": (350 * 4 - 10) * 8}
    runs.end("b")
    fill("synthetic/go", 14)
    assert kept.tokens() == demand(root) == {"go": (256 * 4 - 24) * 8}
    runs.switch("a", "plain")
    assert kept.tokens() == demand(root) == {}


def test_a_schedule_counts_before_it_comes_to_a_synthetic_stream(runs: Runs, root: Path) -> None:
    kept = Demand(root)
    points = [
        SchedulePoint(at=0, mixture="plain"),
        SchedulePoint(at=40, mixture="plain"),
        SchedulePoint(at=40, mixture="made"),
    ]
    runs.create("a", seed=1, global_batch=4, num_steps=100, steering=Schedule(unit="steps", point=points))
    assert kept.tokens() == demand(root) == {"go": (60 * 4 - 10) * 8}


def test_runs_that_draw_nothing_synthetic_cost_one_look_at_their_log(runs: Runs, root: Path) -> None:
    class Counting(MemoryStore):
        gets = 0

        def get(self, key: str) -> bytes | None:
            self.gets += 1
            return super().get(key)

    store = Counting()
    for path in root.rglob("*"):
        if path.is_file():
            store.put_if_absent(str(path.relative_to(root)), path.read_bytes())
    kept, again = Demand(store), Runs(store)
    for number in range(30):
        again.create(f"run-{number}", mixture="plain", seed=number, global_batch=4)
        again.extend(f"run-{number}", 300)
    assert kept.tokens() == {}
    before = store.gets
    assert kept.tokens() == {}
    assert store.gets - before == 30 + 2  # and the names of streams and of runs


@pytest.mark.parametrize(
    ("glob", "could"),
    [("synthetic/*", True), ("*", True), ("s*/go", True), ("synthetic/go", True), ("[a-z]*", True), ("synth?tic/*", True),
     ("raw/*", False), ("synthetics/*", False), ("sync*", False)],
)  # fmt: skip
def test_a_glob_is_judged_by_its_fixed_beginning(glob: str, could: bool) -> None:
    assert may_match(glob) == could


def test_a_language_of_which_nothing_was_written_is_demanded_as_its_corpus_is_large(
    runs: Runs, root: Path, fill: Fill
) -> None:
    fill("raw/c", 120)
    Catalog(root).create_stream("synthetic/c", seq_len=8, tokenizer=Catalog(root).stream("raw/c").tokenizer)
    Mixtures(root).apply(
        'name = "like"\nseq_len = 8\n[[component]]\nstreams = "synthetic/*"\nshare = 1\nwithin = "like"\nlike = "raw/*"\n'
        'max_passes = 1\nwhen_dry = "wait"\n'
    )
    runs.create("a", mixture="like", seed=1, global_batch=4, num_steps=100)
    assert demand(root) == {"c": 300 * 8, "go": 90 * 8}
