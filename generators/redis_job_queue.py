"""The queue of jobs in Redis: a Redis Stream with one consumer group. Nothing needs more than Redis 6.2.

Always holds: silence is judged by Redis's clock alone; a wiped Redis is an empty queue, not an error.
"""

from importlib.resources import files
from typing import Any

import msgspec
import redis

from generators.errors import QueueError
from generators.job import Job
from generators.job_queue import Claim, Depth

GROUP = "workers"


class RedisJobQueue:
    """Raises: QueueError when Redis does not answer."""

    def __init__(self, url: str, *, pool: str = "generators", max_length: int = 1024) -> None:
        self._url, self._max_length = url, max_length
        self._client: Any = redis.Redis.from_url(url, socket_timeout=5.0)
        self._queue, self._queued = f"phasemix:{{{pool}}}:queue", f"phasemix:{{{pool}}}:queued"
        self._add, self._finish = (self._client.register_script(script(name)) for name in ("add_job", "finish_job"))

    def add(self, job: Job) -> bool:
        data = msgspec.json.encode(job)
        return bool(self._ask(self._add, keys=[self._queue, self._queued], args=[job.identity, data, self._max_length]) == 1)

    def claim(self, worker: str, *, count: int, silent_ms: int) -> list[Claim]:
        claims: list[Claim] = self._grouped(lambda: self._claim(worker, count, silent_ms))
        return claims

    def _claim(self, worker: str, count: int, silent_ms: int) -> list[Claim]:
        client = self._client
        _, old, *_ = client.xautoclaim(self._queue, GROUP, worker, min_idle_time=silent_ms, start_id="0-0", count=count)
        old = [(entry, fields) for entry, fields in old if fields]  # 6.2 answers nil for entries that were deleted
        new: list[Any] = []
        if count > len(old):
            answer = client.xreadgroup(GROUP, worker, {self._queue: ">"}, count=count - len(old))
            new = answer[0][1] if answer else []
        found = []
        for entry, fields in [*old, *new]:
            pending = client.xpending_range(self._queue, GROUP, entry, entry, 1)
            deliveries = int(pending[0]["times_delivered"]) if pending else 1
            found.append(Claim(entry.decode(), msgspec.json.decode(fields[b"job"], type=Job), deliveries))
        return found

    def beat(self, worker: str, entries: list[str]) -> None:
        if entries:  # a claim of one's own, without counting as a delivery, sets its idle time to zero
            self._grouped(lambda: self._client.xclaim(self._queue, GROUP, worker, 0, entries, justid=True))

    def finish(self, claim: Claim) -> None:
        self._ask(self._finish, keys=[self._queue, self._queued], args=[GROUP, claim.entry, claim.job.identity])

    def depth(self) -> Depth:
        def read() -> Depth:
            running = int(self._client.xpending(self._queue, GROUP)["pending"])
            return Depth(max(0, int(self._client.xlen(self._queue)) - running), running)

        depth: Depth = self._grouped(read)
        return depth

    def _grouped(self, call: Any) -> Any:
        """Calls; makes the group first where Redis has none, as when it is new or was wiped."""
        try:
            return self._ask(call)
        except redis.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
        try:
            self._ask(self._client.xgroup_create, self._queue, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        return self._ask(call)

    def _ask(self, call: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return call(*arguments, **named)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise QueueError(
                f"Redis at {self._url} does not answer: {type(error).__name__}; start it, or give --redis"
            ) from error


def script(name: str) -> str:
    return files("generators").joinpath("lua", f"{name}.lua").read_text()
