"""The ways in which a sandbox is made: command lines that start a program in one.

Always holds: whatever the way, the program sees a read-only root with the system's programs and libraries and this
Python's, one folder to write in that lies in memory, its own processes, no network but a loopback of its own, and an
environment made here; it has no privileges and cannot get any, and dies with the process that started it.

How: as an ordinary user in a user namespace, as root by the privileges that root has and then as a user that nobody else is,
because the kernel counts the processes of no others. Decides only: nothing is started or looked at here.
"""

import json
import resource
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from streamer.sandbox.outcome import Limits

FOLDER = "/sandbox"  # where the program starts and may write; /tmp leads there
SHARED_BYTES = 16 << 20  # of /dev/shm
FIRST = 1  # process of a sandbox, which waits for the program
MOST_OPEN = 256  # files of a process
FIRST_UID, UIDS = 40_000, 20_000  # users that programs of root run as; below 2**16, where containers often end
SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
PYTHON_PARTS = ("bin", "lib", "lib64", "pyvenv.cfg")  # of an installation or environment of Python
DEVICES = ("null", "zero", "full", "random", "urandom")
MOUNT_POINTS = ("/mnt", "/media", "/srv", "/opt", "/home", "/tmp")
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": FOLDER,
    "TMPDIR": FOLDER,
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
}
HOSTS = "127.0.0.1 localhost sandbox\n::1 localhost\n"  # the names that there are without a network
STDIN = "/stdin"  # what the program reads as its standard input, which is the gate until then
READY = b"\n"  # what says that the sandbox is made, and what opens the gate
GATE = f"echo; read -r line || exit 1; exec < {STDIN}; "
GATED = ("sh", "-c", GATE + 'exec "$@"', "sh")
REAPER = ("sh", "-c", GATE + '"$@"; exit $?', "sh")  # the first process of a namespace, which waits for the program
FILTERED = """
import ctypes, os, sys
number, *words = sys.argv[1:]
rules = os.pread(int(number), 1 << 16, 0)
os.closerange(3, 1 << 16)
class Program(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("rules", ctypes.c_char_p)]
program = Program(len(rules) // 8, rules)
call = ctypes.CDLL(None, use_errno=True).prctl
if call(38, 1, 0, 0, 0) or call(22, 2, ctypes.byref(program), 0, 0):
    sys.exit("the filter of system calls was refused: " + os.strerror(ctypes.get_errno()))
os.execvp(words[0], words)
"""


class Request(NamedTuple):
    """A program to start: its words and files, and the numbers of open files, `status` to write to, the others to read.

    `hosts`: of /etc/hosts.
    """

    words: Sequence[str]
    stdin: int
    files: Mapping[str, int]
    hosts: int
    readable: Sequence[str]
    limits: Limits
    status: int
    filter: int
    uid: int | None  # of the program, when the caller is root


def readable_paths() -> list[str]:
    """What of the system and of this Python a program may read."""
    found = dict.fromkeys(SYSTEM)
    for prefix in (sys.prefix, sys.base_prefix):
        for place in (Path(prefix), Path(prefix).resolve()):
            found |= dict.fromkeys(str(place / name) for name in PYTHON_PARTS)
    return [path for path in found if Path(path).exists() and not is_within(path, "/usr")] + ["/usr"]


def by_bubblewrap(request: Request) -> list[str]:
    """The command line of bubblewrap."""
    words = ["bwrap"]
    words += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    words += ["--new-session", "--die-with-parent", "--hostname", "sandbox"]
    words += ["--unshare-user", "--as-pid-1"] if request.uid is None else []
    words += ["--json-status-fd", str(request.status), "--seccomp", str(request.filter)]
    words += ["--proc", "/proc", "--dev", "/dev"]
    words += ["--perms", "0777", "--size", str(SHARED_BYTES), "--tmpfs", "/dev/shm"]
    if has_own_tmp(request):
        words += ["--perms", "0777", "--size", str(SHARED_BYTES), "--tmpfs", "/tmp"]
    for parent in parents(request.readable):
        words += ["--perms", "0755", "--dir", parent]
    for path in request.readable:
        words += ["--symlink", str(Path(path).readlink()), path] if is_link(path) else ["--ro-bind", path, path]
    words += ["--perms", "0755", "--dir", "/etc", "--perms", "0444", "--file", str(request.hosts), "/etc/hosts"]
    words += ["--perms", "0777", "--size", str(request.limits.disk_bytes), "--tmpfs", FOLDER]
    for folder in parents(request.files):
        words += ["--perms", "0777", "--dir", f"{FOLDER}/{folder}"]
    for name, number in request.files.items():
        words += ["--perms", "0666", "--file", str(number), f"{FOLDER}/{name}"]
    words += ["--perms", "0444", "--file", str(request.stdin), STDIN]
    words += [] if has_own_tmp(request) else ["--symlink", FOLDER, "/tmp"]
    words += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", FOLDER, "--"]
    start = REAPER if request.uid is None else GATED  # bubblewrap's reaper is out of reach of another user's program alone
    return [*words, *without_privileges(request), *limited(request.limits), *start, *request.words]


def by_unshare(program: str, request: Request) -> list[str]:
    """The command line of util-linux's `unshare`, at the path `program`, with a script that mounts what bubblewrap would."""
    words = ["setpriv", "--pdeathsig", "KILL", program, "--ipc", "--pid", "--net", "--uts", "--cgroup", "--mount"]
    words += ["--fork", "--kill-child", "--map-root-user"] if request.uid is None else ["--fork", "--kill-child"]
    return [*words, "setsid", "sh", "-ec", "\n".join(script(request))]


