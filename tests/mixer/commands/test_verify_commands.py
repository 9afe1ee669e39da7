"""`phasemix streams verify` and `phasemix runs verify` as a user types them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.command_line import main
from mixer import Mixtures, RunReader, Runs
from streamer import Catalog

Verify = Callable[..., tuple[int, list[str]]]
MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'


@pytest.fixture
def verify(root: Path, fill: Callable[..., Catalog], capsys: pytest.CaptureFixture[str]) -> Verify:
    """verify("runs") gives the exit code and the lines of what it found."""
    fill("raw/python", 30, 20)
    Runs(root).create("a", mixture=Mixtures(root).apply(MIXTURE), seed=1, global_batch=4)
    with RunReader(root, "a") as reader:
        reader.read(0)

    def run(noun: str, *words: str) -> tuple[int, list[str]]:
        code = main([noun, "verify", *words, "--root", str(root), "--json"])
        return code, [" ".join(row.values()) for row in json.loads(capsys.readouterr().out)]

    return run


def test_a_whole_root_is_whole(verify: Verify) -> None:
    code, lines = verify("runs")
    assert code == 0
    assert [line for line in lines if "whole" not in line] == []
    assert "a runs/a/ledger whole, 2 entries" in lines
    assert verify("runs", "a") == (0, ["a runs/a/ledger whole, 2 entries"])
    code, lines = verify("streams")
    assert code == 0
    assert len(lines) == 2


def test_damage_is_a_line_each_with_what_to_restore(root: Path, verify: Verify) -> None:
    (root / "runs/a/ledger/00000001").write_bytes(b"{}")
    (root / "mixtures/m/00000000").unlink()
    code, lines = verify("runs")
    assert code == 1
    faults = [line for line in lines if "whole" not in line]
    assert any("runs/a/ledger/00000001 is damaged" in line and "restore that object" in line for line in faults)
    code, lines = verify("runs", "a")
    assert code == 1
    assert len(lines) == 1


def test_a_part_whose_entry_is_missing_is_no_garbage(root: Path, verify: Verify) -> None:
    """A run has seen both entries of the stream: what they name is not removed because one of them is gone."""
    log = root / "streams/raw/python/_log"
    parts = sorted((root / "streams/raw/python/_parts").iterdir())
    (log / "00000001").unlink()
    code, (line,) = verify("streams", "--remove")
    assert code == 1
    assert "_log/00000001 is missing: a run has seen 2 entries" in line
    assert sorted((root / "streams/raw/python/_parts").iterdir()) == parts


def test_a_run_that_is_not_there_is_one_line(root: Path, verify: Verify, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "verify", "b", "--root", str(root)]) == 2
    assert "run b does not exist" in capsys.readouterr().err
