"""`phasemix runs`: what happens to a run, typed."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.command_line import main
from mixer import Mixtures, RunReader, Runs
from mixer.commands.watch import picture, shares_of
from streamer import Catalog

Fill = Callable[..., Catalog]
HEAD = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'


@pytest.fixture
def run(root: Path, fill: Fill, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHASEMIX_BY", "ana")
    fill("raw/python", 30)
    fill("raw/java", 50)
    Runs(root).create("a", mixture=Mixtures(root).apply(HEAD), seed=3, global_batch=16)
    RunReader(root, "a").read(40)
    return root


def typed(root: Path, capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    assert main(["runs", *map(str, words), "--root", str(root), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_is_typed_is_done_and_stands_in_the_history(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (forked,) = typed(run, capsys, "fork", "a", "b", "--at-step", 20, "--skip", 3, "--why", "a spike")
    assert (forked["parent"], forked["from_step"], forked["skip"]) == ("a", 20, 3)
    assert typed(run, capsys, "pause", "b", "--by", "ben") == [{"run": "b", "end_step": 20, "state": "paused"}]
    assert typed(run, capsys, "resume", "b")[0]["state"] == "open"
    assert typed(run, capsys, "skip", "b", 30, 2) == [{"run": "b", "start_step": 30, "batches": 2}]
    typed(run, capsys, "switch", "b", "m", "--at-step", 25, "--why", "again")
    typed(run, capsys, "note", "b", "looks well")
    assert typed(run, capsys, "end", "b", "--why", "enough")[0]["state"] == "ended"
    found = [(event["event"], event["step"], event["by"], event["why"]) for event in typed(run, capsys, "history", "b")]
    assert found == [
        ("created", 0, None, None), ("forked", 20, "ana", "from a, 3 batches skipped: a spike"), ("paused", 20, "ben", None),
        ("resumed", 20, "ana", None), ("skipped", 30, "ana", "2 batches"), ("switched", 25, "ana", "again"),
        ("noted", 20, "ana", "looks well"), ("ended", 20, "ana", "it was ended by ana: enough"),
    ]  # fmt: skip
    runs = {row["name"]: row for row in typed(run, capsys, "list")}
    assert (runs["b"]["skipped"], runs["b"]["fork"], runs["a"]["fork"]) == ([[20, 3], [30, 2]], True, False)
    for verb in ("list", "show b", "history b"):
        assert main(["runs", *verb.split(), "--root", str(run)]) == 0
        assert "ended by ana" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    ["skip a 3 1", "fork a b --at-step 900", "fork a b --at-step 3 --seed -1", "resume a", "history none", "pause none",
     "note a ''", "note a \udcff", "pause a --why \udcff", "show a --watch --interval 0", "show a --watch --interval inf",
     "show none --watch", "extend a --to -1", "extend a --to 9" + "9" * 20, "switch a m --at-step 9" + "9" * 20,
     "switch a m --at-step -1", "switch a m --policy loss-fed --policy-set rate=nan",
     "switch a m --policy loss-fed --policy-set rate=" + "9" * 20, "switch a m --policy loss-fed --policy-set x=\udcff",
     "switch a m --policy loss-fed --policy-set x=" + "[" * 2000],
)  # fmt: skip
def test_a_mistake_is_one_line(run: Path, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [word.replace("''", " ") for word in words.split(" ")]
    assert main(["runs", *argv, "--root", str(run)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("phasemix: ")
    assert said.count("\n") == 1
    assert [event.event for event in Runs(run).history("a")] == ["created"]


def test_a_note_of_several_lines_is_one_line_of_a_table(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed(run, capsys, "note", "a", "first\nsecond \x1b[2J")
    assert main(["runs", "history", "a", "--root", str(run)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "first second  [2J" in lines[2]


def test_a_watched_run_is_a_line_a_change_where_there_is_no_terminal(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Runs(run).end("a", by="ana")
    assert main(["runs", "show", "a", "--watch", "--root", str(run)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("a, m@1, 64 batches, ended: it was ended by ana: raw/java 0.62")
    found = typed(run, capsys, "show", "a", "--watch", "--group", "key")
    assert found["end_step"] == 64
    assert list(found["shares"]) == ["java", "python"]


@pytest.mark.parametrize("columns", [8, 20, 40, 80, 300])
@pytest.mark.parametrize("lines", [1, 3, 24])
def test_a_picture_fits_the_terminal(run: Path, columns: int, lines: int) -> None:
    info, rows = Runs(run).show("a"), shares_of(Runs(run).use("a"), "stream") * 20
    found = picture(info, rows, columns, lines)
    assert max(map(len, found)) < columns
    assert len(found) <= max(lines, 2)


def test_a_terminal_is_drawn_on_until_the_run_ends(run: Path) -> None:
    controller, terminal = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "deploy.command_line",
        "runs",
        "show",
        "a",
        "--watch",
        "--interval",
        "0.1",
        "--root",
        str(run),
    ]
    process = subprocess.Popen(command, stdout=terminal, cwd=Path(__file__).parents[3], env={**os.environ, "COLUMNS": "60"})
    os.close(terminal)
    said = b""
    while b"open" not in said:
        said += os.read(controller, 4096)
    Runs(run).end("a")
    while b"ended" not in said:
        said += os.read(controller, 4096)
    assert process.wait(60) == 0
    os.close(controller)
    assert b"\x1b[3F" in said
    assert "│" in said.decode(errors="ignore")
