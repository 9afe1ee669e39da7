"""The pool's processes, for tests: planner, workers and publisher of the command line on one root and one Redis."""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from deploy.command_line import main
from deploy.local import processes
from streamer import Catalog

PATIENCE_S = 60.0


class Pool:
    """Processes of one root and one Redis; all are gone after the test."""

    def __init__(self, root: Path, redis_url: str, engine_port: int) -> None:
        self.root, self.redis_url = root, redis_url
        self.engine = f"http://127.0.0.1:{engine_port}/v1"
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, verb: str, *words: str) -> "subprocess.Popen[bytes]":
        argv = [sys.executable, "-P", "-m", "phasemix", "generators", verb, "--root", str(self.root)]
        log = self.root.parent / f"{verb}-{len(self.started)}.log"
        process = processes.start((*argv, "--redis", self.redis_url, *words), log=log)
        self.started.append(process)
        return process

    def worker(self, name: str, *words: str) -> "subprocess.Popen[bytes]":
        return self.start("work", "--engine", self.engine, "--name", name, *words)

    def ask(self, *words: str) -> dict[str, object]:
        """What a command answers. It runs in this process, for it is asked again and again."""
        said = io.StringIO()
        with mock.patch.dict(os.environ, PHASEMIX_REDIS=self.redis_url), contextlib.redirect_stdout(said):
            assert main(["generators", *words, "--root", str(self.root), "--json"]) == 0
        answer: dict[str, object] = json.loads(said.getvalue())
        return answer

    def published(self) -> Counter[str]:
        catalog = Catalog(self.root)
        names = [name for name in catalog.names("streams") if name.startswith("synthetic/")]
        bodies = [body for name in names for body in catalog.stream_log(name).read()]
        return Counter(identity for body in bodies for identity in body.get("extra", {}).get("jobs", ()))


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
