"""Hostile programs in the sandbox harm nothing: each is named by how it ended, and leaves no process, mount or file."""

import contextlib
import os
import platform
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from streamer.sandbox.outcome import End, Limits, Outcome
from streamer.sandbox.sandbox import BUBBLEWRAP, UNSHARE, Sandbox, try_way
from streamer.sandbox.ways import FOLDER

ROOMY = Limits(
    wall_s=60, cpu_s=30, memory_bytes=256 << 20, processes=32, disk_bytes=8 << 20, files=500, output_bytes=100_000
)
SECRET = "a-secret-of-the-caller"
PRELUDE = """
import ctypes, errno, os, resource, signal, socket, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def native(name, *arguments):
    ctypes.set_errno(0)
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def attempt(name, call, *arguments):
    try:
        call(*arguments)
    except (OSError, MemoryError, RuntimeError, subprocess.SubprocessError, ValueError) as error:
        print(name, "refused:", error, flush=True)
    else:
        print(name, "DONE", flush=True)
"""
MACHINE = platform.machine()
Run = Callable[..., Outcome]


@pytest.fixture(scope="module", params=[BUBBLEWRAP, UNSHARE])
def way(request: pytest.FixtureRequest) -> str:
    if (refused := try_way(request.param)) is not None:
        pytest.skip(refused)
    return str(request.param)


