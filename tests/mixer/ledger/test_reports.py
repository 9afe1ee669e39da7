"""Reports: one log, the later word on a batch holds, nonsense is refused."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from mixer import Mixtures, RunError, Runs
from mixer.ledger.reports import Report, Reports, standing
from streamer import Catalog


def report(start: int, end: int, loss: float | None = 1.0) -> Report:
    return Report(start_step=start, end_step=end, streams=["raw/go"], samples=[4], loss=[loss])


def test_a_training_that_went_back_replaces_what_it_had_reported() -> None:
    first, second, third, again = report(0, 8), report(8, 16), report(16, 24), report(8, 12, 2.0)
    assert standing([first, second, third]) == [first, second, third]
    assert standing([first, second, third, again]) == [first, again]
    assert standing([first, second, report(10, 12)]) == [first, report(10, 12)]


def test_reports_are_kept_and_read_by_another_process(root: Path) -> None:
    Reports(Catalog(root), "a").append(report(0, 8))
    Reports(Catalog(root), "a").append(report(8, 16, None))
    found = Reports(Catalog(root), "a").read()
    assert [msgspec.structs.replace(each, at_s=None) for each in found] == [report(0, 8), report(8, 16, None)]
    assert all(each.at_s for each in found)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"end_step": 0}, "covers no batch"),
        ({"start_step": -1}, "covers no batch"),
        ({"samples": []}, "0 samples"),
        ({"loss": [float("nan")]}, "finite"),
        ({"samples": [-1]}, "finite"),
        ({"loss": [1e308]}, "below 1e"),
        ({"streams": ["a", "a"], "samples": [1, 1], "loss": [None, None]}, "twice"),
    ],
)
def test_nonsense_is_refused(root: Path, changed: dict[str, object], said: str) -> None:
    with pytest.raises(RunError, match=said):
        Reports(Catalog(root), "a").append(msgspec.structs.replace(report(0, 8), **changed))
    assert Reports(Catalog(root), "a").read() == []


def test_a_run_is_reported_of_only_what_it_has(root: Path, fill: Callable[..., Catalog]) -> None:
    fill("raw/go", 40)
    runs = Runs(root)
    text = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'
    runs.create("a", mixture=Mixtures(root).apply(text), seed=1, global_batch=4)
    end = runs.extend("a", 20)
    with pytest.raises(RunError, match=f"end_step = {end + 1} is past its ledger's end, {end}"):
        runs.report("a", report(0, end + 1))
    with pytest.raises(RunError, match="no stream raw/c; report its own: raw/go"):
        runs.report("a", msgspec.structs.replace(report(0, end), streams=["raw/c"]))
    runs.report("a", report(0, end))
    assert len(Reports(Catalog(root), "a").read()) == 1