def script(request: Request) -> Iterator[str]:
    """The lines of the script that makes the root and starts the program as a child of the namespace's first process."""
    free = (place for place in MOUNT_POINTS if not any(is_within(path, place) for path in request.readable))
    root = next(free, MOUNT_POINTS[0])
    yield f'read pid rest < /proc/self/stat; echo "{{\\"child-pid\\": $pid}}" > /proc/self/fd/{request.status}'
    yield "umask 022; PATH=$PATH:/usr/sbin:/sbin; mount --make-rprivate /"
    yield f"mount -t tmpfs -o mode=755 none {root}"
    yield f"cd {root}"
    yield f"mkdir proc dev old .{FOLDER}; mount -t proc -o nosuid,nodev,noexec proc proc"
    yield "echo sandbox > proc/sys/kernel/hostname"
    yield f"mount -t tmpfs -o mode=755,size=1m none dev; mkdir dev/shm; touch {' '.join(f'dev/{name}' for name in DEVICES)}"
    yield from (f"mount --bind /dev/{name} dev/{name}" for name in DEVICES)
    yield "ln -s /proc/self/fd dev/fd"
    yield f"mount -t tmpfs -o nosuid,nodev,mode=777,size={SHARED_BYTES} none dev/shm"
    if has_own_tmp(request):
        yield f"mkdir tmp; mount -t tmpfs -o nosuid,nodev,mode=777,size={SHARED_BYTES} none tmp"
    for path in request.readable:
        quoted, place = shlex.quote(path), shlex.quote(path[1:])
        if is_link(path):
            yield f"mkdir -p $(dirname {place}); cp -P {quoted} {place}"
        else:
            make = "mkdir -p" if Path(path).is_dir() else f"mkdir -p $(dirname {place}); touch"
            yield f"{make} {place}; mount --bind {quoted} {place}; mount -o remount,bind,ro,nosuid,nodev {place}"
    yield f"mkdir -p etc; cat /proc/self/fd/{request.hosts} > etc/hosts; mount -o remount,bind,ro dev"
    yield f"mount -t tmpfs -o nosuid,nodev,mode=777,size={request.limits.disk_bytes} none .{FOLDER}; umask 0"
    yield from (f"mkdir -p .{FOLDER}/{shlex.quote(folder)}" for folder in parents(request.files))
    yield from (f"cat /proc/self/fd/{fd} > .{FOLDER}/{shlex.quote(name)}" for name, fd in request.files.items())
    yield f"cat /proc/self/fd/{request.stdin} > .{STDIN}" + ("" if has_own_tmp(request) else f"; ln -s {FOLDER} tmp")
    yield "umask 022; pivot_root . old; umount -l old; rmdir old; mount -o remount,bind,ro /"
    yield "ip link set lo up 2> /dev/null || true"
    filtered = [sys.executable, "-I", "-S", "-c", FILTERED, str(request.filter)]
    words = [*without_privileges(request, again=True), *filtered, *limited(request.limits), *REAPER, *request.words]
    yield f"cd {FOLDER}; exec {shlex.join(words)}"


def by_limits_alone(words: Sequence[str], limits: Limits) -> list[str]:
    """The command line of a program that nothing holds back but the kernel's limits for a process."""
    return ["setpriv", "--pdeathsig", "KILL", "--no-new-privs", *limited(limits), *words]


def without_privileges(request: Request, *, again: bool = False) -> list[str]:
    """What takes the privileges of a program's start, and makes it another user's where root starts it.

    `again`: whether its death with its parent is to be asked for, as a change of the user ends it.
    """
    words = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
    words += ["--pdeathsig", "KILL"] if again else []
    if request.uid is None:
        return words if again else []
    return [*words, "--reuid", str(request.uid), "--regid", str(request.uid), "--clear-groups"]


def limited(limits: Limits) -> list[str]:
    """What sets the kernel's limits for each process, none above the caller's own."""
    most = {
        "as": 2 * limits.memory_bytes,
        "core": 0,
        "cpu": int(limits.cpu_s) + 1,
        "fsize": limits.disk_bytes,
        "memlock": 0,
        "msgqueue": 0,
        "nofile": MOST_OPEN,
        "nproc": limits.processes + FIRST,
        "rtprio": 0,
    }
    own = {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))[1] for name in most}
    least = {name: min(most[name], hard) if hard != resource.RLIM_INFINITY else most[name] for name, hard in own.items()}
    return ["prlimit", *(f"--{name}={value}" for name, value in least.items()), "--"]


def parents(paths: Sequence[str] | Mapping[str, int]) -> list[str]:
    """The folders above some paths, those above others first."""
    found = {str(above) for path in paths for above in PurePosixPath(path).parents} - {".", "/"}
    return sorted(found)


def is_link(path: str) -> bool:
    """Whether a path is one of the links that distributions and virtual environments have to a folder beside."""
    return Path(path).is_symlink() and (path in SYSTEM or path.endswith("/lib64"))


def has_own_tmp(request: Request) -> bool:
    """Whether something that may be read lies below /tmp, which then cannot be a link to the program's folder."""
    return any(is_within(path, "/tmp") for path in request.readable)


def is_within(path: str, folder: str) -> bool:
    return PurePosixPath(path).is_relative_to(folder)


def read_status(text: bytes) -> dict[str, int]:
    """What the maker of a sandbox has told until now: `child-pid`, and `exit-code` where it tells that."""
    found: dict[str, int] = {}
    rest, decoder = text.decode("utf-8", "replace").strip(), json.JSONDecoder()
    while rest:
        try:
            one, end = decoder.raw_decode(rest)
        except ValueError:
            break
        found |= {name: value for name, value in one.items() if name in ("child-pid", "exit-code")}
        rest = rest[end:].strip()
    return found
