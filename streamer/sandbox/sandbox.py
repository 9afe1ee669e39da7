"""The sandbox: runs programs that nobody trusts.

Always holds: a program runs in a sandbox that was seen to hold on this machine, or not at all, unless a person has typed
that they accept that; any number of threads may run programs at once; no trace of a program is left.

How: bubblewrap where it is installed, else `unshare` of util-linux; which of them works is found by trying once.
"""

import contextlib
import fcntl
import functools
import itertools
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from streamer.errors import SandboxError
from streamer.sandbox.outcome import End, Limits, Outcome
from streamer.sandbox.supervision import START_S, Supervision
from streamer.sandbox.system_calls import MACHINES, Machine, make_filter
from streamer.sandbox.ways import (
    ENVIRONMENT,
    FIRST_UID,
    HOSTS,
    UIDS,
    Request,
    by_bubblewrap,
    by_limits_alone,
    by_unshare,
    readable_paths,
)

USUAL_LIMITS = Limits()
BUBBLEWRAP, UNSHARE, NONE = "bubblewrap", "unshare", "limits of processes alone"
TRIAL = Limits(wall_s=START_S, memory_bytes=64 << 20)
TRIAL_PROGRAM = """
import os
assert len([name for name in os.listdir("/proc") if name.isdecimal()]) <= 3, "processes of others are seen"
assert {line.split(":")[0].strip() for line in open("/proc/net/dev").readlines()[2:]} <= {"lo"}, "there is a network"
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
assert status["CapEff"].strip("\\t\\n0") == "" and status["NoNewPrivs"].strip() == "1", "there are privileges"
assert status["Seccomp"].strip() == "2", "there is no filter of system calls"
for place in ("/", "/usr", "/dev"):
    assert os.statvfs(place).f_flag & os.ST_RDONLY, place + " can be written"
open("writable", "w").close()
print("holds", flush=True)
memory = bytearray(b"1") * (80 << 20)  # more than it may have
while True:
    pass
"""
REMEDY = (
    "install bubblewrap (Debian and Ubuntu: apt-get install bubblewrap), and allow user namespaces "
    "(sysctl user.max_user_namespaces; in a container, a profile that allows unshare and mount)"
)
numbers = itertools.count()


class Sandbox:
    """Runs programs within limits. `readable`: files and folders that they may read, beside the system and this Python.

    Where root runs them, they are of a user whom nobody else is, and may read what all users may.

    Args: accept_unsandboxed, run them with the limits of processes alone where no sandbox can be made; only a person who
    types it may decide that.
    Raises: SandboxError when no sandbox can be made here.
    """

    def __init__(
        self, limits: Limits = USUAL_LIMITS, *, readable: Sequence[str | Path] = (), accept_unsandboxed: bool = False
    ) -> None:
        self.limits = limits
        self._readable = list(dict.fromkeys([*readable_paths(), *(str(Path(path).absolute()) for path in readable)]))
        try:
            self.way = find_way()
        except SandboxError:
            if not accept_unsandboxed:
                raise
            self.way = NONE

    def run(self, words: Sequence[str], *, files: Mapping[str, str | bytes] = {}, stdin: str | bytes = b"") -> Outcome:
        """Runs a program and waits for its end; it starts in a folder that has nothing but `files`.

        Args: words, the program and its arguments; files, their contents by paths within the folder.
        Raises: SandboxError for a path that leads out of the folder, or when the sandbox cannot be made.
        """
        return run(self.way, self.limits, self._readable, words, files, stdin)


@functools.cache
def find_way() -> str:
    """How sandboxes are made here. Raises: SandboxError when none can be made, with what was tried."""
    refused = []
    for way in (BUBBLEWRAP, UNSHARE):
        if (why := try_way(way)) is None:
            return way
        refused.append(f"{way}: {why}")
    raise SandboxError(f"no sandbox can be made on this machine ({'; '.join(refused)}); {REMEDY}")


