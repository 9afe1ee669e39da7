"""The planner queues what is wanted and no more, never what is done, and again what Redis lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generators.errors import OrderError
from generators.planning.orders import place_order
from generators.planning.planner import JUDGED, Brake, Planner
from generators.planning.quota import Want, choose_counts, count_files
from generators.planning.seed_documents import load_seed_documents, seed_streams
from generators.publishing.publishing import Publishing
from generators.queue.job import Reason, accepted_file
from generators.queue.job_queue import Ends
from generators.queue.memory_job_queue import MemoryJobQueue
from generators.recipes.recipe import add_recipe, built_in, parse_recipe, set_shares
from mixer import Mixtures, Runs
from mixer.pool import pool
from mixer.runs.demand import tokens_of
from streamer import Catalog
from streamer.catalog.parts import read_sidecar

MOST_PER_SEED = next(recipe.most_per_seed for recipe in built_in() if recipe.name == "oss-instruct-file")
MIXTURE = """
name = "enhanced"
seq_len = 64

[[component]]
streams = "synthetic/*"
share = 0.5
max_passes = 1
when_dry = "wait"

[[component]]
streams = "scored/*"
share = 0.5
"""


def planner(catalog: Catalog, queue: MemoryJobQueue, said: list[str] | None = None, **options: int) -> Planner:
    say = [].append if said is None else said.append
    return Planner(catalog, queue, model=lambda: "m", say=say, **options)


def work_off(queue: MemoryJobQueue, count: int = 1000) -> None:
    """Every job gives a file of its own."""
    for claim in queue.claim("w", count=count, silent_ms=10_000):
        words = " ".join(f"w{claim.job.identity[:6]}{place}" for place in range(30))
        queue.deliver(claim, accepted_file(claim.job, f"# {words}\n"))


def test_seed_documents_are_those_of_the_streams_best_first(seeded: Catalog) -> None:
    best = load_seed_documents(seeded, "scored/*")
    assert len(best) == 5
    assert best == load_seed_documents(seeded, "documents/*", "python")[:5]


def test_an_order_is_filled_exactly_and_then_nothing_is_queued(seeded: Catalog) -> None:
    queue = MemoryJobQueue()
    place_order(seeded, "scored/*", files=12)
    plan = planner(seeded, queue, most_queued=8)
    assert plan.tick() == 8
    assert plan.tick() == 0  # the queue is short
    for _ in range(3):
        work_off(queue)
        Publishing(seeded, queue, max_wait_s=0).tick()
        plan.tick()
    assert plan.accepted == 12
    assert queue.depth() == (0, 0, 0)


def test_a_rejected_job_is_replaced_by_another(seeded: Catalog) -> None:
    queue = MemoryJobQueue()
    place_order(seeded, "scored/*", files=3)
    plan = planner(seeded, queue)
    assert plan.tick() == 3
    claims = queue.claim("w", count=3, silent_ms=10_000)
    for claim in claims:
        queue.reject_job(claim, Reason.CUT_OFF, "")
    assert plan.tick() == 3
    others = queue.claim("w", count=3, silent_ms=10_000)
    assert not {claim.job.identity for claim in claims} & {claim.job.identity for claim in others}


def test_what_redis_lost_is_planned_again_under_the_same_identities(seeded: Catalog) -> None:
    place_order(seeded, "scored/*", files=5)
    before, after = MemoryJobQueue(), MemoryJobQueue()
    planner(seeded, before).tick()
    planner(seeded, after).tick()
    assert {claim.job for claim in before.claim("w", count=9, silent_ms=0)} == {
        claim.job for claim in after.claim("w", count=9, silent_ms=0)
    }


def test_demand_of_a_run_is_planned_until_it_is_there(seeded: Catalog) -> None:
    tokenizer = seeded.streams("scored/*")[0].tokenizer
    seeded.create_stream("synthetic/python", seq_len=64, tokenizer=tokenizer)
    mixture = Mixtures(seeded).apply(MIXTURE)
    Runs(seeded).create("alpha", mixture=mixture, seed=1, global_batch=4, num_steps=20)
    queue = MemoryJobQueue()
    waiting = Planner(seeded, queue, model=lambda: None, say=[].append)
    assert waiting.tick() == 0
    assert tokens_of(waiting.needs)["python"] > 0  # said also while no worker lives
    plan = planner(seeded, queue)
    plan.tick()
    assert [want.purpose for want in plan.wants()] == ["demand/python"]
    while (queued := plan.tick()) or queue.depth().waiting:
        work_off(queue)
        Publishing(seeded, queue, max_wait_s=0).tick()
        assert queued <= 64
    assert plan.wants() == []
    assert seeded.stream("synthetic/python").samples >= 40


def test_nothing_is_planned_while_the_pool_drains(seeded: Catalog) -> None:
    place_order(seeded, "scored/*", files=3)
    pool.set_wanted(seeded, 2)
    pool.set_draining(seeded)
    assert pool.wanted(seeded) == 2
    assert planner(seeded, MemoryJobQueue()).tick() == 0
    pool.set_wanted(seeded, 2)
    assert planner(seeded, MemoryJobQueue()).tick() == 3


def test_a_pool_that_drains_is_scaled_to_zero_only_when_nothing_is_on_its_way(seeded: Catalog) -> None:
    queue = MemoryJobQueue()
    place_order(seeded, "scored/*", files=3)
    pool.set_wanted(seeded, 2)
    plan = planner(seeded, queue)
    plan.tick()
    pool.set_draining(seeded)
    plan.tick()
    assert (pool.wanted(seeded), pool.draining(seeded)) == (2, True)
    work_off(queue)
    plan.tick()
    assert pool.draining(seeded)  # the files are not published
    Publishing(seeded, queue, max_wait_s=0).tick()
    plan.tick()
    assert (pool.wanted(seeded), pool.draining(seeded)) == (0, True)


def test_a_drained_pool_plans_nothing_until_somebody_scales_it(seeded: Catalog) -> None:
    place_order(seeded, "scored/*", files=3)
    pool.set_wanted(seeded, 2)
    pool.set_draining(seeded)
    plan = planner(seeded, MemoryJobQueue())
    assert [plan.tick() for _ in range(3)] == [0, 0, 0]
    assert pool.wanted(seeded) == 0
    pool.set_wanted(seeded, 1)
    assert plan.tick() == 3


def test_a_pool_that_was_scaled_while_it_drained_goes_on(seeded: Catalog) -> None:
    pool.set_wanted(seeded, 2)
    pool.set_draining(seeded)
    pool.set_wanted(seeded, 3)
    pool.end_draining(seeded)
    assert (pool.wanted(seeded), pool.draining(seeded)) == (3, False)


def test_used_up_seed_documents_are_said_once(seeded: Catalog) -> None:
    said: list[str] = []
    place_order(seeded, "scored/*", files=1000)
    queue = MemoryJobQueue()
    plan = planner(seeded, queue, said, most_queued=10_000)
    assert plan.tick() == 5 * MOST_PER_SEED
    for claim in queue.claim("w", count=1000, silent_ms=0):
        queue.reject_job(claim, Reason.EMPTY, "")
    assert plan.tick() == plan.tick() == plan.tick() == 0
    assert len([line for line in said if "1000 files are missing" in line]) == 1


@pytest.mark.parametrize(
    ("glob", "files", "language", "words"),
    [
        ("scored/*", 0, None, "below 1"),
        ("nothing/*", 1, None, "no stream with documents matches 'nothing/"),
        ("scored/*", 1, "go", "of language go .*languages there: python"),
        ("heldout/*", 1, None, "never seed documents"),
    ],
)
def test_an_order_that_gives_nothing_is_refused(
    seeded: Catalog, glob: str, files: int, language: str | None, words: str
) -> None:
    with pytest.raises(OrderError, match=words):
        place_order(seeded, glob, files=files, language=language)


def test_held_out_samples_of_another_length_give_no_seed_documents_either(seeded: Catalog) -> None:
    scored = next(stream for stream in seeded.match("scored/*") if stream.kind == "tokens")
    part = scored.parts[0]
    spans = read_sidecar(seeded.store, part).to_pylist()
    rows = np.zeros((part.samples, scored.seq_len or 0), np.uint16)
    for kind in ("heldout-512", "scored-512"):
        seeded.append(f"{kind}/python", rows, seq_len=scored.seq_len or 0, documents=spans)
    assert [stream.name for stream in seed_streams(seeded, "*-512/*")] == ["scored-512/python"]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=8), st.integers(-3, 60))
def test_counts_never_pass_what_is_missing_or_the_room(pairs: list[tuple[int, int]], room: int) -> None:
    wants = [Want(purpose=str(place), glob="*", language=None, files=files) for place, (files, _) in enumerate(pairs)]
    on_the_way = {str(place): there for place, (_, there) in enumerate(pairs)}
    counts = choose_counts(wants, on_the_way, room=room)
    missing = [max(0, files - there) for files, there in pairs]
    assert all(count <= most for count, most in zip(counts, missing, strict=True))
    assert sum(counts) == min(max(0, room), sum(missing))


def test_files_are_counted_by_their_mean_length() -> None:
    assert count_files(1001, published_tokens=0, published_files=0) == 2
    assert count_files(1000, published_tokens=300, published_files=3) == 10


def test_where_nearly_no_job_gives_a_file_one_at_a_time_is_planned_until_some_do(seeded: Catalog) -> None:
    queue, said = MemoryJobQueue(), list[str]()
    place_order(seeded, "scored/*", files=70)
    plan = planner(seeded, queue, said)
    assert plan.tick() == JUDGED
    for claim in queue.claim("w", count=100, silent_ms=10_000):
        queue.reject_job(claim, Reason.EMPTY, "")
    assert [plan.tick() for _ in range(3)] == [1, 0, 0]
    assert "0 gave a file" in plan.says
    assert [line for line in said if "0 gave a file" in line] == [plan.says]
    ended = 0
    while plan.says:  # the engine answers again
        work_off(queue)
        ended += 1
        plan.tick()
    assert ended < JUDGED
    assert queue.depth().waiting > 1


def test_what_is_revived_is_planned_again_by_a_planner_that_runs(seeded: Catalog) -> None:
    queue = MemoryJobQueue()
    place_order(seeded, "scored/*", files=5 * MOST_PER_SEED)
    plan = planner(seeded, queue, most_queued=5 * MOST_PER_SEED)
    assert plan.tick() == 5 * MOST_PER_SEED
    for claim in queue.claim("w", count=1000, silent_ms=10_000):
        queue.bury(claim, "refused")
    assert plan.tick() == 0
    assert queue.revive() == 5 * MOST_PER_SEED
    assert plan.tick() > 1
    assert not plan.says


def test_a_brake_looks_at_the_last_jobs_alone_and_begins_anew_after_a_wiped_redis() -> None:
    brake = Brake()
    assert not brake.note(Ends(delivered=10_000))
    assert not brake.note(Ends(delivered=10_000, refused=JUDGED - 1))
    assert "63 were rejected and 1 are dead" in brake.note(Ends(delivered=10_000, refused=JUDGED - 1, buried=1))
    assert not brake.note(Ends(delivered=3))
    assert not brake.note(Ends(delivered=3, refused=60))
    assert brake.note(Ends(delivered=3, refused=300))
    assert not brake.note(Ends(delivered=3, refused=300, revivals=1))


def test_recipes_share_the_files_and_each_takes_its_own_seed_documents(seeded: Catalog) -> None:
    queue = MemoryJobQueue()
    mine = parse_recipe(
        'name = "mine"\nversion = 3\nshare = 3\nmost_per_seed = 9\nprompt = "{language} {seed} {variation}"\n', name="mine"
    )
    add_recipe(seeded, mine)
    place_order(seeded, "scored/*", files=40)
    plan = planner(seeded, queue)
    assert plan.tick() == 40
    assert queue.on_the_way() == {("order/0", "mine/3"): 30, ("order/0", "oss-instruct-file/1"): 10}
    work_off(queue)
    Publishing(seeded, queue, max_wait_s=0).tick()
    set_shares(seeded, {"mine": 1})
    place_order(seeded, "scored/*", files=20)
    plan.tick()
    assert queue.on_the_way() == {("order/1", "oss-instruct-file/1"): 20}  # until both have 30


def test_jobs_say_what_their_recipe_asks_and_where_their_seed_comes_from(seeded: Catalog) -> None:
    queue = MemoryJobQueue()
    place_order(seeded, "scored/*", files=6)
    planner(seeded, queue).tick()
    jobs = [claim.job for claim in queue.claim("w", count=9, silent_ms=1)]
    assert {(job.repository, job.license, job.recipe) for job in jobs} == {("stdlib", "PSF-2.0", "oss-instruct-file/1")}
    again = next(job for job in jobs if job.index == 1)
    first = next(job for job in jobs if job.index == 0 and job.seed_document == again.seed_document)
    assert first.identity != again.identity
    assert len(first.text) <= 6000


def test_what_a_recipe_without_seeds_cannot_give_the_others_do(seeded: Catalog) -> None:
    queue = MemoryJobQueue()
    mine = parse_recipe(
        'name = "mine"\nversion = 1\nshare = 9\nmost_per_seed = 1\nprompt = "{language} {seed} {variation}"\n', name="mine"
    )
    add_recipe(seeded, mine)
    place_order(seeded, "scored/*", files=40)
    plan = planner(seeded, queue)
    plan.tick()
    assert queue.on_the_way() == {("order/0", "mine/1"): 5, ("order/0", "oss-instruct-file/1"): 35}
    assert plan.tick() == 0
