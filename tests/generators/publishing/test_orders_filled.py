"""Orders get exactly the files that they asked for, whatever Redis lost meanwhile."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from generators.planning.orders import load_orders, place_order
from generators.planning.planner import Planner
from generators.planning.seed_documents import load_seed_documents
from generators.publishing.allotments import Allotments
from generators.publishing.published_files import AllPublished
from generators.publishing.publisher import Publisher
from generators.publishing.publishing import Publishing
from generators.queue.job import AcceptedFile, Job, Reason, accepted_file
from generators.queue.job_queue import Claim
from generators.queue.redis_job_queue import RedisJobQueue
from streamer import Catalog
from streamer.publishing.publication import publish_path


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


def test_publishers_of_two_languages_that_know_nothing_of_each_other_fill_an_order_exactly(
    seeded: Catalog, queue: RedisJobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_two_languages(seeded, tmp_path)
    for late in (0, 1):
        jobs = [job for language in ("python", "go") for job in jobs_of(seeded, language, index=late)]
        queue.add(*jobs)
    claims = queue.claim("w", count=100, silent_ms=10_000)
    found = {name: [claim for claim in claims if claim.job.language == name] for name in ("python", "go")}
    one, other = (Publishing(Catalog(seeded.store.url), queue, name=name, max_wait_s=0) for name in "ab")

    def deliver(language: str) -> None:
        for claim in found[language]:
            queue.deliver(claim, written(claim))

    publish, acts = Publisher.publish, [lambda: other.tick(), lambda: deliver("go")]

    def late_publish(publisher: Publisher, *arguments: Any, **named: Any) -> set[str]:
        while acts:
            acts.pop()()  # the other one sees no file of the order, nor that this one has decided
        return publish(publisher, *arguments, **named)

    monkeypatch.setattr(Publisher, "publish", late_publish)
    deliver("python")
    one.tick()
    assert not acts
    for _ in range(3):
        one.tick()
        other.tick()
    assert by_order(seeded) == {"order/0": 8}


def of_two_languages(catalog: Catalog, folder: Path) -> None:
    texts = [{"text": f"package a\n// {number}\nfunc F{number}() {{}}\n", "path": f"{number}.go"} for number in range(9)]
    (folder / "go.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, texts)))
    publish_path(catalog, "documents/go", folder / "go.jsonl")
    place_order(catalog, "documents/*", files=8)


def test_files_that_were_published_and_not_acknowledged_take_no_second_place_of_an_order(
    seeded: Catalog, queue: RedisJobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_two_languages(seeded, tmp_path)
    queue.add(*jobs_of(seeded, "python", index=0))
    for claim in queue.claim("w", count=100, silent_ms=10_000):
        queue.deliver(claim, written(claim))
    with monkeypatch.context() as patch:
        patch.setattr(queue, "published", lambda waiting: None)  # as when it dies between the part and its word
        assert Publishing(seeded, queue, name="a", max_wait_s=0).tick() == 5
    after = Publishing(Catalog(seeded.store.url), queue, name="b", max_wait_s=0, silent_s=0)
    after.tick()
    queue.add(*jobs_of(seeded, "go", index=0))
    for claim in queue.claim("w", count=100, silent_ms=10_000):
        queue.deliver(claim, written(claim))
    for _ in range(3):
        after.tick()
    assert by_order(seeded) == {"order/0": 8}
    assert sum(queue.depth()) == 0


def test_what_was_allotted_and_lost_is_planned_for_its_stream_again(
    seeded: Catalog, queue: RedisJobQueue, tmp_path: Path
) -> None:
    of_two_languages(seeded, tmp_path)
    order, none = load_orders(seeded)[0], Counter[str]()
    allotments = Allotments(seeded)
    assert allotments.allot(order, "synthetic/python", wanted=5, published=none) == 5
    assert allotments.allot(order, "synthetic/go", wanted=5, published=none) == 3
    plan = Planner(seeded, queue, model=lambda: "m", say=[].append)
    publishing = Publishing(seeded, queue, max_wait_s=0)
    for _ in range(12):
        plan.tick()
        for claim in queue.claim("w", count=100, silent_ms=10_000):
            queue.deliver(claim, written(claim))
        publishing.tick()
    assert by_order(seeded) == {"order/0": 8}
    assert sum(queue.depth()) == plan.tick() == 0


def jobs_of(catalog: Catalog, language: str, *, index: int) -> list[Job]:
    seeds = load_seed_documents(catalog, "documents/*", language)[:5]
    recipe = {"recipe": "oss-instruct-file/1", "model": "m", "index": index, "purpose": "order/0"}
    return [Job(language=language, seed_document=seed.document, text=seed.text, **recipe) for seed in seeds]
