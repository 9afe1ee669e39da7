"""The same promises of the queue in memory and in a real Redis."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import redis

from generators.errors import QueueError
from generators.queue import job_queue
from generators.queue.job import Job, Reason, accepted_file
from generators.queue.job_queue import DeadJob, JobQueue
from generators.queue.memory_job_queue import MemoryJobQueue
from generators.queue.redis_job_queue import RedisJobQueue, queue_of
from generators.scaling import register
from mixer.pool.pool import WorkerState
from streamer import Catalog

SILENT_MS = 50
PURPOSE = "order/0"


@pytest.fixture(params=["memory", "redis"])
def queue_and_wait(request: pytest.FixtureRequest) -> tuple[JobQueue, Callable[[], None]]:
    if request.param == "memory":
        memory = MemoryJobQueue(max_length=5)

        def pass_time() -> None:
            memory.now_ms += 2 * SILENT_MS

        return memory, pass_time
    url = request.getfixturevalue("redis_url")
    return RedisJobQueue(url, "phasemix:{test}", max_length=5), lambda: time.sleep(2 * SILENT_MS / 1000)


QueueAndWait = tuple[JobQueue, Callable[[], None]]


def job(index: int) -> Job:
    return Job(
        language="python", seed_document="s", recipe="file/1", model="m", index=index, text="x = 1\n", purpose=PURPOSE
    )


def test_a_job_is_queued_once_and_claimed_once(queue_and_wait: QueueAndWait) -> None:
    queue, _ = queue_and_wait
    assert [queue.add(job(0)), queue.add(job(0)), queue.add(job(1))] == [True, False, True]
    assert [claim.job for claim in queue.claim("a", count=5, silent_ms=SILENT_MS)] == [job(0), job(1)]
    assert queue.claim("b", count=5, silent_ms=10_000) == []
    assert queue.depth() == (0, 2, 0)
    assert queue.on_the_way() == {(PURPOSE, "file/1"): 2}


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


def test_a_released_job_is_claimed_at_once(queue_and_wait: QueueAndWait) -> None:
    queue, _ = queue_and_wait
    queue.add(job(0))
    (claim,) = queue.claim("a", count=1, silent_ms=10_000)
    queue.release([claim])
    assert [claim.job for claim in queue.claim("b", count=1, silent_ms=10_000)] == [job(0)]


def test_a_delivered_file_waits_for_its_publisher_and_is_gone_when_published(queue_and_wait: QueueAndWait) -> None:
    queue, wait = queue_and_wait
    queue.add(job(0))
    (claim,) = queue.claim("a", count=1, silent_ms=SILENT_MS)
    file = accepted_file(claim.job, "y = 2\n")
    queue.deliver(claim, file)
    assert queue.depth() == (0, 0, 1)
    assert not queue.add(job(0))  # still on its way
    (waiting,) = queue.take("p", count=5, silent_ms=10_000)
    assert waiting.file == file
    assert queue.take("p", count=5, silent_ms=10_000) == []
    wait()
    assert queue.clock_ms() - waiting.came_ms >= SILENT_MS
    (again,) = queue.take("other", count=5, silent_ms=SILENT_MS)  # the first publisher fell silent
    queue.published([again])
    queue.published([waiting])
    assert queue.depth() == (0, 0, 0)
    assert queue.on_the_way() == {}


def test_a_publisher_that_says_it_lives_keeps_its_files(queue_and_wait: QueueAndWait) -> None:
    queue, wait = queue_and_wait
    queue.add(job(0))
    (claim,) = queue.claim("a", count=1, silent_ms=SILENT_MS)
    queue.deliver(claim, accepted_file(claim.job, "y = 2\n"))
    (waiting,) = queue.take("p", count=1, silent_ms=10_000)
    wait()
    queue.keep("p", [waiting.entry])
    assert queue.take("other", count=1, silent_ms=SILENT_MS) == []


def test_rejected_jobs_and_files_are_counted_by_reason_and_closed(queue_and_wait: QueueAndWait) -> None:
    queue, _ = queue_and_wait
    for index in (0, 1):
        queue.add(job(index))
    first, second = queue.claim("a", count=2, silent_ms=SILENT_MS)
    queue.reject_job(first, Reason.CUT_OFF, "half a file", {"tokens": 9, "max_tokens": 8})
    queue.deliver(second, accepted_file(second.job, "y = 2\n"))
    (waiting,) = queue.take("p", count=1, silent_ms=SILENT_MS)
    queue.reject_file(waiting, Reason.NEAR_DUPLICATE, {"of": "another", "likeness": 0.75})
    assert queue.depth() == (0, 0, 0)
    assert [(file.recipe, file.values) for file in queue.rejected_files()] == [
        ("file/1", {"of": "another", "likeness": 0.75}),
        ("file/1", {"tokens": 9, "max_tokens": 8}),
    ]
    assert queue.rejections() == {"cut_off": 1, "near_duplicate": 1}
    kept = [(file.reason, file.text, file.seed, file.model) for file in queue.rejected_files()]
    assert kept == [
        ("near_duplicate", "y = 2\n", job(1).seed_document, job(1).model),
        ("cut_off", "half a file", job(0).seed_document, job(0).model),
    ]
    identities = [job(index).identity for index in range(3)]
    assert queue.known(identities).closed == set(identities[:2])
    assert queue.known([]).closed == set()


def test_the_last_200_rejected_files_are_kept(queue_and_wait: QueueAndWait) -> None:
    queue, _ = queue_and_wait
    for index in range(205):
        queue.add(job(index))
        (claim,) = queue.claim("a", count=1, silent_ms=SILENT_MS)
        queue.reject_job(claim, Reason.EMPTY, f"{index}")
    assert [file.text for file in queue.rejected_files()] == [f"{index}" for index in range(204, 4, -1)]


def test_a_dead_job_can_be_read_and_revived(queue_and_wait: QueueAndWait) -> None:
    queue, _ = queue_and_wait
    queue.add(job(0))
    (claim,) = queue.claim("a", count=1, silent_ms=SILENT_MS)
    queue.bury(claim, "too long for the engine")
    assert queue.dead() == [DeadJob(msgspec.structs.replace(job(0), text=""), "too long for the engine")]
    assert queue.known([job(0).identity]).closed == {job(0).identity}
    assert queue.revive() == 1
    assert queue.known([job(0).identity]).closed == set()
    assert queue.add(job(0))


def test_no_more_dead_letters_are_kept_than_somebody_would_read(
    queue_and_wait: QueueAndWait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_queue, "MOST_DEAD", 2)
    queue, _ = queue_and_wait
    for index in range(3):
        queue.add(job(index))
        (claim,) = queue.claim("a", count=1, silent_ms=SILENT_MS)
        queue.bury(claim, "refused")
    identities = {job(index).identity for index in range(3)}
    assert queue.known(sorted(identities)).closed == identities
    assert [queue.count_dead(), queue.ends().buried, queue.revive()] == [2, 3, 2]
    assert queue.known(sorted(identities)).closed == {job(2).identity}


def test_a_wiped_redis_is_an_empty_queue(redis_url: str) -> None:
    queue = RedisJobQueue(redis_url, "phasemix:{test}")
    queue.add(job(0))
    (claim,) = queue.claim("a", count=1, silent_ms=SILENT_MS)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    queue.beat("a", [claim.entry])
    queue.deliver(claim, accepted_file(claim.job, "y = 2\n"))  # the worker's file is not lost
    assert queue.depth() == (0, 0, 1)
    assert queue.add(job(0))
    assert len(queue.claim("a", count=1, silent_ms=SILENT_MS)) == 1
    assert len(queue.take("p", count=2, silent_ms=SILENT_MS)) == 1


def test_no_redis_is_one_line() -> None:
    with pytest.raises(QueueError, match="does not answer"):
        RedisJobQueue("unix:///nonexistent/redis.sock", "phasemix:{test}").add(job(0))


def test_what_is_given_back_counts_as_never_claimed_and_what_falls_silent_does_not(queue_and_wait: QueueAndWait) -> None:
    queue, wait = queue_and_wait
    queue.add(job(0))
    for _ in range(4):
        (claim,) = queue.claim("a", count=1, silent_ms=SILENT_MS)
        assert claim.deliveries == 1
        queue.release([claim])
    (claim,) = queue.claim("a", count=1, silent_ms=SILENT_MS)
    for deliveries in (2, 3):
        wait()
        (claim,) = queue.claim("b", count=1, silent_ms=SILENT_MS)
        assert claim.deliveries == deliveries


def test_what_is_withdrawn_may_be_planned_again_and_ends_are_counted(queue_and_wait: QueueAndWait) -> None:
    queue, _ = queue_and_wait
    for index in range(4):
        queue.add(job(index))
    first, *claims = queue.claim("a", count=4, silent_ms=SILENT_MS)
    queue.withdraw(first)
    assert queue.on_the_way() == {(PURPOSE, "file/1"): 3}
    assert not queue.known([first.job.identity]).closed
    assert queue.add(first.job)
    queue.deliver(claims[0], accepted_file(claims[0].job, "y = 2\n"))
    queue.reject_job(claims[1], Reason.EMPTY, "")
    queue.bury(claims[2], "refused")
    assert (queue.ends(), queue.count_dead()) == ((1, 1, 1, 0), 1)
    queue.revive()
    assert (queue.ends(), queue.count_dead()) == ((1, 1, 1, 1), 0)
    assert queue.ends_by_recipe() == {("python", "file/1"): (1, 1, 1, 0)}


def test_a_file_that_the_publisher_refuses_counts_once_and_one_that_is_not_wanted_not_as_refused(
    queue_and_wait: QueueAndWait,
) -> None:
    queue, _ = queue_and_wait
    queue.add(*(job(index) for index in range(3)))
    for claim in queue.claim("a", count=3, silent_ms=SILENT_MS):
        queue.deliver(claim, accepted_file(claim.job, "y = 2\n"))
    first, second, _ = queue.take("p", count=3, silent_ms=SILENT_MS)
    queue.reject_file(first, Reason.NEAR_DUPLICATE)
    queue.reject_file(second, Reason.NOT_WANTED)
    assert queue.ends() == (2, 1, 0, 0)
    other = job(3)
    queue.add(msgspec.structs.replace(other, language="go", recipe="rewrite/2"))
    (claim,) = queue.claim("a", count=1, silent_ms=SILENT_MS)
    queue.reject_job(claim, Reason.EMPTY, "")
    assert queue.ends_by_recipe() == {("python", "file/1"): (2, 1, 0, 0), ("go", "rewrite/2"): (0, 1, 0, 0)}


def test_two_roots_share_a_redis_without_seeing_each_other(redis_url: str, tmp_path: Path) -> None:
    one, other = (queue_of(Catalog(tmp_path / name), redis_url) for name in ("one", "other"))
    one.add(job(0))
    (claim,) = one.claim("a", count=1, silent_ms=SILENT_MS)
    one.deliver(claim, accepted_file(claim.job, "y = 2\n"))
    assert (sum(one.depth()), sum(other.depth())) == (1, 0)
    assert other.take("p", count=1, silent_ms=SILENT_MS) == []
    assert queue_of(Catalog(tmp_path / "one"), redis_url).keys == one.keys


def test_the_pool_of_a_copied_root_is_refused_while_that_of_the_first_is_at_work(redis_url: str, tmp_path: Path) -> None:
    first = queue_of(Catalog(tmp_path / "first"), redis_url)
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    copy = queue_of(Catalog(tmp_path / "copy"), redis_url)
    for _ in range(2):
        first.own(str(tmp_path / "first"))
    with pytest.raises(QueueError, match=r"copy is a copy of .*first, whose pool uses this Redis; give this one"):
        copy.own(str(tmp_path / "copy"))
    first.client.delete(f"{first.keys}:root")  # it has not been at work for a while
    copy.own(str(tmp_path / "copy"))


def test_a_redis_without_memory_is_waited_for_like_one_that_is_away(redis_url: str) -> None:
    queue = RedisJobQueue(redis_url, "phasemix:{test}")
    queue.add(job(0))
    (claim,) = queue.claim("a", count=1, silent_ms=SILENT_MS)
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory", 1)
        try:
            for call in (
                lambda: queue.add(job(1)),
                lambda: queue.deliver(claim, accepted_file(claim.job, "y = 2\n")),
                lambda: queue.reject_job(claim, Reason.EMPTY, ""),
                lambda: register(queue)(WorkerState(name="a", endpoint="e", engine="m")),
            ):
                with pytest.raises(QueueError, match=r"refuses: .*maxmemory.*goes on by itself"):
                    call()
        finally:
            client.config_set("maxmemory", 0)
    queue.deliver(claim, accepted_file(claim.job, "y = 2\n"))
    assert queue.depth() == (0, 0, 1)


@pytest.mark.parametrize("url", ["foo://user:s3cret@host/0", "redis://user:s3cret@127.0.0.1:1/0"])
def test_a_password_is_in_no_error(url: str) -> None:
    with pytest.raises(QueueError) as raised:
        RedisJobQueue(url, "phasemix:{test}").depth()
    assert "s3cret" not in str(raised.value)


def test_a_wrong_password_is_said(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("requirepass", "right")
        try:
            with pytest.raises(QueueError, match="refuses"):
                RedisJobQueue(redis_url, "phasemix:{test}").depth()
        finally:
            client.execute_command("AUTH", "right")
            client.config_set("requirepass", "")
