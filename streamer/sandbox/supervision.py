"""Follows a started program to its end: reads what it writes, counts what it uses, kills it at a limit.

Always holds: what judges the program stays outside of its namespaces, in the thread that asked for it; when `follow`
returns, the program and all that it started have ended; nothing that the program can do makes it wait longer than the
limit of time and a little.

How: a program waits at a gate until its sandbox is made and known to end together with this process; where that fails, the
gate closes, and the program never starts. The end of the first process of a namespace is the end of all in it, which the
kernel sees to. What the processes use is read from the sandbox's own `/proc` and folders, through the root of that process.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from streamer.errors import SandboxError
from streamer.sandbox.outcome import End, Limits, Outcome
from streamer.sandbox.ways import FIRST, FOLDER, READY, read_status

LOOK_S = 0.02
START_S = 20.0  # so long a sandbox may take to be made
READ_BYTES = 1 << 16
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
FOLDERS = (FOLDER, "dev/shm")


class Usage(NamedTuple):
    """What the processes of a sandbox use at one look."""

    cpu_s: float
    memory_bytes: int
    processes: int
    files: int


class Supervision:
    """One started program. `status`: the file to which the maker of its sandbox tells of it; `gate`: what the program waits
    for a line of before it starts. Both are None where there is no sandbox.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", limits: Limits, status: int | None, gate: int | None) -> None:
        self._process, self._limits, self._status, self._gate = process, limits, status, gate
        self._is_started = gate is None
        self._started_s = time.monotonic()
        self._told = b""
        self._first: int | None = None  # the sandbox's first process
        self._first_file: int | None = None  # opened, so that its number is no other's
        self._written = {"stdout": bytearray(), "stderr": bytearray()}
        self._end: End | None = None
        self._cpu_s, self._memory_bytes = 0.0, 0

    def follow(self) -> Outcome:
        """Returns when all is over. Raises: SandboxError when the sandbox could not be made."""
        process = self._process
        assert process.stdout is not None
        assert process.stderr is not None
        with contextlib.ExitStack() as closing, selectors.DefaultSelector() as selector:
            closing.callback(self._close)
            for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe.fileno(), selectors.EVENT_READ, name)
            ended = os.pidfd_open(process.pid)
            closing.callback(os.close, ended)
            selector.register(ended, selectors.EVENT_READ, "ended")
            self._watch(selector)
        return self._outcome()

    def _watch(self, selector: selectors.BaseSelector) -> None:
        looked_s = time.monotonic()
        while self._process.returncode is None:
            until_s = self._started_s + (self._limits.wall_s if self._is_started else START_S)
            for key, _ in selector.select(max(0.0, min(looked_s + LOOK_S, until_s) - time.monotonic())):
                if key.data == "ended":
                    self._process.wait()
                elif self._read(key.data, key.fd) == 0:
                    selector.unregister(key.fd)
            now_s = time.monotonic()
            if self._is_started and self._end is None and now_s - looked_s >= LOOK_S:
                looked_s = now_s
                self._end = self._limit_reached()
            if self._end is None and now_s >= until_s:
                self._end = End.OUT_OF_TIME
            if self._end is not None:
                self.kill()
        self.kill()
        for key in list(selector.get_map().values()):  # what was written before the end
            while key.data != "ended" and self._end is not End.TOO_MUCH_OUTPUT and self._read(key.data, key.fd) > 0:
                pass

    def _read(self, name: str, fd: int) -> int:
        """Reads once: how many bytes there were, 0 at the end, -1 where there are none yet."""
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return -1
        count = len(data)
        if name == "stdout" and data and not self._is_started:
            self._start()
            data = data[len(READY) :]
        written = self._written[name]
        room = self._limits.output_bytes - len(written)
        written += data[:room]
        if len(data) > room:
            self._end = self._end or End.TOO_MUCH_OUTPUT
        return count

    def _start(self) -> None:
        """Lets the program start, whose sandbox is made and ends with this process from now on."""
        assert self._gate is not None
        self._read_status()
        if self._first_file is not None:
            self._is_started, self._started_s = True, time.monotonic()
            with contextlib.suppress(BrokenPipeError):
                os.write(self._gate, READY)

    def _read_status(self) -> None:
        """Finds the sandbox's first process, if its maker has told it by now."""
        assert self._status is not None
        with contextlib.suppress(BlockingIOError):
            self._told += os.read(self._status, READ_BYTES)
        if self._first is None and (number := read_status(self._told).get("child-pid")):
            with contextlib.suppress(OSError):
                self._first_file, self._first = os.pidfd_open(number), number
                Path(f"/proc/{number}/oom_score_adj").write_text("1000")

    def _limit_reached(self) -> End | None:
        """The limit that the processes have reached by now."""
        try:
            usage = self._look()
        except OSError:  # it has ended meanwhile
            return None
        self._cpu_s, self._memory_bytes = max(self._cpu_s, usage.cpu_s), max(self._memory_bytes, usage.memory_bytes)
        if usage.memory_bytes > self._limits.memory_bytes:
            return End.OUT_OF_MEMORY
        if usage.cpu_s > self._limits.cpu_s:
            return End.OUT_OF_CPU
        if usage.processes > self._limits.processes + FIRST:
            return End.TOO_MANY_PROCESSES
        return End.TOO_MANY_FILES if usage.files > self._limits.files else None

    def _look(self) -> Usage:
        """Raises: OSError when the sandbox has no root any more."""
        if self._first is None:
            raise FileNotFoundError("there is no sandbox")
        root = f"/proc/{self._first}/root"
        states = list(read_states(f"{root}/proc"))
        memory = sum(state.memory_bytes for state in states)
        if memory > self._limits.memory_bytes:  # pages that processes share are counted once for each of them
            memory = sum(own_memory(f"{root}/proc/{state.number}") for state in states)
        found = [os.statvfs(f"{root}/{folder}") for folder in FOLDERS]
        return Usage(
            cpu_s=sum(state.cpu_s for state in states),
            memory_bytes=memory,
            processes=sum(state.threads for state in states),
            files=sum(one.f_files - one.f_ffree for one in found),
        )

    def kill(self) -> None:
        """Kills all that the program started, and waits until it has ended."""
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        elif self._first_file is None:
            self._read_status()
        if self._first_file is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first_file, signal.SIGKILL)
        self._process.kill()  # not only waited for: it may have something to say, and nobody reads it
        self._process.wait()
        if self._first_file is not None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._first_file, selectors.EVENT_READ)
                selector.select()
            with contextlib.suppress(ChildProcessError):  # it is ours to bury where this process is a container's first
                os.waitid(os.P_PIDFD, self._first_file, os.WEXITED | os.WNOHANG)

    def _close(self) -> None:
        self.kill()
        if self._first_file is not None:
            os.close(self._first_file)
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()

    def _outcome(self) -> Outcome:
        written = self._written
        if not self._is_started:
            said = written["stderr"].decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise SandboxError(f"the sandbox could not be made: {said or f'its maker ended as {self._process.returncode}'}")
        if self._status is not None:
            self._read_status()
        code = read_status(self._told).get("exit-code", self._process.returncode)  # another may have waited for the process
        number = -code if code < 0 else code - 128 if 128 < code <= 128 + 64 else None
        end = self._end or (End.EXITED if number is None else End.SIGNALLED)
        return Outcome(
            end=end,
            exit_code=code if end is End.EXITED else None,
            signal=number if end is End.SIGNALLED else None,
            stdout=bytes(written["stdout"]),
            stderr=bytes(written["stderr"]),
            wall_s=time.monotonic() - self._started_s,
            cpu_s=self._cpu_s,
            memory_bytes=self._memory_bytes,
        )


class State(NamedTuple):
    """One process."""

    number: str
    cpu_s: float
    threads: int
    memory_bytes: int


def read_states(proc: str) -> Iterator[State]:
    """The processes of a `/proc`; those that end meanwhile are left out."""
    for number in os.listdir(proc):
        if number.isdecimal():
            with contextlib.suppress(OSError):
                words = Path(f"{proc}/{number}/stat").read_bytes().rpartition(b")")[2].split()
                ticks, threads, pages = sum(map(int, words[11:15])), int(words[17]), int(words[21])
                yield State(number, ticks / TICKS_PER_S, threads, pages * PAGE_BYTES)


def own_memory(process: str) -> int:
    """A process's memory in bytes, of shared pages its part; 0 when it has ended."""
    try:
        text = Path(f"{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:"))
