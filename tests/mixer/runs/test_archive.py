"""Archived runs are hidden from lists, and from nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.command_line import main
from mixer import Mixtures, RunError, RunReader, Runs
from mixer.runs.archive import LOG
from mixer.runs.verification import verify_runs
from streamer import Catalog

MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'


@pytest.fixture
def runs(root: Path, fill: Callable[..., Catalog]) -> Runs:
    """Two runs, the first of which has ended."""
    fill("raw/go", 40)
    Mixtures(root).apply(MIXTURE)
    found = Runs(root)
    for name in ("old", "new"):
        found.create(name, mixture="m", seed=1, global_batch=4)
    found.extend("old", 32)
    found.end("old")
    return found


def names(runs: Runs, *, archived: bool = False) -> list[str]:
    return [run.name for run in runs.list(archived=archived)]


def test_an_archived_run_is_hidden_and_can_be_read_shown_and_restored(runs: Runs, root: Path) -> None:
    before = {path: path.read_bytes() for path in (root / "runs").rglob("*") if path.is_file()}
    batch = RunReader(root, "old").read(3)
    assert runs.archive("old", by="ana", why="done")
    assert not runs.archive("old")
    assert (names(runs), names(runs, archived=True)) == (["new"], ["old"])
    assert names(Runs(root), archived=True) == ["old"]
    assert {path: path.read_bytes() for path in (root / "runs").rglob("*") if path.is_file()} == before
    assert runs.show("old").state == "ended"
    assert (RunReader(root, "old").read(3).tokens == batch.tokens).all()
    assert runs.archive("old", undo=True)
    assert names(runs) == ["old", "new"]


def test_a_run_that_is_open_or_opened_again_is_not_hidden(runs: Runs) -> None:
    with pytest.raises(RunError, match="run new is open"):
        runs.archive("new")
    runs.pause("new")
    runs.archive("new")
    assert names(runs) == ["old"]
    runs.resume("new")
    assert names(runs) == ["old", "new"]


def test_an_unknown_run_is_refused_and_nothing_is_noted(runs: Runs) -> None:
    with pytest.raises(RunError, match="does not exist"):
        runs.archive("none")
    assert not runs.catalog.log(LOG).read()


def test_the_commands_hide_and_restore_and_verify_looks_at_the_log(
    runs: Runs, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*words: str) -> str:
        assert main(["runs", *words, "--root", str(root)]) == 0
        return capsys.readouterr().out

    said("archive", "old", "--why", "done")
    assert "old" not in said("list")
    assert "old" in said("list", "--archived")
    assert {finding.object for finding in verify_runs(Catalog(root)) if not finding.is_fault} >= {LOG}
    said("archive", "old", "--undo")
    assert "old" in said("list")