@pytest.fixture
def run(way: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a program; in the end nothing of what was run is there any more."""
    mark = f"hostile-{uuid.uuid4().hex}"
    monkeypatch.setenv("PHASEMIX_TEST_SECRET", SECRET)

    def run_program(code: str, *, stdin: str | bytes = b"", words: tuple[str, ...] = (), **limits: float) -> Outcome:
        sandbox = Sandbox(msgspec.structs.replace(ROOMY, **limits))
        sandbox.way = way
        command = [sys.executable, "-I", "-S", "program.py", mark, *words]
        outcome = sandbox.run(command, files={"program.py": PRELUDE + code}, stdin=stdin)
        assert processes_with(mark) == []
        return outcome

    yield run_program
    assert processes_with(mark) == []
    places = [Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()]
    assert [place for place in places if place.name == Path(FOLDER).name or place.is_relative_to("/mnt/proc")] == []
    left = [path for folder in ("/tmp", "/dev/shm", "/", Path.home(), ".") for path in Path(folder).glob("left-behind*")]
    assert left == []


def processes_with(mark: str) -> list[str]:
    """The processes of the machine that have a word in their arguments."""
    found = []
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if place.name.isdecimal() and mark.encode() in (place / "cmdline").read_bytes():
                found.append(place.name)
    return found


def program_of(number: str) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{number}/exe").readlink().name
    return "ended"


def refusals(outcome: Outcome) -> int:
    """How many attempts a program made; every one was refused, and it ended by itself."""
    assert b"DONE" not in outcome.stdout
    assert (outcome.end, outcome.exit_code, outcome.stderr) == (End.EXITED, 0, b"")
    return outcome.stdout.count(b" refused:")


# Time, processors, memory, space.


def test_an_endless_loop_is_stopped(run: Run) -> None:
    assert run("while True: pass", cpu_s=0.3).end is End.OUT_OF_CPU


def test_endless_loops_in_processes_count_together(run: Run) -> None:
    assert run("for _ in range(3): os.fork()\nwhile True: pass", cpu_s=1).end is End.OUT_OF_CPU


def test_a_sleeper_is_stopped(run: Run) -> None:
    assert run("print('before', flush=True); time.sleep(1000)", wall_s=1).stdout == b"before\n"


def test_a_fork_bomb_ends_at_the_limit_of_processes(run: Run) -> None:
    code = """
alive = 0
for _ in range(2000):
    try:
        if os.fork() == 0:
            time.sleep(1000)
        alive += 1
    except OSError:
        pass
print(alive, flush=True)
time.sleep(1000)
"""
    outcome = run(code, wall_s=3)
    assert outcome.end in (End.OUT_OF_TIME, End.TOO_MANY_PROCESSES)
    assert outcome.end is End.TOO_MANY_PROCESSES or 0 < int(outcome.stdout) < ROOMY.processes


def test_a_fork_bomb_that_never_waits_is_stopped(run: Run) -> None:
    code = """
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
    assert run(code, wall_s=2, cpu_s=2).end in (End.OUT_OF_TIME, End.OUT_OF_CPU, End.TOO_MANY_PROCESSES)


def test_threads_by_the_thousand_are_refused(run: Run) -> None:
    code = """
try:
    for count in range(3000):
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
except (RuntimeError, MemoryError):
    print(count, flush=True)
os._exit(0)
"""
    outcome = run(code)
    assert outcome.end is End.TOO_MANY_PROCESSES or 0 < int(outcome.stdout) < ROOMY.processes


def test_a_memory_bomb_is_stopped(run: Run) -> None:
    outcome = run("held = []\nwhile True: held.append(bytearray(b'x') * (1 << 20))")
    assert outcome.end is End.OUT_OF_MEMORY
    assert outcome.memory_bytes < 2 * ROOMY.memory_bytes


def test_one_reservation_of_more_than_all_memory_is_refused(run: Run) -> None:
    assert refusals(run("attempt('reserve', bytearray, 1 << 40)")) == 1


def test_fifty_children_below_the_limit_count_together(run: Run) -> None:
    code = """
for _ in range(50):
    if os.fork() == 0:
        held = bytearray(b"x") * (12 << 20)
        time.sleep(1000)
time.sleep(1000)
"""
    assert run(code, processes=100).end is End.OUT_OF_MEMORY


def test_memory_that_processes_share_counts_once(run: Run) -> None:
    code = """
held = bytearray(b"x") * (60 << 20)
for _ in range(12):
    if os.fork() == 0:
        time.sleep(0.5)
        os._exit(0)
time.sleep(0.5)
"""
    assert run(code).succeeded


@pytest.mark.skipif(MACHINE != "x86_64", reason="the numbers of system calls are those of x86-64")
def test_memory_that_belongs_to_no_process_cannot_be_made(run: Run) -> None:
    code = """
attempt("memfd_create", native, "syscall", 319, b"name", 0)
attempt("memfd_secret", native, "syscall", 447, 0)
attempt("shmget", native, "syscall", 29, 0, 1 << 20, 0o1600)
attempt("mq_open", native, "syscall", 240, b"name", os.O_CREAT | os.O_RDWR, 0o600, None)
"""
    assert refusals(run(code)) == 4


@pytest.mark.parametrize("stream", [1, 2])
def test_gigabytes_of_output_are_cut(run: Run, stream: int) -> None:
    outcome = run(f"while True: os.write({stream}, b'y' * 65536)")
    assert outcome.end is End.TOO_MUCH_OUTPUT
    assert (outcome.stdout, outcome.stderr)[stream - 1] == b"y" * ROOMY.output_bytes


def test_the_disk_cannot_be_filled(run: Run) -> None:
    code = """
def fill(folder):
    for number in range(100):
        with open(f"{folder}/left-behind-{number}", "wb", 0) as file:
            while file.write(bytes(1 << 20)) == 1 << 20:
                pass
def big():
    with open("left-behind", "r+b") as file:
        file.truncate(1 << 40)
def hidden():
    held = []
    while True:
        held.append(open("unlinked", "w+b", 0))
        os.unlink("unlinked")
        if held[-1].write(bytes(1 << 20)) < 1 << 20:
            raise OSError("full")
for folder in (".", "/dev/shm"):
    try:
        fill(folder)
    except OSError as error:
        print(folder, "refused:", error.errno == errno.ENOSPC)
for name in os.listdir("."):
    if name != "program.py":
        os.unlink(name)
open("left-behind", "w").close()
attempt("truncate", big)
attempt("unlinked", hidden)
"""
    assert refusals(run(code)) == 4


def test_a_million_files_are_stopped(run: Run) -> None:
    assert run("for number in range(1000000): open(f'left-behind-{number}', 'w').close()").end is End.TOO_MANY_FILES


def test_a_million_links_and_folders_are_stopped(run: Run) -> None:
    code = "for number in range(1000000): os.mkdir(f'/dev/shm/{number}'); os.symlink('/etc', f'left-behind-{number}')"
    assert run(code).end is End.TOO_MANY_FILES


# What it can see and write.


def test_nothing_outside_of_its_folder_can_be_written(run: Run, tmp_path: Path) -> None:
    code = """
for place in ("/", "/usr/", "/usr/bin/", "/etc/", "/dev/", "/proc/sys/kernel/", "/root/", "/home/", *sys.argv[2:]):
    attempt(place, open, place + "left-behind", "w")
attempt("python", open, sys.executable, "r+b")
attempt("library", open, os.__file__, "r+b")
attempt("trigger", lambda: os.write(os.open("/proc/sysrq-trigger", os.O_WRONLY), b"h"))
attempt("core", lambda: os.write(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY), b"|/bin/sh"))
"""
    outcome = run(code, words=(f"{Path.home()}/", f"{Path.cwd()}/", f"{tmp_path}/"))
    assert refusals(outcome) == 15
    assert list(tmp_path.iterdir()) == []


def test_files_of_the_machine_and_of_the_caller_cannot_be_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    code = """
for place in ("/etc/shadow", "/etc/passwd", "/etc/hostname", "/proc/kcore", "/proc/kmsg", "/var/log", *sys.argv[2:]):
    attempt(place, lambda: os.listdir(place) if os.path.isdir(place) else open(place).read(1))
"""
    outcome = run(code, words=(str(tmp_path / "secret"), str(tmp_path), __file__, "/proc/1/root/etc/passwd"))
    assert refusals(outcome) == 10


def test_the_environment_of_the_caller_is_not_seen(run: Run) -> None:
    code = """
for number in os.listdir("/proc"):
    for name in ("environ", "cmdline"):
        try:
            sys.stdout.buffer.write(open(f"/proc/{number}/{name}", "rb").read())
        except OSError:
            pass
print(os.environ)
"""
    outcome = run(code)
    assert outcome.succeeded
    assert b"SANDBOX" in outcome.stdout.upper()
    assert SECRET.encode() not in outcome.stdout
    assert b"PHASEMIX" not in outcome.stdout


def test_a_link_that_leads_out_of_the_folder_leads_nowhere(run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    code = """
os.symlink(sys.argv[2], "left-behind-link")
attempt("read", lambda: open("left-behind-link").read())
attempt("write", open, "left-behind-link", "w")
attempt("link", os.link, sys.argv[2], "left-behind-hard")
"""
    assert refusals(run(code, words=(str(tmp_path / "secret"),))) == 3
    assert (tmp_path / "secret").read_text() == SECRET


def test_a_pipe_in_the_place_of_its_own_file_holds_nobody_up(run: Run) -> None:
    code = "os.unlink('program.py'); os.mkfifo('program.py'); print('made', flush=True); open('program.py').read()"
    outcome = run(code, wall_s=1)
    assert (outcome.end, outcome.stdout) == (End.OUT_OF_TIME, b"made\n")


def test_no_descriptor_is_inherited(run: Run) -> None:
    code = """
print(sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1])
for number in range(3, 1000):
    try:
        os.write(number, b"x")
        print(number, "DONE")
    except OSError:
        pass
attempt("stdin", os.write, 0, b"x")
attempt("again", lambda: os.write(os.open("/proc/self/fd/0", os.O_RDWR), b"x"))
"""
    outcome = run(code, stdin=b"given")
    assert refusals(outcome) == 2
    assert outcome.stdout.startswith(b"[0, 1, 2]\n")


def test_what_it_leaves_in_shared_folders_is_gone(run: Run) -> None:
    code = """
for folder in ("/tmp", "/dev/shm", ".", os.path.expanduser("~")):
    open(f"{folder}/left-behind", "w").write("x")
print("written")
"""
    assert run(code).stdout == b"written\n"


# Other processes.


def test_the_caller_cannot_be_traced_read_or_seen(run: Run) -> None:
    code = """
for name in ("mem", "maps", "environ", "root/etc", "cwd", "fd/1"):
    attempt(name, open, f"/proc/{sys.argv[2]}/{name}", "rb")
for number in (int(sys.argv[2]), 1, os.getppid()):
    attempt("trace", native, "ptrace", 16, number, None, None)
    attempt("read", native, "process_vm_readv", number, None, 0, None, 0, 0)
print("seen", len([name for name in os.listdir("/proc") if name.isdecimal()]))
"""
    outcome = run(code, words=(str(os.getpid()),))
    assert refusals(outcome) == 12
    assert int(outcome.stdout.split()[-1]) <= 3


def test_the_first_process_of_the_sandbox_has_nothing_to_take(run: Run) -> None:
    code = """
def told(number):
    status = dict(line.split(":", 1) for line in open(f"/proc/{number}/status"))
    return [status[name] for name in ("CapEff", "CapPrm", "NoNewPrivs", "Seccomp")], open(f"/proc/{number}/limits").read()
try:
    open("/proc/1/mem", "r+b").close()
    print("same", told(1) == told("self"))
except OSError:
    print("out of reach")
"""
    assert run(code).stdout in (b"out of reach\n", b"same True\n")


@pytest.mark.parametrize("victim", ["-1", "os.getppid()", "1", "int(sys.argv[2])", "-int(sys.argv[2])"])
@pytest.mark.parametrize("number", ["SIGKILL", "SIGSTOP"])
def test_no_process_outside_can_be_killed(run: Run, victim: str, number: str) -> None:
    with subprocess.Popen(["sleep", "1000"]) as sleeper:
        code = f"""
attempt("kill", os.kill, {victim}, signal.{number})
time.sleep(0.1)
print("alive", flush=True)
"""
        outcome = run(code, words=(str(sleeper.pid),), wall_s=3)
        assert sleeper.poll() is None
        assert Path(f"/proc/{sleeper.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"
        sleeper.kill()
    assert outcome.end in (End.EXITED, End.SIGNALLED, End.OUT_OF_TIME)


def test_a_daemon_does_not_outlive_it(run: Run) -> None:
    code = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in (0, 1, 2):
            os.close(number)
        time.sleep(1000)
    os._exit(0)
time.sleep(0.2)
print("leaves")
"""
    outcome = run(code)
    assert outcome.succeeded
    assert outcome.stdout == b"leaves\n"


def test_a_daemon_that_holds_the_output_open_holds_nobody_up(run: Run) -> None:
    outcome = run("if os.fork() == 0: os.setsid(); time.sleep(1000)\nprint('leaves', flush=True)")
    assert outcome.succeeded
    assert outcome.stdout == b"leaves\n"


def test_one_that_ignores_signals_is_stopped(run: Run) -> None:
    code = """
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
print("ignores", flush=True)
while True:
    time.sleep(1000)
"""
    assert run(code, wall_s=1).end is End.OUT_OF_TIME


def test_one_that_ignores_the_limit_of_the_processor_is_stopped(run: Run) -> None:
    assert run("signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", cpu_s=1.2).end is End.OUT_OF_CPU


def test_one_that_closes_its_output_and_goes_on_is_stopped(run: Run) -> None:
    outcome = run("print('closes', flush=True); os.close(1); os.close(2); time.sleep(1000)", wall_s=1)
    assert (outcome.end, outcome.stdout) == (End.OUT_OF_TIME, b"closes\n")


def test_one_that_stops_itself_is_stopped(run: Run) -> None:
    assert run("os.kill(os.getpid(), signal.SIGSTOP)", wall_s=1).end is End.OUT_OF_TIME


def test_a_killed_caller_takes_its_program_along(way: str) -> None:
    mark = f"hostile-{uuid.uuid4().hex}"
    caller = f"""
import sys
from streamer.sandbox.sandbox import Sandbox
sandbox = Sandbox()
sandbox.way = {way!r}
sandbox.run([sys.executable, "-I", "-S", "-c", "import time; time.sleep(1000)", {mark!r}])
"""
    with subprocess.Popen([sys.executable, "-c", caller, mark]) as process:
        wait_until(lambda: len(processes_with(mark)) >= 3)
        process.kill()
    wait_until(lambda: processes_with(mark) == [])


def test_a_caller_that_is_killed_while_sandboxes_are_made_leaves_none(way: str) -> None:
    mark = f"hostile-{uuid.uuid4().hex}"
    caller = f"""
import sys
from streamer.sandbox.outcome import Limits
from streamer.sandbox.sandbox import Sandbox
sandbox = Sandbox(Limits(wall_s=0.01))
sandbox.way = {way!r}
print("begins", flush=True)
while True:
    sandbox.run([sys.executable, "-I", "-S", "-c", "import time; time.sleep(1000)", {mark!r}])
"""
    for number in range(15):
        with subprocess.Popen([sys.executable, "-c", caller], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begins\n"
            time.sleep(0.013 * number)
            process.kill()
    # bubblewrap's own child may wait for ever for a parent that was killed in the moment of its birth; it runs nothing
    wait_until(lambda: {program_of(one) for one in processes_with(mark)} <= {"bwrap", "ended"})
    for one in processes_with(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(one), signal.SIGKILL)


def test_no_dead_process_is_left_to_a_caller_that_inherits_them(way: str) -> None:
    caller = f"""
import ctypes, os, sys
from pathlib import Path
from streamer.sandbox.sandbox import Sandbox
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # as the first process of a container does
sandbox = Sandbox()
sandbox.way = {way!r}
for _ in range(3):
    assert sandbox.run(["sh", "-c", "sleep 1000 & exit 0"]).succeeded
print(Path(f"/proc/self/task/{{os.getpid()}}/children").read_text())
"""
    assert subprocess.run([sys.executable, "-c", caller], capture_output=True, check=True).stdout == b"\n"


# The network and the kernel.


def test_a_listener_on_loopback_sees_nothing(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = "attempt('connect', socket.create_connection, ('127.0.0.1', int(sys.argv[2])), 2)"
        assert refusals(run(code, words=(str(server.getsockname()[1]),))) == 1
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("abstract", [True, False])
def test_unix_sockets_of_the_machine_are_out_of_reach(run: Run, tmp_path: Path, abstract: bool) -> None:
    name = f"phasemix-{uuid.uuid4().hex}" if abstract else str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}" if abstract else name)
        server.listen()
        code = "attempt('connect', socket.socket(socket.AF_UNIX).connect, sys.argv[3] + sys.argv[2])"
        code = code.replace("sys.argv[3]", r"'\0'" if abstract else "''")
        assert refusals(run(code, words=(name,))) == 1
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_names_and_addresses_outside_cannot_be_reached(run: Run) -> None:
    code = """
attempt("name", socket.getaddrinfo, "example.org", 80)
attempt("udp", lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53)))
attempt("tcp", socket.create_connection, ("192.0.2.1", 80), 2)
attempt("six", socket.create_connection, ("2001:db8::1", 80), 2)
attempt("raw", socket.socket, socket.AF_INET, socket.SOCK_RAW, 1)
attempt("packet", socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 3)
attempt("vsock", socket.socket, socket.AF_VSOCK, socket.SOCK_STREAM)
attempt("algorithms", socket.socket, socket.AF_ALG, socket.SOCK_SEQPACKET)
"""
    assert refusals(run(code)) == 8


def test_mounts_roots_and_namespaces_cannot_be_made(run: Run) -> None:
    code = """
attempt("mount", native, "mount", b"none", b"/sandbox", b"tmpfs", 0, None)
attempt("remount", native, "mount", None, b"/", None, 32 | 4096, None)
attempt("unmount", native, "umount2", b"/proc", 2)
attempt("chroot", os.chroot, "/sandbox")
for flags in (0x10000000, 0x20000, 0x20000000, 0x40000000):
    attempt("unshare", native, "unshare", flags)
attempt("enter", lambda: native("setns", os.open("/proc/1/ns/mnt", os.O_RDONLY), 0))
clone = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
attempt("clone", native, "syscall", clone, 0x10000000 | 17, None, None, None, None)
print(subprocess.run(["unshare", "-Ur", "true"], stderr=subprocess.DEVNULL).returncode)
"""
    outcome = run(code)
    assert refusals(outcome) == 10
    assert outcome.stdout.endswith(b"\n1\n")


def test_privileges_cannot_be_got(run: Run) -> None:
    code = """
mine = os.getuid()
for number in (mine + 1, mine + 2):
    attempt("user", os.setresuid, number, number, number)
    attempt("group", os.setresgid, number, number, number)
attempt("groups", os.setgroups, [0])
attempt("owner", os.chown, "program.py", mine + 1, mine + 1)
open("left-behind", "w").close()
os.chmod("left-behind", 0o4755)
attempt("time", time.clock_settime, time.CLOCK_REALTIME, 0)
attempt("host", socket.sethostname, "left-behind")
attempt("ambient", native, "prctl", 47, 2, 21, 0, 0)
attempt("bounding", native, "prctl", 28, 1 << 4, 0, 0, 0)
found = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(*(found[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs")))
"""
    outcome = run(code)
    assert refusals(outcome) == 10
    assert outcome.stdout.split()[-5:] == [*[b"0" * 16] * 4, b"1"]


def test_devices_cannot_be_made_or_opened(run: Run) -> None:
    code = """
attempt("block", os.mknod, "left-behind-disk", 0o60600, os.makedev(254, 0))
attempt("character", os.mknod, "left-behind-memory", 0o20600, os.makedev(1, 1))
for name in ("mem", "kmsg", "sda", "vda", "kvm", "fuse", "net/tun", "vsock", "loop-control", "nvidia0"):
    attempt(name, open, "/dev/" + name, "rb")
"""
    assert refusals(run(code)) == 12


@pytest.mark.skipif(MACHINE != "x86_64", reason="the numbers of system calls are those of x86-64")
def test_keys_of_the_kernel_and_other_doors_are_closed(run: Run) -> None:
    code = """
attempt("add_key", native, "syscall", 248, b"user", b"left-behind", b"x", 1, -3)
attempt("request_key", native, "syscall", 249, b"user", b"any", None, 0)
attempt("keyctl", native, "syscall", 250, 0, -3, 1)
attempt("bpf", native, "syscall", 321, 0, None, 0)
attempt("perf", native, "syscall", 298, None, 0, -1, -1, 0)
attempt("io_uring", native, "syscall", 425, 1, None)
attempt("userfaultfd", native, "syscall", 323, 1)
attempt("handle", native, "syscall", 304, 0, None, 0)
attempt("module", native, "syscall", 313, 0, b"", 0)
attempt("kexec", native, "syscall", 246, 0, 0, None, 0)
attempt("reboot", native, "syscall", 169, 0xfee1dead, 672274793, 0x4321fedc, None)
"""
    assert refusals(run(code)) == 11


@pytest.mark.skipif(MACHINE != "x86_64", reason="the instructions are those of x86-64")
@pytest.mark.parametrize(
    "instructions",
    [b"\xb8\x14\x00\x00\x00\xcd\x80\xc3", b"\xb8\x27\x00\x00\x40\x0f\x05\xc3"],
    ids=["32 bits", "x32"],
)
def test_system_calls_of_other_tables_kill_it(run: Run, instructions: bytes) -> None:
    code = f"""
import mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write({instructions!r})
print("calls", flush=True)
ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""
    outcome = run(code)
    assert (outcome.stdout, outcome.end, outcome.signal) == (b"calls\n", End.SIGNALLED, signal.SIGSYS)


def test_limits_and_priorities_cannot_be_raised(run: Run) -> None:
    code = """
for name in ("AS", "NPROC", "NOFILE", "FSIZE", "CPU", "CORE", "MEMLOCK", "RTPRIO"):
    limit = getattr(resource, "RLIMIT_" + name)
    hard = resource.getrlimit(limit)[1]
    attempt(name, resource.setrlimit, limit, (hard + 1, hard + 1))
    attempt(name, resource.prlimit, os.getppid(), limit, (hard + 1, hard + 1))
attempt("nice", os.nice, -5)
attempt("priority", os.setpriority, os.PRIO_PROCESS, 0, -20)
attempt("scheduler", os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1))
attempt("spared", lambda: os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"-1000"))
"""
    assert refusals(run(code)) == 20


# What it says.


@pytest.mark.parametrize("data", [b"no line end", b"\xff\xfe\x00\x80 not utf-8", b"\x1b[2J\r\n\x07", b""])
def test_output_is_told_as_it_was_written(run: Run, data: bytes) -> None:
    outcome = run(f"os.write(1, {data!r}); os.write(2, {data!r})")
    assert (outcome.stdout, outcome.stderr, outcome.exit_code) == (data, data, 0)


@pytest.mark.parametrize("code", [0, 1, 3, 127, 255])
def test_exit_codes_are_told(run: Run, code: int) -> None:
    outcome = run(f"os._exit({code})")
    assert (outcome.end, outcome.exit_code, outcome.signal) == (End.EXITED, code, None)


@pytest.mark.parametrize("name", ["SIGABRT", "SIGSEGV", "SIGKILL", "SIGTERM", "SIGHUP", "SIGINT", "SIGSYS"])
def test_signals_are_told(run: Run, name: str) -> None:
    number = signal.Signals[name]
    outcome = run(f"signal.signal({int(number)}, 0) if {int(number)} != 9 else 0; os.kill(os.getpid(), {int(number)})")
    assert (outcome.end, outcome.exit_code, outcome.signal) == (End.SIGNALLED, None, number)


def test_a_broken_stack_is_told(run: Run) -> None:
    code = "sys.setrecursionlimit(10**9)\nclass A:\n    def __repr__(self): return repr([self])\nrepr(A())"
    outcome = run(code)
    assert outcome.signal == signal.SIGSEGV or b"RecursionError" in outcome.stderr or outcome.end is End.OUT_OF_MEMORY


def test_no_memory_image_of_a_dead_one_is_kept(run: Run) -> None:
    code = """
print(resource.getrlimit(resource.RLIMIT_CORE))
print(subprocess.run([sys.executable, "-c", "import os; os.abort()"]).returncode, os.listdir("."))
"""
    assert run(code).stdout == b"(0, 0)\n-6 ['program.py']\n"


def test_much_input_that_is_not_read_holds_nobody_up(run: Run) -> None:
    assert run("print('ends')", stdin=bytes(50 << 20)).stdout == b"ends\n"


def test_much_input_can_be_read(run: Run) -> None:
    assert run("print(sum(map(len, iter(lambda: os.read(0, 65536), b''))))", stdin=bytes(50 << 20)).stdout == b"52428800\n"


def test_many_run_at_once_from_threads(way: str) -> None:
    kinds = {
        "print(sys.argv[2])": End.EXITED,
        "os.kill(os.getpid(), 9)": End.SIGNALLED,
        "print('x', flush=True); time.sleep(1000)": End.OUT_OF_TIME,
        "while True: print(sys.argv[2] * 1000)": End.TOO_MUCH_OUTPUT,
    }
    before = len(os.listdir("/proc/self/fd"))
    with ThreadPoolExecutor(8) as pool:
        asked = [(end, word, pool.submit(ask, way, code, word)) for word in "abcdef" for code, end in kinds.items()]
        for end, word, told in asked:
            outcome = told.result()
            assert outcome.end is end
            assert end is not End.EXITED or outcome.stdout == f"{word}\n".encode()
    assert len(os.listdir("/proc/self/fd")) == before


def ask(way: str, code: str, word: str) -> Outcome:
    sandbox = Sandbox(msgspec.structs.replace(ROOMY, wall_s=5))
    sandbox.way = way
    return sandbox.run([sys.executable, "-I", "-S", "-c", PRELUDE + code, "", word])


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(1500):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("it does not hold after 30 s")
