"""Orders get exactly the files that they asked for, whatever Redis lost meanwhile."""

from collections import Counter

import msgspec
import pytest
import redis

from generators.planning.orders import place_order
from generators.planning.planner import Planner
from generators.publishing.published_files import AllPublished
from generators.publishing.publishing import Publishing
from generators.queue.job import AcceptedFile, Reason, accepted_file
from generators.queue.job_queue import Claim
from generators.queue.redis_job_queue import RedisJobQueue
from streamer import Catalog


def written(claim: Claim) -> AcceptedFile:
    words = " ".join(f"w{claim.job.identity[:6]}{place}" for place in range(30))
    return accepted_file(claim.job, f"# {words}\n")


@pytest.fixture
def queue(redis_url: str) -> RedisJobQueue:
    return RedisJobQueue(redis_url, "phasemix:{test}")


def by_order(catalog: Catalog) -> Counter[str]:
    published = AllPublished(catalog)
    published.refresh()
    return Counter({purpose: count for purpose in ("order/0", "order/1") if (count := published.count(purpose))})


@pytest.mark.parametrize("late_first", [True, False])
def test_two_orders_are_filled_exactly_when_redis_was_wiped_while_a_slow_engine_had_the_first_one_s_jobs(
    seeded: Catalog, queue: RedisJobQueue, late_first: bool
) -> None:
    plan = Planner(seeded, queue, model=lambda: "m", say=[].append)
    place_order(seeded, "scored/*", files=9)
    plan.tick()
    slow = queue.claim("slow", count=100, silent_ms=10_000)
    assert len(slow) == 9
    with redis.Redis.from_url(queue.url) as client:
        client.flushall()
    place_order(seeded, "scored/*", files=4)  # its jobs are among those that the slow engine has
    short, quick = Planner(seeded, queue, model=lambda: "m", most_queued=4, say=[].append), list[Claim]()
    for _ in range(3):
        short.tick()
        quick += queue.claim("quick", count=100, silent_ms=10_000)
    assert {claim.job.identity for claim in slow} < {claim.job.identity for claim in quick}
    publishing = Publishing(seeded, queue, max_wait_s=0)
    rounds = [quick, slow]
    for claims in reversed(rounds) if late_first else rounds:
        for claim in claims:
            queue.deliver(claim, written(claim))
        publishing.tick()
    for _ in range(3):
        plan.tick()
        for claim in queue.claim("quick", count=100, silent_ms=10_000):
            queue.deliver(claim, written(claim))
        publishing.tick()
    assert by_order(seeded) == {"order/0": 9, "order/1": 4}
    assert sum(queue.depth()) == plan.tick() == 0
    assert not queue.on_the_way()


def test_a_file_that_no_order_wants_any_more_is_rejected_by_name_and_may_be_planned_again(
    seeded: Catalog, queue: RedisJobQueue
) -> None:
    plan = Planner(seeded, queue, model=lambda: "m", say=[].append)
    place_order(seeded, "scored/*", files=2)
    plan.tick()
    claims = queue.claim("w", count=2, silent_ms=10_000)
    late = [claim._replace(job=msgspec.structs.replace(claim.job, index=50)) for claim in claims]
    for claim in [*claims, *late]:
        queue.deliver(claim, written(claim))
    publishing = Publishing(seeded, queue, max_wait_s=0)
    publishing.tick()
    assert by_order(seeded) == {"order/0": 2}
    publishing.tick()
    assert queue.rejections() == {Reason.NOT_WANTED: 2}
    assert not queue.known([claim.job.identity for claim in late]).closed
    assert sum(queue.depth()) == 0
