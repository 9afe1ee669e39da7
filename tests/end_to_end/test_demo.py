"""The demo at its smallest size: every promise of its last table, and nothing left of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.demo.demo import FIRST_FILES, STEPS


@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("no_memory_is_left")
def test_the_demo_keeps_its_promises_and_leaves_nothing(tmp_path: Path) -> None:
    argv = [sys.executable, "-P", "-m", "phasemix", "demo", "--seconds", "150", "--json"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": ""}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=1700)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    assert found["problems"] == []
    assert [phase["phase"] for phase in found["phases"]] == ["general", "continued", "enhanced"]
    assert all(phase["steps"] == STEPS[0] for phase in found["phases"])
    assert all(phase["off_by_samples"] <= 2 for phase in found["phases"])
    assert found["phases"][1]["passes"] == "4.0000"
    assert all(0 < phase["bits_per_byte"] < 8 for phase in found["phases"])
    assert found["files_accepted"] > FIRST_FILES
    assert found["files_that_joined_under_training"] > 0
    assert found["steps_redone"] > 0
    assert (found["order_is_equal"], found["replay_is_equal"], found["workers"]) == (True, True, 3)
    assert found["engine"] == "rule-based, not a model"
    assert not [line for line in command_lines() if str(tmp_path) in line]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("phasemix-demo")]


def command_lines() -> list[str]:
    """Of all living processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def test_options_that_cannot_be_met_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for words, said in (
        (["--seconds", "20"], "--seconds 20 is too short; the least is 150"),
        (["--corpus", str(tmp_path / "nothing")], "does not exist"),
        (["--root", str(tmp_path)], "is not empty"),
    ):
        argv = [sys.executable, "-P", "-m", "phasemix", "demo", *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert said in done.stderr
