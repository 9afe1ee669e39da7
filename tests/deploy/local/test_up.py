"""`phasemix up`, `status` and `down` with the real services."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import local_machine
from mixer.pool import pool
from streamer import Catalog


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An XDG_RUNTIME_DIR of the test's own, short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="pm") as found:
        monkeypatch.setenv("XDG_RUNTIME_DIR", found)
        yield Path(found)


def phasemix(*words: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-P", "-m", "phasemix", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120)


def rows(root: Path) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in json.loads(phasemix("status", "--root", str(root), "--json").stdout)}


def mentioning(*words: str) -> list[str]:
    """Command lines of living processes that hold one of the words."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if any(word in line for word in words):
            found.append(line)
    return found


@pytest.mark.usefixtures("no_memory_is_left")
def test_everything_runs_follows_scale_and_is_gone_after_down(root, runtime):
    up = phasemix("up", "--root", str(root), "--json")
    assert up.returncode == 0, up.stderr
    assert f"There was no root at {root}" in up.stderr
    found = rows(root)
    try:
        assert {row["state"] for row in found.values()} == {"running"}
        assert {"supervisor", "redis", "mixer", "engine", "planner", "worker-1"} <= set(found)
        assert "rule-based, not a model" in found["engine"]["address"]
        assert found["redis"]["address"].startswith("unix://")
        with urllib.request.urlopen(f"{found['mixer']['address']}/api/v1/streams", timeout=10) as answer:
            assert json.load(answer) == []
        again = phasemix("up", "--root", str(root))
        assert (again.returncode, again.stderr.count("\n")) == (2, 1)
        pool.set_wanted(Catalog(root), 2)
        deadline = time.monotonic() + 30
        while rows(root).get("worker-2", {}).get("state") != "running":
            assert time.monotonic() < deadline
    finally:
        down = phasemix("down", "--root", str(root))
    assert down.returncode == 0, down.stderr
    assert mentioning(str(root), str(runtime)) == []
    left = [path.name for path in next(runtime.iterdir()).iterdir()]
    assert sorted(left) == ["lock", "logs"]


def test_after_a_kill_of_the_supervisor_everything_ends_and_up_works_again(root, runtime):
    assert phasemix("up", "--root", str(root)).returncode == 0
    try:
        os.kill(rows(root)["supervisor"]["pid"], signal.SIGKILL)
        deadline = time.monotonic() + 30
        while {row["state"] for row in local_machine.rows(str(root))} != {"lost"} or mentioning(str(root), str(runtime)):
            assert time.monotonic() < deadline, (local_machine.rows(str(root)), mentioning(str(root), str(runtime)))
            time.sleep(0.1)
        assert phasemix("up", "--root", str(root)).returncode == 0
    finally:
        phasemix("down", "--root", str(root))
    assert mentioning(str(root), str(runtime)) == []


@pytest.mark.usefixtures("no_memory_is_left")
def test_an_interrupted_start_leaves_nothing_running_and_says_so(root, runtime):
    argv = [sys.executable, "-P", "-m", "phasemix", "up", "--root", str(root)]
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)  # a child of a shell's background ignores it
    try:
        process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, ignored)
    deadline = time.monotonic() + 60
    while not list(runtime.glob("*/state.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "nothing is left running" in said
    assert said.count("\n") == 1
    assert mentioning(str(root), str(runtime)) == []
    assert {path.name for path in next(runtime.iterdir()).iterdir()} == {"logs", "lock"}


def test_beyond_loopback_it_starts_with_tokens_only_and_asks_for_them(root, runtime, tmp_path):
    refused = phasemix("up", "--root", str(root), "--host", "0.0.0.0")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "--tokens FILE" in refused.stderr
    tokens, secret = tmp_path / "tokens", "s" * 32
    tokens.write_text(f"ann write {secret}\n")
    assert "chmod 600" in phasemix("up", "--root", str(root), "--tokens", str(tokens)).stderr
    tokens.chmod(0o600)
    up = phasemix("up", "--root", str(root), "--host", "0.0.0.0", "--tokens", str(tokens))
    assert up.returncode == 0, up.stderr
    try:
        port = str(rows(root)["mixer"]["address"]).rpartition(":")[2]
        request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v1/streams")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(request, timeout=10)
        request.add_header("Authorization", f"Bearer {secret}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer) == []
        assert mentioning(secret) == []
    finally:
        phasemix("down", "--root", str(root))
    logs = [path.read_text() for path in next(runtime.iterdir()).glob("logs/*.log")]
    assert not any(secret in text for text in logs)
