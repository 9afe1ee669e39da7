"""Starts, stops and shows the supervisor of a root on this machine.

Always holds:
- one supervisor a root and user, in a folder of mode 0700 that is this user's;
- `start` that fails leaves nothing running; `stop` leaves nothing but logs, also when the supervisor was killed.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from deploy.local import ports, processes
from deploy.local.redis_server import find_redis
from deploy.local.services import LOOPBACK, REDIS, Options, SupervisorError, in_address, is_loopback, reachable
from deploy.local.supervisor import SupervisorState, load_state
from streamer.wording import without_secrets

LONGEST_BASE = 35  # characters; a Unix socket's whole path has at most 107
MOST_RESTARTS = 3  # of a service that never ran, before `start` gives up


def start(
    root: str,
    *,
    port: int | None = None,
    host: str = LOOPBACK,
    tokens: str | None = None,
    redis_url: str | None = None,
    engines: Sequence[str] = (),
    model: str | None = None,
    workers: int | None = None,
    timeout_s: float = 60.0,
) -> SupervisorState:
    """Starts the supervisor and waits until all services run. Raises: SupervisorError.

    `port`: where the mixer listens, 0 for any that is free; without it the root's own port, or the next free one, which one
    line then says.
    """
    root = absolute(root)
    folder = runtime_folder(root)
    refuse_if_up(folder, root)
    check_access(host, tokens)
    check_redis(redis_url)
    for url in engines:
        check_engine(url, model)
    check_workers(workers)
    prepare_folder(folder)
    with locked(folder, root):
        refuse_if_up(folder, root)
        clean(folder, load_state(folder), timeout_s=10.0)  # also what still listens at the root's port
        listener = ports.listen_for(root, host, port)
        with listener.socket as mixer_socket:
            prepare_folder(folder)
            want_workers(root, workers)
            fd = mixer_socket.fileno()
            options = Options(
                root=root,
                mixer_port=listener.port,
                mixer_fd=fd,
                engine_port=ports.free_port(),
                mixer_host=host,
                tokens=None if tokens is None else str(Path(tokens).resolve()),
                engines=tuple(engines),
                model=model,
            )
            argv = [
                sys.executable,
                "-P",
                "-m",
                "deploy.local.supervisor",
                str(folder),
                msgspec.json.encode(options).decode(),
            ]
            log = folder / "logs" / "supervisor.log"
            process = processes.start(argv, log=log, pass_fds=(fd,), tied=False, changes={REDIS: redis_url})
            try:
                problem = wait_until_running(folder, process.poll, timeout_s=timeout_s)
                if problem is not None:
                    raise SupervisorError(problem)
            except BaseException:  # an interrupt too: nothing may be left running
                process.terminate()
                process.wait()
                clean(folder, load_state(folder), timeout_s=10.0)
                raise
            process.returncode = 0  # it outlives us: nothing to wait for
    if port != 0:
        ports.remember(root, listener.port)
    if listener.taken is not None:
        print(
            f"phasemix: Another process listens at port {listener.taken}; the dashboard is at port {listener.port} now and "
            "stays there.",
            file=sys.stderr,
        )
    found = load_state(folder)
    assert found is not None
    return found


def refuse_if_up(folder: Path, root: str) -> None:
    """Raises: SupervisorError when a supervisor of the root lives."""
    state = load_state(folder)
    if state is not None and processes.alive(state.supervisor):
        raise SupervisorError(
            f"{root} is up already (supervisor {state.supervisor.pid}); look at it with phasemix up --open, or stop it with "
            "phasemix down first"
        )


def is_up(root: str) -> bool:
    """Whether a supervisor of the root lives."""
    state = load_state(runtime_folder(absolute(root)))
    return state is not None and processes.alive(state.supervisor)


def stop(root: str, *, timeout_s: float = 60.0) -> bool:
    """Stops everything; False when nothing was up. Workers may drain for `timeout_s`."""
    folder = runtime_folder(absolute(root))
    state = load_state(folder)
    if state is None:
        return False
    if processes.send(state.supervisor, signal.SIGTERM, group=False):
        for process in processes.wait_gone([state.supervisor], timeout_s=timeout_s):
            processes.send(process, signal.SIGKILL, group=False)
            processes.wait_gone([process], timeout_s=5.0)
    clean(folder, load_state(folder) or state, timeout_s=10.0)
    return True


def rows(root: str) -> list[dict[str, Any]]:
    """One row a service; none when nothing is up. A service whose process is gone with its supervisor is `lost`."""
    folder = runtime_folder(absolute(root))
    state = load_state(folder)
    if state is None:
        return []
    lives = processes.alive(state.supervisor)
    first = {
        "name": "supervisor",
        "state": "running" if lives else "lost",
        "pid": state.supervisor.pid,
        "restarts": 0,
        "address": "",
        "log": str(folder / "logs" / "supervisor.log"),
    }
    found = [first]
    for service in state.services:
        gone = not lives and (service.process is None or not processes.alive(service.process))
        row = {name: getattr(service, name) for name in first}
        found.append({**row, "state": "lost" if gone else service.state})
    return found


def dashboard_address(root: str) -> str:
    """Where this machine's browser finds the dashboard of a root that is up."""
    address = next(str(row["address"]) for row in rows(root) if row["name"] == "mixer")
    host, _, port = address.removeprefix("http://").rpartition(":")
    return f"http://{in_address(reachable(host.strip('[]')))}:{port}"


