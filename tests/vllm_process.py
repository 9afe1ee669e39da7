"""A real vLLM server of the inference environment, on the CPU, for tests."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.local import processes
from tests.conftest import abandoned_memory

ENGINE = Path(__file__).parents[1] / ".engine" / "bin" / "python"
READY_S = 400.0


def require_engine() -> None:
    """Skips a test, or fails it where all is to be tested, when the inference environment is not there."""
    if not ENGINE.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{ENGINE} is not there; run make engine")
        pytest.skip(f"{ENGINE} is not there; make engine installs vLLM")


class Server:
    """vLLM over a folder that transformers can load, by the command that people start it with. A start takes some 40 s."""

    def __init__(self, checkpoint: Path, log: Path) -> None:
        self.checkpoint, self.log = checkpoint, log
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None
        self.abandoned = abandoned_memory()

    def start(self, *, sequences: int, tokens: int = 1024) -> None:
        """Until it is ready. `sequences`: how many it computes at once; `tokens`: of each, at most."""
        self.log.write_text("")
        words = ("generators", "engine", "up", str(self.checkpoint), "--name", "tiny", "--port", str(self.port))
        flags = f"--flags=--max-model-len {tokens} --max-num-seqs {sequences}"
        argv = (sys.executable, "-P", "-m", "phasemix", *words, "--python", str(ENGINE), flags)
        self.process = processes.start(argv, log=self.log, changes={"VLLM_CPU_KVCACHE_SPACE": "1"})
        deadline = time.monotonic() + READY_S
        while f"ready at http://127.0.0.1:{self.port}/v1" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < deadline, self.log.read_text()[-4000:]
            time.sleep(0.5)

    def kill(self) -> None:
        """With everything that it has started, and the shared memory that a killed vLLM leaves behind."""
        assert self.process is not None
        identity = processes.identify(self.process.pid)
        if identity is not None:
            processes.send(identity, signal.SIGKILL)
        self.process.wait()
        for name in abandoned_memory() - self.abandoned:
            if name.startswith(("psm_", "sem.mp-")):
                Path("/dev/shm", name).unlink(missing_ok=True)

    def stop(self) -> None:
        assert self.process is not None
        identity = processes.identify(self.process.pid)
        self.process.terminate()
        try:
            assert self.process.wait(timeout=30) == 0, self.log.read_text()[-4000:]
        finally:
            assert identity is not None
            processes.send(identity, signal.SIGKILL)  # its group, should anything be left of it
