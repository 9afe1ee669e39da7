"""The demo at its smallest size, on a small corpus: every promise of its last table, and nothing left of it."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from deploy.demo.demo import FIRST_FILES, STEPS, found_recipe
from deploy.demo.models import load_tasks
from streamer.corpus.recipe import parse_recipe
from streamer.corpus.sources.found_code import find_sources

STDLIB = Path(sysconfig.get_path("stdlib"))


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """Source files of two languages, 2 MB: enough for the steps that the demo takes at least."""
    code = tmp_path / "code"
    for name in (
        "asyncio",
        "html",
        "json",
        "email",
        "logging",
        "http",
        "importlib",
        "multiprocessing",
        "unittest",
        "urllib",
        "xml",
    ):
        shutil.copytree(STDLIB / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    for number in range(30):
        script = "\n".join(f"echo line {place} of {number}; test -d /tmp/{place} && ls" for place in range(60 + number))
        path = code / "scripts" / f"s{number}.sh"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
    return code


@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("no_memory_is_left")
def test_the_demo_keeps_its_promises_and_leaves_nothing(code: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-P", "-m", "phasemix", "demo", "--seconds", "150", "--corpus", str(code), "--json"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=1700)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    assert found["problems"] == []
    assert [phase["phase"] for phase in found["phases"]] == ["general", "continued", "enhanced"]
    assert all(phase["steps"] == STEPS[0] for phase in found["phases"])
    assert all(phase["off_by_samples"] <= 2 for phase in found["phases"])
    assert found["phases"][1]["passes"] == "4.0000"
    assert all(0 < phase["bits_per_byte"] < 8 for phase in found["phases"])
    solutions = [phase["solutions_bits_per_byte"] for phase in found["phases"]]
    assert 8 > solutions[0] > solutions[2] > 0
    assert found["sample"].startswith("def mean(numbers):")
    assert len(found["sample"]) > len(load_tasks()[0].prompt)
    assert found["files_accepted"] > FIRST_FILES
    assert found["files_that_joined_under_training"] > 0
    assert f"generators show {found['one_that_joined']}" in done.stderr
    assert "oss-instruct-file/1" in done.stderr.partition("generators show")[2]
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


def test_without_a_corpus_the_demo_reads_code_that_is_found_here() -> None:
    assert parse_recipe(found_recipe(max_mb=2.0)).sources == find_sources(max_mb=2.0)
