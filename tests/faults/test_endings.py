"""A process that reads ends when it wants to, with the exit code that it gives: no thread of a reader keeps or kills it.

PHASEMIX_KILLS times as many processes are tried.
"""

import json
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import uvicorn

from mixer import Mixtures, Runs
from mixer.service import create_app
from streamer import Catalog

HERE = Path(__file__).parent
KILLS = int(os.environ.get("PHASEMIX_KILLS", "1"))
SEQ_LEN, ROWS = 16, 400
CODES = {
    "look": 0, "some": 0, "raise": 1, "exit": 3, "at once": 5, "interrupt": -2, "interrupt, then read on": 0, "within": 0,
    "within, then raise": 1, "child": 0, "daemon": 0, "thread": 0, "at exit": 0, "snapshot": 0, "close": 0,
}  # fmt: skip
SAYS = {"raise": "RuntimeError: the model met something", "within, then raise": "RuntimeError: the model met something"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three streams of many small parts, so that threads have shards to hash when a process ends."""
    catalog = Catalog(tmp_path / "catalog")
    rows = np.random.default_rng(0).integers(0, 60000, (ROWS, SEQ_LEN)).astype(np.uint16)
    for name, parts in (("raw/python", 20), ("raw/go", 8), ("raw/sql", 1)):
        for part in np.array_split(rows, parts):
            catalog.append(name, part, seq_len=SEQ_LEN)
    Mixtures(catalog).apply(f'name = "g"\nseq_len = {SEQ_LEN}\n[[component]]\nstreams = "raw/*"\nshare = 1.0\n')
    Runs(catalog).create("r", mixture="g", seed=1, global_batch=8)
    return tmp_path / "catalog"


def check_endings(root: Path, folder: Path, ways: list[str], *, modules: str = "", service: str = "") -> None:
    folder.mkdir()
    command = [sys.executable, str(HERE / "endings.py"), str(root), "r", service, str(folder), modules, *ways]
    path = os.pathsep.join([str(HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert Counter(one["way"] for one in found) == Counter(ways)
    for one in found:
        kind = one["way"].partition("/")[0]
        assert one["code"] == CODES[kind], one
        if kind == "interrupt, then read on":
            continue  # Python says so when it has to drop an interrupt
        assert "Exception ignored" not in one["said"], one
        if kind == "interrupt":
            assert "KeyboardInterrupt" in one["said"], one
        else:
            assert one["said"].strip().endswith(SAYS.get(kind, "")), one
            assert bool(one["said"]) == (kind in SAYS), one


def test_readers_end_in_every_way(root: Path, tmp_path: Path) -> None:
    """75 processes: fifteen ways, five times each."""
    check_endings(root, tmp_path / "said", list(CODES) * 5 * KILLS)


def test_loaders_end_in_every_way(root: Path, tmp_path: Path) -> None:
    """20 processes with torch; those with worker processes too. A daemon thread is not among them: torch aborts it."""
    ways = ["look", "some", "raise", "exit", "interrupt", "child", "thread", "within"] * 2
    ways += ["look/2", "raise/2", "exit/2", "some/2"]
    check_endings(root, tmp_path / "said", ways * KILLS, modules="training.loading.loader")


def test_readers_behind_a_service_end_in_every_way(root: Path, tmp_path: Path) -> None:
    """18 processes, whose segments come in the background."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(root), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        ways = ["look", "some", "raise", "exit", "interrupt", "child", "daemon", "thread", "within"] * 2 * KILLS
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        check_endings(root, tmp_path / "said", ways, service=address)
    finally:
        server.should_exit = True
        thread.join()
