"""The same promises of the queue in memory and in a real Redis."""

import time
from collections.abc import Callable, Iterator

import pytest
import redis

from deploy.redis_server import RedisServer, find_redis
from generators.errors import QueueError
from generators.job import Job
from generators.job_queue import JobQueue, MemoryJobQueue
from generators.redis_job_queue import RedisJobQueue

SILENT_MS = 50


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    found = find_redis(None)
    found.start()
    yield found
    found.stop()


@pytest.fixture(params=["memory", "redis"])
def queue_and_wait(request: pytest.FixtureRequest) -> tuple[JobQueue, Callable[[], None]]:
    if request.param == "memory":
        memory = MemoryJobQueue(max_length=5)

        def pass_time() -> None:
            memory.now_ms += 2 * SILENT_MS

        return memory, pass_time
    server: RedisServer = request.getfixturevalue("server")
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    return RedisJobQueue(server.url, max_length=5), lambda: time.sleep(2 * SILENT_MS / 1000)


QueueAndWait = tuple[JobQueue, Callable[[], None]]


def job(index: int) -> Job:
    return Job(language="python", seed_document="s", recipe="file/1", model="m", index=index, text="x = 1\n")


def test_a_job_is_queued_once_and_claimed_once(queue_and_wait: QueueAndWait) -> None:
    queue, _ = queue_and_wait
    assert [queue.add(job(0)), queue.add(job(0)), queue.add(job(1))] == [True, False, True]
    assert [claim.job for claim in queue.claim("a", count=5, silent_ms=SILENT_MS)] == [job(0), job(1)]
    assert queue.claim("b", count=5, silent_ms=10_000) == []
    assert queue.depth() == (0, 2)


def test_a_full_queue_refuses(queue_and_wait: QueueAndWait) -> None:
    queue, _ = queue_and_wait
    assert [queue.add(job(index)) for index in range(7)] == [True] * 5 + [False] * 2


def test_a_silent_claimer_loses_its_jobs_and_a_beating_one_keeps_them(queue_and_wait: QueueAndWait) -> None:
    queue, wait = queue_and_wait
    queue.add(job(0))
    queue.add(job(1))
    (silent,) = queue.claim("silent", count=1, silent_ms=SILENT_MS)
    (kept,) = queue.claim("alive", count=1, silent_ms=10_000)
    wait()
    queue.beat("alive", [kept.entry])
    (again,) = queue.claim("other", count=5, silent_ms=SILENT_MS)
    assert (again.job, again.deliveries) == (silent.job, 2)


def test_a_finished_job_is_gone_and_may_be_queued_again(queue_and_wait: QueueAndWait) -> None:
    queue, wait = queue_and_wait
    queue.add(job(0))
    (claim,) = queue.claim("a", count=1, silent_ms=SILENT_MS)
    queue.finish(claim)
    queue.finish(claim)
    wait()
    assert queue.claim("b", count=1, silent_ms=SILENT_MS) == []
    assert queue.depth() == (0, 0)
    assert queue.add(job(0))


def test_a_wiped_redis_is_an_empty_queue(server: RedisServer) -> None:
    queue = RedisJobQueue(server.url)
    queue.add(job(0))
    (claim,) = queue.claim("a", count=1, silent_ms=SILENT_MS)
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    queue.beat("a", [claim.entry])
    queue.finish(claim)
    assert queue.depth() == (0, 0)
    assert queue.add(job(0))
    assert len(queue.claim("a", count=1, silent_ms=SILENT_MS)) == 1


def test_no_redis_is_one_line() -> None:
    with pytest.raises(QueueError, match="does not answer"):
        RedisJobQueue("unix:///nonexistent/redis.sock").add(job(0))