def try_way(way: str) -> str | None:
    """Runs a program that looks whether a sandbox holds, then takes too much memory; why it does not hold, if so."""
    try:
        outcome = run(way, TRIAL, readable_paths(), [sys.executable, "-I", "-S", "-c", TRIAL_PROGRAM], {}, b"")
    except SandboxError as error:
        return str(error)
    if outcome.stdout == b"holds\n" and outcome.end is End.OUT_OF_MEMORY:
        return None
    return outcome.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2] or f"a trial ended as {outcome.end}"


def run(
    way: str,
    limits: Limits,
    readable: Sequence[str],
    words: Sequence[str],
    files: Mapping[str, str | bytes],
    stdin: str | bytes,
) -> Outcome:
    """Runs a program in one way. Raises: SandboxError."""
    for name in files:
        check_name(name)
    with contextlib.ExitStack() as closing:
        given = held(closing, stdin)
        if way == NONE:
            folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="phasemix-", ignore_cleanup_errors=True))
            for name, content in files.items():
                place = Path(folder, name)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(as_bytes(content))
            process = start(closing, by_limits_alone(words, limits), given, (), folder)
            return Supervision(process, limits, None, None).follow()
        (status, telling), (waiting, gate) = opened(closing), opened(closing)
        os.set_blocking(status, False)
        request = Request(
            words=words,
            stdin=given,
            files={name: held(closing, content) for name, content in files.items()},
            hosts=held(closing, HOSTS),
            readable=readable,
            limits=limits,
            status=telling,
            filter=held(closing, make_filter(known_machine())),
            uid=FIRST_UID + (os.getpid() * 64 + next(numbers)) % UIDS if os.geteuid() == 0 else None,
        )
        command = by_bubblewrap(request) if way == BUBBLEWRAP else by_unshare(find_program("unshare"), request)
        process = start(
            closing, command, waiting, (telling, given, request.filter, request.hosts, *request.files.values()), "/"
        )
        return Supervision(process, limits, status, gate).follow()


def start(
    closing: contextlib.ExitStack, command: Sequence[str], stdin: int, passed: Sequence[int], folder: str
) -> "subprocess.Popen[bytes]":
    """Starts a maker of sandboxes. Raises: SandboxError when it is not installed."""
    environment = ENVIRONMENT if folder == "/" else ENVIRONMENT | {"HOME": folder, "TMPDIR": folder}
    try:
        return closing.enter_context(
            subprocess.Popen(
                [find_program(command[0]), *command[1:]],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=passed,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        )
    except (OSError, ValueError) as error:
        raise SandboxError(f"{command[0]} could not be started: {error}") from error


def find_program(name: str) -> str:
    """The path of a program. Raises: SandboxError when it is not installed."""
    found = shutil.which(name)
    if found is None:
        raise SandboxError(f"{name} is not installed")
    return found


def opened(closing: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe: where to read, and where to write."""
    ends = os.pipe()
    for number in ends:
        closing.callback(os.close, number)
    return ends


def held(closing: contextlib.ExitStack, content: str | bytes) -> int:
    """A file in memory that has some content, cannot be changed any more, and is read from its start."""
    number = os.memfd_create("phasemix", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    closing.callback(os.close, number)
    with os.fdopen(os.dup(number), "wb") as file:
        file.write(as_bytes(content))
    os.lseek(number, 0, os.SEEK_SET)
    fcntl.fcntl(number, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    return number


def as_bytes(content: str | bytes) -> bytes:
    return content.encode("utf-8", "replace") if isinstance(content, str) else content


def check_name(name: str) -> None:
    """Raises: SandboxError when a file's name is no plain path within the folder."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name or str(path) != name:
        raise SandboxError(f"the name {name!r} of a program's file must be a plain path within its folder, like answer.py")


def known_machine() -> Machine:
    """Raises: SandboxError when the system calls of this machine are not known."""
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise SandboxError(f"the system calls of {platform.machine()} are not known, those of {' and '.join(MACHINES)} are")
    return machine
