"""The first SIGTERM ends a process of the pool in order, whatever Redis does; the second one ends it where it stands."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pool_processes import Pool, wait_until

from deploy.local import processes
from deploy.local.redis_server import does_redis_answer, find_redis, redis_address, redis_argv
from generators.planning.orders import place_order
from generators.queue.redis_job_queue import queue_of
from streamer import Catalog

JOBS = 4
REFUSED, SILENT = signal.SIGKILL, signal.SIGSTOP  # what its clients meet once Redis got the signal


@pytest.fixture
def drain_s() -> int:
    return 600


@pytest.fixture
def pool(seeded: Catalog, root: Path, drain_s: int) -> Iterator[Pool]:
    """A Redis, an engine, a planner, a publisher and a worker with four jobs that a stopped engine has."""
    with tempfile.TemporaryDirectory(prefix="pm") as name, socket.create_server(("127.0.0.1", 0)) as free:
        folder, port = Path(name), free.getsockname()[1]
        free.close()
        found = Pool(root, redis_address(folder), port)
        engine = (sys.executable, "-m", "generators.engines.offline_engine", "--port", str(port))
        for argv in (redis_argv(find_redis(), folder), engine):
            found.started.append(processes.start(argv, log=folder / "log"))
        wait_until(lambda: does_redis_answer(found.redis_url))
        found.start("plan")
        found.start("publish")
        found.worker("worker-1", "--concurrency", str(JOBS), "--drain", str(drain_s))
        wait_until(lambda: found.ask("status")["workers_live"] == 1)
        found.started[1].send_signal(signal.SIGSTOP)
        place_order(seeded, "scored/*", files=JOBS)
        wait_until(lambda: found.ask("status")["running"] == JOBS)
        yield found
        for process in found.started:
            process.kill()
            process.wait()


def lines(pool: Pool, process: "subprocess.Popen[bytes]") -> list[str]:
    place = pool.started.index(process)
    return next(pool.root.parent.glob(f"*-{place}.log")).read_text().splitlines()


def test_a_worker_waits_for_its_jobs_and_gives_them_back_at_the_second_signal(pool: Pool, seeded: Catalog) -> None:
    worker = pool.started[-1]
    queue = queue_of(seeded, pool.redis_url)
    worker.send_signal(signal.SIGTERM)
    wait_until(lambda: lines(pool, worker)[-1:] == [f"worker-1: ends after {JOBS} jobs in flight, at most 600 s"])
    assert queue.depth() == (0, JOBS, 0)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=60) == 130
    assert queue.depth() == (JOBS, 0, 0)
    assert {claim.deliveries for claim in queue.claim("another", count=JOBS, silent_ms=10**6)} == {1}


@pytest.mark.parametrize(("fault", "drain_s"), [(REFUSED, 1), (SILENT, 1)], ids=["refused", "silent"])
def test_without_redis_the_first_signal_ends_all_of_them_in_order_with_one_line(pool: Pool, fault: signal.Signals) -> None:
    redis, engine, *ours = pool.started
    redis.send_signal(fault)
    wait_until(lambda: all(f"Redis at {pool.redis_url} does not answer" in "".join(lines(pool, one)) for one in ours))
    before = [len(lines(pool, one)) for one in ours]
    engine.kill()  # so that nothing is in flight
    for process in ours:
        process.send_signal(signal.SIGTERM)
    assert [process.wait(timeout=60) for process in ours] == [0, 0, 0]
    said = [lines(pool, one)[count:] for one, count in zip(ours, before, strict=True)]
    assert said[:2] == [[], []]
    assert "others take over what it had" in said[2][-1]


def test_a_worker_that_still_waits_for_its_engine_ends_in_order(seeded: Catalog, root: Path, redis_url: str) -> None:
    process = Pool(root, redis_url, 1).worker("worker-1")  # where nothing listens
    wait_until(lambda: catches_sigterm(process.pid))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0


def trickle(listener: socket.socket) -> None:
    """A Redis that never comes to the end of an answer, nor falls silent."""
    with contextlib.suppress(OSError):  # of a client that has ended
        connection, _ = listener.accept()
        connection.sendall(b"$1000000\r\n")
        while True:
            connection.sendall(b"x")
            time.sleep(1)


@pytest.mark.parametrize("verb", ["plan", "publish"])
def test_the_second_signal_ends_planner_and_publisher_in_the_middle_of_a_call(
    verb: str, seeded: Catalog, root: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=trickle, args=(listener,), daemon=True).start()
        process = Pool(root, f"redis://127.0.0.1:{listener.getsockname()[1]}", 1).start(verb)
        wait_until(lambda: catches_sigterm(process.pid))
        signals = 0
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)
            signals += 1
            time.sleep(0.5)
    assert (process.returncode, signals > 1) == (130, True)
    (said,) = (root.parent / f"{verb}-0.log").read_text().splitlines()
    assert said.startswith("phasemix: interrupted; what was written before stays")


def catches_sigterm(pid: int) -> bool:
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)
