"""Forks processes that are killed at a chosen moment, from one process that has its imports behind it.

As a process it takes pickled requests on standard input and answers each on standard output. What is orphaned by a kill
becomes its child, and it ends only when all of them have ended.
"""

import ctypes
import importlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import roles

REPOSITORY = Path(__file__).parents[2]
KILLED = -signal.SIGKILL
PR_SET_CHILD_SUBREAPER = 36
LONGEST_LIFE_S = 60  # then SIGALRM ends a process, and its test fails
LAST_WAIT_S = 15.0  # a loader's orphaned workers look for their parent every 5 s


class Moment(NamedTuple):
    """When a process kills itself: at the n-th call that code of `places` makes or takes; `worker`: in one of its workers.

    Calls of C functions count, so it may be before or after any write, link or fsync. `function`: only what stands in it.
    """

    calls: int
    places: tuple[str, ...] = ("streamer/", "mixer/", "training/")
    function: str = ""
    worker: bool = False


class Nursery:
    """The process, as a test has it. `modules` are imported once; `interval`: batches between kept states."""

    def __init__(self, modules: list[str], *, interval: int) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="pm")  # short: torch puts Unix sockets there
        environment = {
            **os.environ,
            "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{Path(__file__).parent}",
            "TMPDIR": self._temporary.name,
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, __file__, str(interval), *modules]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self.port: int = self._receive()

    def start(self, moment: Moment | None, role: str, *arguments: Any) -> int:
        """Forks a process that plays a role of roles.py; its id."""
        return self._ask("start", moment, role, arguments)

    def wait(self, *pids: int) -> tuple[int, int]:
        """The first of some processes that ends, and its exit code, negative for a signal."""
        return self._ask("wait", pids)

    def kill(self, pid: int) -> None:
        self._ask("kill", pid)

    def close(self) -> list[int]:
        """Ends it; ids of processes that had not ended by themselves by then."""
        left: list[int] = self._ask("end")
        assert self._process.wait(10) == 0
        return left

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._temporary.cleanup()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _ask(self, *request: Any) -> Any:
        assert self._process.stdin is not None
        pickle.dump(request, self._process.stdin)
        self._process.stdin.flush()
        return self._receive()

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        return pickle.load(self._process.stdout)


def kill_at(moment: Moment) -> None:
    """Has this process, or one forked from it, kill itself at a moment. A count, not a clock, so that it can be repeated."""
    left, owner, places = moment.calls, os.getpid(), tuple(f"{REPOSITORY}/{place}" for place in moment.places)

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal left
        code = frame.f_code
        if not code.co_filename.startswith(places) or moment.function not in ("", code.co_name):
            return
        if moment.worker == (os.getpid() != owner):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(count)
    sys.setprofile(count)


def fork(moment: Moment | None, role: str, arguments: tuple[Any, ...]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)  # what prints must not stand among the answers
        signal.alarm(LONGEST_LIFE_S)
        if moment is not None:
            kill_at(moment)
        code = getattr(roles, role)(*arguments)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def main() -> None:
    from mixer.planning import planner

    planner.INTERVAL = planner.LANED_INTERVAL = int(sys.argv[1])
    for module in sys.argv[2:]:
        importlib.import_module(module)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    roles.listener = socket.create_server(("127.0.0.1", 0))  # outlives each service that serves on it
    answers = os.fdopen(os.dup(1), "wb")
    started: set[int] = set()
    ended: dict[int, int] = {}

    def answer(value: Any) -> None:
        pickle.dump(value, answers)
        answers.flush()

    answer(roles.listener.getsockname()[1])
    while True:
        match pickle.load(sys.stdin.buffer):
            case ["start", moment, role, arguments]:
                pid = fork(moment, role, arguments)
                started.add(pid)
                answer(pid)
            case ["wait", pids]:
                while not (found := [pid for pid in pids if pid in ended]):
                    pid, status = os.waitpid(-1, 0)
                    ended[pid] = os.waitstatus_to_exitcode(status)
                answer((found[0], ended[found[0]]))
            case ["kill", pid]:
                os.kill(pid, signal.SIGKILL)
                answer(None)
            case ["end"]:
                answer(wait_for_all(time.monotonic() + LAST_WAIT_S))
                return


def wait_for_all(deadline_s: float) -> list[int]:
    """Waits for every process that is left; those that do not end in time are killed, and named."""
    left: list[int] = []
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return left
        if pid == 0 and time.monotonic() > deadline_s:
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            left += [int(child) for child in children]
            for child in children:
                os.kill(int(child), signal.SIGKILL)
        time.sleep(0 if pid else 0.05)


if __name__ == "__main__":
    main()
