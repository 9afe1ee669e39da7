"""The sandbox: what it is given, what it refuses, and what happens where none can be made."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.errors import SandboxError
from streamer.sandbox.outcome import End, Limits
from streamer.sandbox.sandbox import BUBBLEWRAP, NONE, UNSHARE, Sandbox, find_way, run, try_way
from streamer.sandbox.ways import readable_paths


@pytest.fixture
def sandbox() -> Sandbox:
    return made_or_skipped(Limits(wall_s=60))


@pytest.fixture
def without_makers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that has neither bubblewrap nor unshare."""
    for name in ("setpriv", "prlimit", "sh", "sleep"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(tmp_path))
    find_way.cache_clear()
    yield
    find_way.cache_clear()


def made_or_skipped(limits: Limits, readable: tuple[Path, ...] = ()) -> Sandbox:
    try:
        return Sandbox(limits, readable=readable)
    except SandboxError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))


def test_a_program_finds_its_files_and_its_input(sandbox: Sandbox) -> None:
    files = {"tests/one.py": "from tests.two import said\nprint(said, input())", "tests/two.py": b"said = 'two'"}
    outcome = sandbox.run([sys.executable, "-c", "import tests.one"], files=files, stdin="given")
    assert (outcome.end, outcome.exit_code, outcome.stdout, outcome.stderr) == (End.EXITED, 0, b"two given\n", b"")


def test_a_program_may_use_the_packages_of_this_python(sandbox: Sandbox) -> None:
    outcome = sandbox.run([sys.executable, "-I", "-c", "import msgspec, numpy; print(numpy.arange(3).sum())"])
    assert outcome.stdout == b"3\n"


def test_a_program_may_start_others_and_use_locks_between_them(sandbox: Sandbox) -> None:
    code = """
import multiprocessing
def work(number): return number * 2
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        print(pool.map(work, range(4)))
"""
    assert sandbox.run([sys.executable, "main.py"], files={"main.py": code}).stdout == b"[0, 2, 4, 6]\n"


@pytest.mark.parametrize("way", [BUBBLEWRAP, UNSHARE])
def test_a_program_knows_localhost_and_its_own_name_alone(way: str) -> None:
    if (why := try_way(way)) is not None:
        pytest.skip(why)
    code = """
import socket, sys
print(socket.gethostname(), *map(socket.gethostbyname, ("localhost", socket.gethostname())))
listening = socket.create_server(("localhost", 0))
socket.create_connection(("localhost", listening.getsockname()[1])).close()
print(*sorted(word for line in open("/etc/hosts") for word in line.split()))
"""
    outcome = run(way, Limits(wall_s=60), readable_paths(), [sys.executable, "-I", "-c", code], {}, b"")
    assert outcome.stdout == b"sandbox 127.0.0.1 127.0.0.1\n127.0.0.1 ::1 localhost localhost sandbox\n"


