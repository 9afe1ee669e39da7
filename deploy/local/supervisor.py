"""The local supervisor: one process that starts the services, restarts them with back-off, and stops them.

Always holds:
- whatever it starts is in `state.json`, with pid and start time, before the next is started; `down` needs no more;
- its children get SIGTERM when it dies, however it dies;
- after `down` only the logs are left.

How: one thread, one loop; `services.py` decides what should run, the loop looks, starts, signals and writes the state.
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from deploy.local import processes, services
from deploy.local.processes import Identity
from deploy.local.redis_server import PROBE_S, does_redis_answer
from deploy.local.services import REDIS, LocalPlan, Options, Plan, Service
from streamer.errors import PhasemixError
from streamer.store.backoff import Backoff

TICK_S = 0.1
LOOK_S = 1.0  # between looks at the wanted number, which may lie in an object store
FORMAT = "supervisor/1"


class ServiceState(msgspec.Struct, frozen=True, kw_only=True):
    """A service as `status` shows it. `state`: starting, running, waiting (for its restart), stopping, stopped."""

    name: str
    state: str
    pid: int | None
    restarts: int
    address: str
    log: str
    process: Identity | None = None


class SupervisorState(msgspec.Struct, frozen=True, kw_only=True):
    """What `state.json` holds, which nobody else may read. `redis_url`: that of the pool, empty in older files."""

    format: str
    root: str
    supervisor: Identity
    services: list[ServiceState]
    redis_url: str = ""


def make_backoff() -> Backoff:
    """The waits before a service's restarts, without chance: `status` shows them."""
    return Backoff(first_s=services.FIRST_WAIT_S, longest_s=services.LONGEST_WAIT_S, jitter=0.0)


class Child:
    """A service and its process, if it has one now. Times are monotonic seconds."""

    def __init__(self, service: Service, log: Path) -> None:
        self.service, self.log = service, log
        self.process: subprocess.Popen[bytes] | None = None
        self.identity: Identity | None = None
        self.restarts, self.started_at, self.start_at = 0, 0.0, 0.0
        self.backoff = make_backoff()
        self.ready = self.stopping = False
        self.stop_by = float("inf")

    def start(self, now: float) -> None:
        self.process = processes.start(self.service.argv, log=self.log, pass_fds=self.service.inherits)
        self.identity = processes.identify(self.process.pid)
        self.started_at, self.ready = now, False

    def check(self, now: float) -> bool:
        """Whether something changed: it ended (then it waits for its restart), or became ready."""
        if self.process is None:
            return False
        if os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            end_group(self.process.pid)
            self.process.wait()
            self.process, self.identity, self.ready = None, None, False
            self.restarts += 1
            if now - self.started_at >= services.STEADY_S:
                self.backoff = make_backoff()
            self.start_at = now + (self.backoff.next_wait_s() or 0.0)
            return True
        if not self.ready and is_ready(self.service):
            self.ready = True
            return True
        return False

    def stop(self, now: float) -> None:
        """Asks it to end; `enforce` makes it."""
        if not self.stopping:
            self.stopping, self.stop_by = True, now + self.service.drain_s
            if self.identity is not None:
                processes.send(self.identity, signal.SIGTERM)

    def enforce(self, now: float) -> None:
        if self.stopping and now > self.stop_by and self.identity is not None:
            processes.send(self.identity, signal.SIGKILL)

    def state(self) -> ServiceState:
        if self.process is None:
            word = "stopped" if self.stopping else "waiting"
        else:
            word = "stopping" if self.stopping else "running" if self.ready else "starting"
        return ServiceState(
            name=self.service.name,
            state=word,
            pid=self.process.pid if self.process is not None else None,
            restarts=self.restarts,
            address=self.service.address,
            log=str(self.log),
            process=self.identity,
        )


