"""Processes by pid and start time, so that nothing of a stranger's is ever signalled. Linux.

Always holds: a signal goes to a process only while its pid was started when it was recorded.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

PR_SET_PDEATHSIG = 1


class Identity(msgspec.Struct, frozen=True):
    """A process that was: `started` is its start time, in the kernel's clock ticks since boot, from /proc/PID/stat."""

    pid: int
    started: str


def identify(pid: int) -> Identity | None:
    """Who has this pid now; None when nobody, or a process that has ended and was not waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in ("Z", "X") else Identity(pid, fields[19])


def alive(process: Identity) -> bool:
    return identify(process.pid) == process


def send(process: Identity, number: signal.Signals, *, group: bool = True) -> bool:
    """Signals the process, and its group when it leads one; False when it is gone."""
    if not alive(process):
        return False
    try:
        if group and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def wait_gone(processes: Sequence[Identity], *, timeout_s: float) -> list[Identity]:
    """Waits for processes to end; returns those that have not."""
    deadline = time.monotonic() + timeout_s
    left = [process for process in processes if alive(process)]
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [process for process in left if alive(process)]
    return left


def start(
    argv: Sequence[str],
    *,
    log: Path,
    pass_fds: Sequence[int] = (),
    tied: bool = True,
    changes: Mapping[str, str | None] = MappingProxyType({}),
) -> subprocess.Popen[bytes]:
    """Starts a process that leads its own group, its output appended to `log`.

    `tied`: the kernel sends it SIGTERM when this process dies, however it dies. `changes`: of its environment; None takes a
    variable out.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **changes}
    parent = os.getpid()
    libc = ctypes.CDLL(None, use_errno=True)

    def tie() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=pass_fds,
            preexec_fn=tie if tied and sys.platform == "linux" else None,
            env={name: value for name, value in environment.items() if value is not None},
        )
