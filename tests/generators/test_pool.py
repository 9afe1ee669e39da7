"""The pool as processes: planner, workers and publisher of the command line, a real Redis, the offline engine.

Killed, wiped or restarted, they fill an order exactly, and each file is published once.
"""

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient
from pool_processes import Pool, wait_until

from deploy.local import processes
from deploy.local.service_process import application
from generators.engines.offline_engine import LABEL
from streamer import Catalog


@pytest.fixture
def pool(seeded: Catalog, root: Path, redis_url: str) -> Iterator[Pool]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = Pool(root, redis_url, port)
    argv = (sys.executable, "-m", "generators.engines.offline_engine", "--port", str(port))
    found.started.append(processes.start(argv, log=root.parent / "engine.log"))
    wait_until(lambda: answers(port))
    yield found
    for process in found.started:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_an_order_is_filled_by_processes_that_end_in_order(pool: Pool) -> None:
    pool.start("plan")
    publisher, worker = pool.start("publish", "--max-wait", "0.5"), pool.worker("worker-1")
    pool.ask("seed", "--from", "scored/*", "--files", "10")
    wait_until(lambda: len(pool.published()) >= 10)
    wait_until(lambda: pool.ask("status")["workers_live"] == 1)
    status = pool.ask("status")
    assert (status["accepted"], status["engine"], status["waiting"]) == (10, LABEL, 0)
    assert status["orders"] == [{"order": 0, "from": "scored/*", "language": "any", "files": 10, "published": 10}]
    for process in (worker, publisher):
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert set(pool.published().values()) == {1}


def test_killed_in_mid_job_nothing_is_lost_or_published_twice(pool: Pool) -> None:
    engine = pool.started[0]
    pool.start("plan")
    victim = pool.worker("worker-1", "--concurrency", "4")
    publisher = pool.start("publish", "--max-wait", "0.2", "--name", "a", "--silent", "1")
    wait_until(lambda: pool.ask("status")["workers_live"] == 1)
    engine.send_signal(signal.SIGSTOP)
    pool.ask("seed", "--from", "scored/*", "--files", "30")
    wait_until(lambda: pool.ask("status")["running"] == 4)
    victim.kill()
    engine.send_signal(signal.SIGCONT)
    pool.worker("worker-2", "--concurrency", "4", "--silent", "1")
    wait_until(lambda: len(pool.published()) >= 1)
    publisher.kill()
    pool.start("publish", "--max-wait", "0.2", "--name", "b", "--silent", "1")
    wait_until(lambda: len(pool.published()) >= 30)
    found = pool.published()
    assert len(found) == 30
    assert set(found.values()) == {1}
    wait_until(lambda: pool.ask("status")["running"] == 0)


def test_a_wiped_redis_is_planned_again(pool: Pool) -> None:
    pool.start("plan")
    pool.worker("worker-1", "--concurrency", "2")
    pool.start("publish", "--max-wait", "0.2")
    pool.ask("seed", "--from", "scored/*", "--files", "40")
    for enough in (3, 15):
        wait_until(lambda enough=enough: len(pool.published()) >= enough)  # type: ignore[misc]
        with redis.Redis.from_url(pool.redis_url) as client:
            client.flushall()
    wait_until(lambda: len(pool.published()) >= 40)
    assert set(pool.published().values()) == {1}
    assert all(not Catalog(pool.root).garbage(name) for name in ("synthetic/python",))