class Supervisor:
    """Runs the services of one root until told to end. `wanted`: the wanted number of workers."""

    def __init__(self, root: str, plan: Plan, folder: Path, wanted: Callable[[], int]) -> None:
        self.root, self.plan, self.folder, self._wanted = root, plan, folder, wanted
        self.children: dict[str, Child] = {}
        self._told = False
        self._waiting: list[Service] = []  # those that have not been started for the first time
        self._workers, self._look_at = 0, 0.0
        self._written: list[ServiceState] | None = None

    def tell(self) -> None:
        """Asks it to stop everything and end."""
        self._told = True

    def run(self) -> None:
        """Until told. Leaves no child."""
        self._waiting = self.plan.services()
        try:
            while not self._told:
                self._tick()
                time.sleep(TICK_S)
        finally:
            self._stop_all()

    def _tick(self) -> None:
        now = time.monotonic()
        if self._waiting:
            self._begin()
        else:
            self._follow_wanted(now)
        for child in list(self.children.values()):
            child.check(now)
            child.enforce(now)
            if child.process is None and child.stopping:
                del self.children[child.service.name]
            elif child.process is None and now >= child.start_at:
                child.start(now)
                self._write()
        self._write()

    def _begin(self) -> None:
        """Adds the services of stage 0, and the others once those are ready."""
        first = [service for service in self._waiting if service.stage == 0]
        if first or all(child.ready for child in self.children.values()):
            for service in first or self._waiting:
                self._add(service)
            self._waiting = [service for service in self._waiting if first and service.stage]

    def _follow_wanted(self, now: float) -> None:
        if now >= self._look_at:
            self._look_at = now + LOOK_S
            try:
                self._workers = self._wanted()
            except PhasemixError as error:  # the store is away: the workers stay as many as they are
                print(f"phasemix: {error}", file=sys.stderr, flush=True)
        running = {name: child.stopping for name, child in self.children.items()}
        begin, stop = services.choose_workers(running, self._workers)
        for number in begin:
            self._add(self.plan.worker(number))
        for name in stop:
            self.children[name].stop(now)

    def _add(self, service: Service) -> None:
        self.children[service.name] = Child(service, self.folder / "logs" / f"{service.name}.log")

    def _stop_all(self) -> None:
        """From the last stage to the first, each stage drained before the next is told."""
        for stage in sorted({child.service.stage for child in self.children.values()}, reverse=True):
            stopping = [child for child in self.children.values() if child.service.stage == stage]
            for child in stopping:
                child.stop(time.monotonic())
            while any(child.process is not None for child in stopping):
                for child in stopping:
                    child.check(time.monotonic())
                    child.enforce(time.monotonic())
                self._write()
                time.sleep(TICK_S)

    def _write(self) -> None:
        states = [child.state() for child in self.children.values()]
        if states == self._written:
            return
        me = processes.identify(os.getpid())
        assert me is not None
        found = SupervisorState(
            format=FORMAT, root=self.root, supervisor=me, services=states, redis_url=os.environ.get(REDIS, "")
        )
        save_state(self.folder, found)
        self._written = states


def is_ready(service: Service) -> bool:
    """Whether what answers for it does."""
    if service.ready_at is None:
        return True
    if not service.ready_at.startswith("http"):
        return does_redis_answer(service.ready_at)
    address = urllib.parse.urlsplit(service.ready_at)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=PROBE_S)
    try:
        connection.request("GET", address.path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def end_group(pid: int) -> None:
    """Ends what a process that led its group has left behind in it; it was not waited for, so the pid is still its own."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def save_state(folder: Path, state: SupervisorState) -> None:
    aside = folder / "state.aside"
    aside.write_bytes(msgspec.json.encode(state))
    aside.replace(folder / "state.json")


def load_state(folder: Path) -> SupervisorState | None:
    """What a supervisor wrote last, whether it lives or not."""
    try:
        return msgspec.json.decode((folder / "state.json").read_bytes(), type=SupervisorState)
    except FileNotFoundError:
        return None


def main(words: Sequence[str]) -> int:
    """`python -m deploy.local.supervisor FOLDER OPTIONS`: what `up` starts, detached."""
    from mixer.pool import pool
    from streamer import Catalog

    folder, options = Path(words[0]), msgspec.json.decode(words[1], type=Options)
    options = msgspec.structs.replace(options, redis_url=os.environ.pop(REDIS, None))
    catalog, plan = Catalog(options.root), LocalPlan(options, folder)
    os.environ[REDIS] = plan.redis_url  # for its children
    supervisor = Supervisor(options.root, plan, folder, lambda: pool.wanted(catalog))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: supervisor.tell())
    supervisor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