def test_what_is_named_may_be_read_and_not_written(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("told")
    tmp_path.chmod(0o755)  # a program of root is another user
    sandbox = made_or_skipped(Limits(wall_s=60), readable=(tmp_path,))
    code = "import sys; print(open(sys.argv[1]).read(), flush=True); open(sys.argv[1], 'w')"
    outcome = sandbox.run([sys.executable, "-c", code, str(tmp_path / "data")])
    assert outcome.stdout == b"told\n"
    assert b"Read-only file system" in outcome.stderr
    assert (tmp_path / "data").read_text() == "told"


def test_programs_know_nothing_of_each_other(sandbox: Sandbox) -> None:
    sandbox.run(["sh", "-c", "echo x > left; echo x > /dev/shm/left"])
    assert sandbox.run(["sh", "-c", "ls . /dev/shm"]).stdout == b".:\n\n/dev/shm:\n"


def test_a_program_that_is_not_there_ends_as_in_a_shell(sandbox: Sandbox) -> None:
    outcome = sandbox.run(["no-such-program"])
    assert (outcome.end, outcome.exit_code) == (End.EXITED, 127)
    assert b"no-such-program" in outcome.stderr


@pytest.mark.parametrize("name", ["../left", "/left", "", ".", "a/../../b", "a//b", "a/", "a\0b"])
def test_files_outside_of_the_folder_are_refused(sandbox: Sandbox, name: str) -> None:
    with pytest.raises(SandboxError, match="plain path within its folder"):
        sandbox.run(["true"], files={name: "x"})


@pytest.mark.parametrize("words", [["true", "a\0b"], ["true", "x" * (1 << 20)]])
def test_words_that_no_program_can_be_given_are_refused(sandbox: Sandbox, words: list[str]) -> None:
    with pytest.raises(SandboxError, match="could not be started"):
        sandbox.run(words)


def test_files_that_do_not_fit_are_said() -> None:
    sandbox = made_or_skipped(Limits(wall_s=60, disk_bytes=1 << 20))
    with pytest.raises(SandboxError, match="could not be made"):
        sandbox.run(["true"], files={"big": bytes(2 << 20)})


@pytest.mark.parametrize("command", ["ulimit -n 100", "ulimit -v 3000000", "umask 077"])
def test_a_caller_with_limits_of_its_own_runs_programs_within_them(sandbox: Sandbox, command: str) -> None:
    caller = """
import sys
from streamer.sandbox.sandbox import Sandbox
print(Sandbox().run([sys.executable, "-c", "print(open('a/b').read())"], files={"a/b": "read"}).stdout)
"""
    done = subprocess.run(
        ["sh", "-c", f'{command}; "$@"', "sh", sys.executable, "-c", caller], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("b'read\\n'\n", "")


def test_one_process_may_be_all_that_is_allowed() -> None:
    sandbox = made_or_skipped(Limits(wall_s=60, processes=1))
    code = "import os, time; time.sleep(0.2); print('alone', flush=True); os.fork(); time.sleep(1000)"
    outcome = sandbox.run([sys.executable, "-c", code])
    assert outcome.stdout == b"alone\n"
    assert outcome.end is End.TOO_MANY_PROCESSES or b"BlockingIOError" in outcome.stderr


def test_usage_is_told(sandbox: Sandbox) -> None:
    code = """
import time
held, until_s = bytearray(b"x") * (60 << 20), time.process_time() + 0.5
while time.process_time() < until_s:
    pass
"""
    outcome = sandbox.run([sys.executable, "-I", "-S", "-c", code])
    assert outcome.succeeded
    assert 0.2 < outcome.cpu_s < outcome.wall_s + 1
    assert 60 << 20 < outcome.memory_bytes < 200 << 20


@pytest.mark.usefixtures("without_makers")
def test_without_a_sandbox_nothing_is_run_and_the_remedy_is_named() -> None:
    with pytest.raises(SandboxError, match=r"bwrap is not installed; unshare: unshare is not installed.*install bubblewrap"):
        Sandbox()


@pytest.mark.usefixtures("without_makers")
def test_a_person_may_accept_the_limits_of_processes_alone() -> None:
    sandbox = Sandbox(Limits(wall_s=1, output_bytes=100), accept_unsandboxed=True)
    assert sandbox.way == NONE
    code = "import os; print(os.listdir('.'), os.environ['HOME'] == os.getcwd(), 'PHASEMIX' in str(os.environ))"
    assert sandbox.run([sys.executable, "-c", code], files={"a/b": "x"}).stdout == b"['a'] True False\n"
    assert sandbox.run([sys.executable, "-c", "import time; time.sleep(1000)"]).end is End.OUT_OF_TIME
    assert sandbox.run([sys.executable, "-c", "while True: print('y' * 1000)"]).end is End.TOO_MUCH_OUTPUT
    assert sandbox.run(["sh", "-c", "sleep 1000 & exit 7"]).exit_code == 7
    assert sandbox.run(["sh", "-c", "kill -TERM $$"]).signal == 15


def test_where_one_can_be_made_acceptance_changes_nothing(sandbox: Sandbox) -> None:
    assert Sandbox(accept_unsandboxed=True).way == sandbox.way != NONE