def redis_url(root: str) -> str | None:
    """The address of the Redis that the root's supervisor runs or was given, or None."""
    state = load_state(runtime_folder(absolute(root)))
    return state.redis_url or None if state is not None and processes.alive(state.supervisor) else None


def clean(folder: Path, state: SupervisorState | None, *, timeout_s: float) -> None:
    """Ends the recorded processes that still live and removes all but the logs."""
    recorded = [service.process for service in state.services if service.process is not None] if state else []
    for process in recorded:
        processes.send(process, signal.SIGTERM, group=False)
    for process in processes.wait_gone(recorded, timeout_s=timeout_s):
        processes.send(process, signal.SIGKILL)
    processes.wait_gone(recorded, timeout_s=5.0)
    for path in folder.iterdir():
        if path.name not in ("logs", "lock"):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def wait_until_running(folder: Path, poll: Any, *, timeout_s: float) -> str | None:
    """None when all services run, else what is wrong, in one line."""
    deadline = time.monotonic() + timeout_s
    while True:
        state = load_state(folder)
        found = {} if state is None else {service.name: service for service in state.services}
        if "mixer" in found and all(service.state == "running" for service in found.values()):
            return None
        failed = next((service for service in found.values() if service.restarts >= MOST_RESTARTS), None)
        if failed is not None:
            return f"{failed.name} does not start: {last_line(Path(failed.log))}; see {failed.log}"
        if poll() is not None:
            log = folder / "logs" / "supervisor.log"
            return f"the supervisor ended: {last_line(log)}; see {log}"
        if time.monotonic() > deadline:
            late = ", ".join(
                f"{service.name} is {service.state}" for service in found.values() if service.state != "running"
            )
            return f"after {timeout_s:g} s {late or 'nothing runs'}; see {folder / 'logs'}, or wait longer with --timeout"
        time.sleep(0.1)


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1].removeprefix("phasemix: ") if lines else "it wrote nothing"


def absolute(root: str) -> str:
    return root if "://" in root else str(Path(root).expanduser().resolve())


def runtime_folder(root: str) -> Path:
    """Where the supervisor of a root keeps its state, sockets and logs: under XDG_RUNTIME_DIR, else with temporary files."""
    name = f"phasemix-{xxhash.xxh3_64_hexdigest(root.encode())}-{os.getuid()}"
    bases = [Path(base) for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp") if base]
    return next(base for base in bases if (base.is_dir() and len(str(base)) <= LONGEST_BASE) or base == bases[-1]) / name


def prepare_folder(folder: Path) -> None:
    """Makes the folder, of mode 0700. Raises: SupervisorError when it is somebody else's."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise SupervisorError(f"{folder} is not a folder of this user; remove it, or set XDG_RUNTIME_DIR")
    folder.chmod(0o700)
    for name in ("logs", "tmp"):
        (folder / name).mkdir(mode=0o700, exist_ok=True)


@contextmanager
def locked(folder: Path, root: str) -> Iterator[None]:
    """Holds the folder's lock, which goes with the process. Raises: SupervisorError when another start holds it."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SupervisorError(f"another phasemix up is starting {root}; wait for it") from error
        yield


def check_access(host: str, tokens: str | None) -> None:
    """Raises: SupervisorError when a service beyond loopback would be open to everybody, AccessError for bad tokens."""
    from mixer.service.access import VARIABLE, load_tokens

    if not load_tokens(tokens) and not is_loopback(host):
        raise SupervisorError(
            f"--host {host} is beyond loopback, where the service needs tokens: give --tokens FILE of mode 0600 with lines "
            f"of: name role token, or set {VARIABLE}"
        )


def check_redis(url: str | None) -> None:
    """Raises: SupervisorError when the Redis named does not answer, RedisMissingError without any."""
    if url is None:
        find_redis()
        return
    import redis

    try:
        with redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise SupervisorError(
            f"Redis at {without_secrets(url)} does not answer ({type(error).__name__}); start it, or leave --redis out"
        ) from error


def check_engine(url: str, model: str | None = None) -> None:
    """Raises: SupervisorError when the engine named does not list its models, or this one is not among them."""
    from generators.engines.engine import API_KEY, Engine
    from generators.errors import EngineError

    async def check() -> None:
        engine = Engine([url], model=model, key=os.environ.get(API_KEY))
        try:
            await engine.check()
        finally:
            await engine.close()

    try:
        asyncio.run(check())
    except EngineError as error:
        raise SupervisorError(f"--engine {without_secrets(url)} cannot be used: {error}") from error


def check_workers(workers: int | None) -> None:
    """Raises: SupervisorError when no pool may have so many."""
    from mixer.pool.pool import MAX_WORKERS

    if workers is not None and not 0 <= workers <= MAX_WORKERS:
        raise SupervisorError(f"--workers {workers} is outside 0 to {MAX_WORKERS}; start within that")


def want_workers(root: str, workers: int | None) -> None:
    """Writes the wanted number of workers when one is given, or 1 when none ever was."""
    from mixer.pool import pool
    from streamer.catalog.catalog import Catalog

    catalog = Catalog(root)
    if workers is not None or not catalog.log("pools/generators").read():
        pool.set_wanted(catalog, 1 if workers is None else workers)
