"""Who works in the pool now: registrations in Redis, and the pool's state that the dashboard reads.

Always holds: a worker that has not registered for 15 s of Redis's clock is not shown; all of it may be lost.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from generators.queue.job_queue import Ends
from generators.queue.redis_job_queue import RedisJobQueue
from mixer.pool.pool import STATE_EXPIRES_S, PoolRates, PoolState, RecipeSupply, RunSupply, Supply, WorkerState, state_key
from mixer.runs.demand import Need, tokens_of

GONE_MS = 15_000
MINUTE_MS, MEASURED_MS = 60_000, 5_000  # a rate is one over so long, or at least
SUPPLY_MS = 10 * MINUTE_MS
WORKERS = "workers"  # a hash of registrations, below the pool's keys


class Registration(msgspec.Struct, frozen=True):
    """What a worker said, and when by Redis's clock."""

    at_ms: int
    state: WorkerState


def key_of(queue: RedisJobQueue) -> str:
    return f"{queue.keys}:{WORKERS}"


def register(queue: RedisJobQueue) -> Callable[[WorkerState], None]:
    """Notes a worker's state."""

    def note(state: WorkerState) -> None:
        registration = msgspec.json.encode(Registration(queue.clock_ms(), state))
        queue.ask(queue.client.hset, key_of(queue), state.name, registration)

    return note


def unregister(queue: RedisJobQueue, name: str) -> None:
    """A worker that ended in order is gone at once."""
    queue.ask(queue.client.hdel, key_of(queue), name)


def load_workers(queue: RedisJobQueue) -> list[WorkerState]:
    """The workers that live, by name; those long gone are forgotten."""
    now_ms = queue.clock_ms()
    found = []
    for name, data in sorted(queue.ask(queue.client.hgetall, key_of(queue)).items()):
        registration = msgspec.json.decode(data, type=Registration)
        if now_ms - registration.at_ms < GONE_MS:
            found.append(registration.state)
        else:
            queue.ask(queue.client.hdel, key_of(queue), name)
    return found


def models_of(workers: Iterable[WorkerState], *, but: str = "") -> Counter[str]:
    """The models that workers serve, with how many do; `but`: a worker that is left out."""
    return Counter(worker.engine for worker in workers if worker.engine and worker.name != but)


class Rates:
    """Files a minute out of counts that only grow, or begin anew with another process or Redis."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int, dict[str, int]]] = deque()

    def note(self, now_ms: int, accepted: int, rejected: Mapping[str, int]) -> PoolRates:
        """The rates over the last minute, with the counts as they are now."""
        if self._seen and (accepted < self._seen[-1][1] or sum(rejected.values()) < sum(self._seen[-1][2].values())):
            self._seen.clear()
        self._seen.append((now_ms, accepted, dict(rejected)))
        while len(self._seen) > 2 and now_ms - self._seen[1][0] >= MINUTE_MS:
            self._seen.popleft()
        then_ms, before, refused = self._seen[0]
        minutes = max(now_ms - then_ms, MEASURED_MS) / MINUTE_MS
        return PoolRates(
            accepted_per_min=round((accepted - before) / minutes, 2),
            rejected_per_min={
                reason: round((count - refused.get(reason, 0)) / minutes, 2) for reason, count in sorted(rejected.items())
            },
        )


class Supplies:
    """How fast synthetic tokens come, and how fast runs draw them, over the last ten minutes."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, dict[str, int], dict[str, int]]] = deque()

    def note(self, now_ms: int, needs: Sequence[Need], published: Mapping[str, int]) -> tuple[list[Supply], list[RunSupply]]:
        """Args: needs, of live runs, and published, tokens by language, as they are now."""
        self._seen.append((now_ms, dict(published), {need.run: need.end_step for need in needs}))
        while len(self._seen) > 2 and now_ms - self._seen[1][0] >= SUPPLY_MS:
            self._seen.popleft()
        then_ms, before, _ = self._seen[0]
        minutes = max(now_ms - then_ms, MEASURED_MS) / MINUTE_MS
        missing, rates, found = tokens_of(needs), dict[str, float](), list[Supply]()
        for language in sorted({*missing, *published}):
            lacking, there = missing.get(language, 0), published.get(language, 0)
            rates[language] = rate = (there - before.get(language, 0)) / minutes
            left = 0.0 if not lacking else lacking / rate * MINUTE_MS / 1000 if rate > 0 else None
            found.append(
                Supply(
                    language=language,
                    missing_tokens=lacking,
                    published_tokens=there,
                    tokens_per_min=round(rate, 1),
                    time_left_s=None if left is None else round(left, 1),
                )
            )
        return found, [self._run_supply(now_ms, need, rates[need.language]) for need in needs]

    def _run_supply(self, now_ms: int, need: Need, tokens_per_min: float) -> RunSupply:
        """`tokens_per_min`: of the stream that the run draws from."""
        then_ms, before = next((at_ms, steps[need.run]) for at_ms, _, steps in self._seen if need.run in steps)
        steps_per_min = (need.end_step - before) / (max(now_ms - then_ms, MEASURED_MS) / MINUTE_MS)
        starves_in_s = need.starves_in_s(steps_per_min / 60, tokens_per_min / 60)
        return RunSupply(
            run=need.run,
            language=need.language,
            left_tokens=max(0, need.left_samples) * need.seq_len,
            drawn_per_min=round(steps_per_min * need.samples_per_step * need.seq_len, 1),
            starves_in_s=None if starves_in_s is None else round(starves_in_s, 1),
        )


def recipe_supplies(
    ends: Mapping[tuple[str, str], Ends], costs: Mapping[tuple[str, str], tuple[int, int]]
) -> list[RecipeSupply]:
    """Args: by language and version of a recipe, how jobs ended, and the tokens written for published ones, and these."""
    found = []
    for language, recipe in sorted({*ends, *costs}):
        delivered, refused, buried, _ = ends.get((language, recipe), Ends())
        written, published = costs.get((language, recipe), (0, 0))
        found.append(
            RecipeSupply(
                language=language,
                recipe=recipe,
                ended=delivered + refused + buried,
                accepted=delivered,
                published_tokens=published,
                written_per_token=round(written / published, 3) if written and published else None,
            )
        )
    return found


def report_pool(
    queue: RedisJobQueue,
    rates: Rates,
    *,
    accepted: int,
    says: str = "",
    supply: Sequence[Supply] = (),
    runs: Sequence[RunSupply] = (),
    costs: Mapping[tuple[str, str], tuple[int, int]] | None = None,
) -> PoolState:
    """Writes the pool's state for 30 s."""
    ends = queue.ends()
    ended = ends.delivered + ends.refused + ends.buried
    workers, depth, rejected = load_workers(queue), queue.depth(), dict(queue.rejections())
    state = PoolState(
        workers=workers,
        queue_waiting=depth.waiting,
        queue_running=depth.running,
        unpublished=depth.unpublished,
        accepted=accepted,
        rejected=rejected,
        rates=rates.note(queue.clock_ms(), accepted, rejected),
        dead=queue.count_dead(),
        says=says,
        files_per_job=round(ends.delivered / ended, 4) if ended else None,
        supply=list(supply),
        runs=list(runs),
        recipes=recipe_supplies(queue.ends_by_recipe(), costs or {}),
        engine_label=", ".join(sorted({worker.engine for worker in workers})),
    )
    queue.ask(queue.client.set, state_key(queue.keys), msgspec.json.encode(state), ex=STATE_EXPIRES_S)
    return state