def test_a_publisher_whose_disk_is_full_says_so_once_and_goes_on_when_there_is_room(pool: Pool) -> None:
    pool.start("plan")
    publisher = pool.start("publish", "--max-wait", "0.2")
    log = pool.root.parent / f"publish-{pool.started.index(publisher)}.log"
    pool.worker("worker-1")
    pool.ask("seed", "--from", "scored/*", "--files", "3")
    wait_until(lambda: len(pool.published()) == 3)
    resource.prlimit(publisher.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))  # of a file, its log included
    pool.ask("seed", "--from", "scored/*", "--files", "4")
    wait_until(lambda: "a part cannot be written aside" in log.read_text())
    wait_until(lambda: pool.ask("status")["unpublished"] == 4)
    resource.prlimit(publisher.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    wait_until(lambda: len(pool.published()) == 7)
    assert (log.read_text().count("cannot be written aside"), publisher.poll()) == (1, None)


def test_a_drained_pool_is_empty_and_scaled_to_zero(pool: Pool) -> None:
    pool.start("plan")
    pool.worker("worker-1", "--concurrency", "1")
    pool.start("publish", "--max-wait", "0.2")
    pool.ask("scale", "2")
    pool.ask("seed", "--from", "scored/*", "--files", "60")
    wait_until(lambda: len(pool.published()) >= 2)
    assert pool.ask("drain") == [{"drained": True, "workers_wanted": 0}]
    status = pool.ask("status")
    found = [status[word] for word in ("workers_wanted", "waiting", "running", "unpublished")]
    assert (status["pool"], found) == ("drained", [0, 0, 0, 0])


def test_a_drain_ends_when_somebody_scales_meanwhile_and_leaves_their_workers(pool: Pool) -> None:
    pool.start("plan")
    pool.worker("worker-1", "--concurrency", "1")
    wait_until(lambda: pool.ask("status")["workers_live"] == 1)
    pool.started[0].send_signal(signal.SIGSTOP)  # the engine: nothing that is on its way arrives
    pool.ask("seed", "--from", "scored/*", "--files", "5")
    wait_until(lambda: pool.ask("status")["running"] == 1)
    drain = pool.start("drain")
    wait_until(lambda: pool.ask("status")["pool"] == "draining")
    pool.ask("scale", "3")
    assert drain.wait(timeout=60) == 1
    said = next(pool.root.parent.glob("drain-*.log")).read_text()
    assert "scaled to 3 workers while it drained" in said
    assert pool.ask("status")["workers_wanted"] == 3


def test_orders_and_draining_over_http_go_on_when_nobody_looks(pool: Pool) -> None:
    client = TestClient(application(pool.root, pool.redis_url))
    pool.start("plan", "--most-queued", "4")
    pool.worker("worker-1", "--concurrency", "1")
    pool.start("publish", "--max-wait", "0.2")
    assert client.post("/api/v1/pool", json={"workers": 1}).json() == {"wanted": 1}
    ordered = client.post("/api/v1/pool/orders", json={"from": "scored/*", "files": 80, "language": "python"})
    assert ordered.json() == {"order": 0, "from": "scored/*", "language": "python", "files": 80, "published": 0}
    wait_until(lambda: client.get("/api/v1/pool/orders").json()[0]["published"] >= 2)
    draining = client.post("/api/v1/pool/drain", json={}).json()
    assert (draining["draining"], set(draining)) == (True, {"draining", "waiting", "running", "unpublished"})
    wait_until(lambda: client.get("/api/v1/pool").json()["wanted"] == 0)
    assert client.get("/api/v1/pool").json()["draining"]  # nothing more is planned until somebody scales
    published = pool.published()
    assert client.get("/api/v1/pool/orders").json()[0]["published"] == len(published) < 80
    wait_until(lambda: pool.ask("status")["waiting"] == 0)  # what the planner reports after it scaled


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["work", "--engine", "http://127.0.0.1:1/v1"], "http://127.0.0.1:1/v1 does not answer"),
        (["work", "--engine", "http://127.0.0.1:1/v1", "--redis", "unix:///nowhere.sock"], "Redis at unix:///nowhere.sock"),
        (["plan", "--redis", "what"], "cannot be the address of a Redis"),
        (["seed", "--from", "nothing/*", "--files", "1"], "no stream with documents matches"),
        (["scale", "-1"], "-1 workers are outside 0 to 1024"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    words: list[str], said: str, seeded: Catalog, root: Path, redis_url: str
) -> None:
    argv = [sys.executable, "-P", "-m", "phasemix", "generators", *words, "--root", str(root)]
    found = subprocess.run(argv, capture_output=True, text=True, timeout=60, env={**os.environ, "PHASEMIX_REDIS": redis_url})
    assert found.returncode == 2
    assert said in found.stderr
    assert found.stderr.count("\n") == 1
