"""Who works in the pool now: registrations in Redis, and the pool's state that the dashboard reads.

Always holds: a worker that has not registered for 15 s of Redis's clock is not shown; all of it may be lost.
"""

from collections.abc import Callable

import msgspec

from generators.redis_job_queue import RedisJobQueue
from mixer.pool import STATE_EXPIRES_S, PoolState, WorkerState, state_key

GONE_MS = 15_000
WORKERS = "phasemix:{generators}:workers"


class Registration(msgspec.Struct, frozen=True):
    """What a worker said, and when by Redis's clock."""

    at_ms: int
    state: WorkerState


def register(queue: RedisJobQueue) -> Callable[[WorkerState], None]:
    """Notes a worker's state."""

    def note(state: WorkerState) -> None:
        registration = msgspec.json.encode(Registration(queue.clock_ms(), state))
        queue.ask(queue.client.hset, WORKERS, state.name, registration)

    return note


def unregister(queue: RedisJobQueue, name: str) -> None:
    """A worker that ended in order is gone at once."""
    queue.ask(queue.client.hdel, WORKERS, name)


def load_workers(queue: RedisJobQueue) -> list[WorkerState]:
    """The workers that live, by name; those long gone are forgotten."""
    now_ms = queue.clock_ms()
    found = []
    for name, data in sorted(queue.ask(queue.client.hgetall, WORKERS).items()):
        registration = msgspec.json.decode(data, type=Registration)
        if now_ms - registration.at_ms < GONE_MS:
            found.append(registration.state)
        else:
            queue.ask(queue.client.hdel, WORKERS, name)
    return found


def report_pool(queue: RedisJobQueue, *, accepted: int) -> PoolState:
    """Writes the pool's state for 30 s."""
    workers, depth = load_workers(queue), queue.depth()
    state = PoolState(
        workers=workers,
        queue_waiting=depth.waiting,
        queue_running=depth.running,
        unpublished=depth.unpublished,
        accepted=accepted,
        rejected=dict(queue.rejections()),
        engine_label=", ".join(sorted({worker.engine for worker in workers})),
    )
    queue.ask(queue.client.set, state_key(), msgspec.json.encode(state), ex=STATE_EXPIRES_S)
    return state
