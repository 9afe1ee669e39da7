"""`phasemix quickstart` as a person types it, to the dashboard; and what it refuses.

That it trains is shown by the README's first block, which tests/documents runs.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from mixer import Mixtures, Runs
from streamer import Catalog

STDLIB = Path(sysconfig.get_path("stdlib"))


def phasemix(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "XDG_RUNTIME_DIR": "", "OMP_NUM_THREADS": "1"}
    environment.pop("PHASEMIX_ROOT", None)
    argv = [sys.executable, "-P", "-m", "phasemix", *words]
    return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=800)


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name has a space and a capital, of two languages."""
    folder = tmp_path_factory.mktemp("home") / "My Code"
    for name in ("json", "email", "logging", "http", "urllib", "importlib", "concurrent"):
        shutil.copytree(STDLIB / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for number in range(12):
        script = "\n".join(f"echo line {place} of {number}; test -d /tmp/{place} && ls" for place in range(40 + number))
        (folder / "scripts").mkdir(exist_ok=True)
        (folder / "scripts" / f"s{number}.sh").write_text(f"#!/bin/sh\n{script}\n")
    return folder


def test_own_files_become_batches_and_a_dashboard(code: Path, tmp_path: Path) -> None:
    try:
        done = phasemix(tmp_path, "quickstart", str(code), "--steps", "3", "--no-train", "--max-mb", "1", "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        with urllib.request.urlopen(found["dashboard"], timeout=10) as answer:
            assert b"phasemix" in answer.read()
    finally:
        phasemix(tmp_path, "down", "--root", str(tmp_path / "phasemix-root"))
    catalog = Catalog(tmp_path / "phasemix-root")
    assert found["root"] == "phasemix-root"
    assert found["streams"]["raw/python"] == catalog.stream("raw/python").samples
    assert found["held_out"] > 0
    assert found["mixture"] == "quickstart@1"
    assert Mixtures(catalog).load("quickstart")[0] == "quickstart@1"
    assert Runs(catalog).show("quickstart").num_steps == 3
    assert (tmp_path / "quickstart.toml").exists()
    assert len(found["seconds"]) == 5
    again = phasemix(tmp_path, "quickstart", str(code), "--name", "other")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "root phasemix-root has data already" in again.stderr
    once_more = phasemix(tmp_path, "quickstart", str(code))  # as after a kill: not the file of the mixture, but the root
    assert "`phasemix --root phasemix-root` says how" in once_more.stderr
    assert not (tmp_path / "other.toml").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "does not exist"),
        ([".", "--name", "My Code"], "'My Code' cannot be the name of a mixture: use one word of a-z"),
        ([".", "--steps", "0"], "--steps 0 is not in 1..10000"),
        ([".", "--max-mb", "0"], "--max-mb 0 is not in"),
        ([".", "--name", "there"], "there.toml is there already; move it away, or give another --name"),
        (["."], "no source file of a language that is known"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line_and_writes_nothing(tmp_path: Path, words: list[str], says: str) -> None:
    (tmp_path / "there.toml").touch()
    done = phasemix(tmp_path, "quickstart", *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "there.toml"]


def test_a_place_that_may_not_be_written_is_refused_before_the_corpus_is_read(
    code: Path, small_disk: Path, tmp_path: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    done = phasemix(tmp_path, "quickstart", str(code), "--root", str(small_disk / "root"))
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert f"{small_disk} may not be written by this user; name another root" in done.stderr


def test_a_full_disk_is_refused_before_the_corpus_is_read(code: Path, small_disk: Path, tmp_path: Path) -> None:
    with suppress(OSError), (small_disk / "fill").open("wb", buffering=0) as fill:
        while True:
            fill.write(bytes(4096))
    done = phasemix(tmp_path, "quickstart", str(code), "--root", str(small_disk / "root"), "--no-train", "--no-up")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "cannot be written: No space left on device; free space" in done.stderr
    assert not (tmp_path / "quickstart.toml").exists()
