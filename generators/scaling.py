"""Who works in the pool now: registrations in Redis, and the pool's state that the dashboard reads.

Always holds: a worker that has not registered for 15 s of Redis's clock is not shown; all of it may be lost.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from generators.queue.redis_job_queue import RedisJobQueue
from mixer.pool.pool import STATE_EXPIRES_S, PoolRates, PoolState, Supply, WorkerState, state_key

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
    """How fast synthetic tokens come, over the last ten minutes."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, dict[str, int]]] = deque()

    def note(self, now_ms: int, missing: Mapping[str, int], published: Mapping[str, int]) -> list[Supply]:
        """Args: missing and published, tokens by language as they are now."""
        self._seen.append((now_ms, dict(published)))
        while len(self._seen) > 2 and now_ms - self._seen[1][0] >= SUPPLY_MS:
            self._seen.popleft()
        then_ms, before = self._seen[0]
        minutes = max(now_ms - then_ms, MEASURED_MS) / MINUTE_MS
        found = []
        for language in sorted({*missing, *published}):
            lacking, there = missing.get(language, 0), published.get(language, 0)
            rate = (there - before.get(language, 0)) / minutes
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
        return found


def report_pool(
    queue: RedisJobQueue, rates: Rates, *, accepted: int, says: str = "", supply: Sequence[Supply] = ()
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
        engine_label=", ".join(sorted({worker.engine for worker in workers})),
    )
    queue.ask(queue.client.set, state_key(queue.keys), msgspec.json.encode(state), ex=STATE_EXPIRES_S)
    return state
