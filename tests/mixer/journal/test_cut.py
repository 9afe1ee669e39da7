"""The newest entries of a run's log are gone: whoever would write them anew is stopped by what else says they were there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mixer import Mixtures, RunError, RunReader, Runs
from mixer.journal.journal import Journal
from mixer.ledger.reports import Report, Reports
from mixer.planning import planner
from streamer import Catalog

MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'
END, INTERVAL = 40, 16


@pytest.fixture
def run(root: Path, fill: Callable[..., Catalog], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of 40 batches in segments of 4, with states at 16 and 32; the folder of its log."""
    monkeypatch.setattr(planner, "INTERVAL", INTERVAL)
    fill("raw/python", 300)
    Runs(root).create("a", mixture=Mixtures(root).apply(MIXTURE), seed=1, global_batch=4, segment_batches=4)
    with RunReader(root, "a") as reader:
        for step in range(END):
            reader.read(step)
    return root / "runs/a/ledger"


def cut(log: Path, entries: int) -> None:
    for path in sorted(log.iterdir())[entries:]:
        path.unlink()


def test_a_kept_state_past_the_end_stops_whoever_would_write(root: Path, run: Path) -> None:
    cut(run, 7)  # the creation and six segments
    reader = RunReader(root, "a")
    assert len(reader.read(23).tokens) == 4
    missing = r"runs/a/ledger/00000007 is missing.* ends at step 24, but runs/a/states/0000000032 is of step 32; restore"
    for act in (lambda: reader.read(24), lambda: Runs(root).switch("a", "m@1"), lambda: Runs(root).pause("a")):
        with pytest.raises(RunError, match=missing):
            act()
    assert len(list(run.iterdir())) == 7
    assert RunReader(root, "a", read_only=True).is_forecast(24)


def test_a_report_past_the_end_stops_whoever_would_write(root: Path, run: Path) -> None:
    for end in (20, 36, 39):
        report = Report(start_step=end - 10, end_step=end, streams=["raw/python"], samples=[40], loss=[1.0])
        Reports(Catalog(root), "a").append(report)
    cut(run, 10)  # up to step 36, past the last state
    with pytest.raises(RunError, match=r"ends at step 36, but runs/a/reports/00000002 is of step 39"):
        RunReader(root, "a").read(36)


def test_another_writer_who_went_on_meanwhile_is_no_sign_of_a_cut(root: Path, run: Path) -> None:
    stale = Journal(Catalog(root), "a")
    with RunReader(root, "a") as reader:
        for step in range(END, END + 3 * INTERVAL):
            reader.read(step)
    assert list((root / "runs/a/states").iterdir())[2:]
    stale.ensure(END + 3 * INTERVAL + 4)
    assert stale.ledger.end > END + 3 * INTERVAL


def test_what_nothing_else_knows_of_is_planned_again_as_it_was(root: Path, run: Path) -> None:
    before = [RunReader(root, "a").read(step).origin.tolist() for step in range(36, 40)]
    cut(run, 10)
    assert [RunReader(root, "a").read(step).origin.tolist() for step in range(36, 40)] == before
