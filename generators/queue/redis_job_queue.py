"""The way of a job in Redis: two Redis Streams with a consumer group each. Nothing needs more than Redis 6.2.

Always holds: silence and age are judged by Redis's clock alone; each change is one transaction; a wiped Redis is an empty
queue, not an error.

    :queue     stream  jobs; group "workers"; what is closed or delivered is deleted, so XLEN is what is left
    :files     stream  files that wait to be published; group "publishers"
    :on_way    hash    identity to purpose and recipe, from `add` to the end
    :rejected:XXXX  hash  the identities, but for their first four digits, of rejected jobs; :rejections  reason to count
    :rejected_files  list  the last 200 of them, whose format mixer owns
    :dead      hash    identity to job, without its text, and reason
    :root      string  the address of the root, while a planner or publisher is at work: copies of a root share its identity
    :ends      hash    how many jobs were delivered, refused by a gate, and buried, also of each language and recipe; and how
                       often dead letters were revived
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import msgspec
import redis

from generators.errors import QueueError
from generators.queue import job_queue
from generators.queue.job import AcceptedFile, Job, Reason, rejected_file, rejected_job
from generators.queue.job_queue import Claim, DeadJob, Depth, Ends, Known, Waiting
from mixer.pool import pool
from mixer.pool.files import MOST_KEPT, RejectedFile, Values, rejected_key
from streamer.catalog.catalog import Catalog
from streamer.wording import without_secrets

WORKERS, PUBLISHERS = "workers", "publishers"
OWNED_MS = 30_000
MOST_UNPUBLISHED = 4096  # beyond this no job is claimed: publishing is behind
JOB, FILE = msgspec.json.Decoder(Job), msgspec.json.Decoder(AcceptedFile)


class RedisJobQueue:
    """Raises: QueueError when Redis does not answer."""

    def __init__(self, url: str, keys: str, *, max_length: int = 8192) -> None:
        self.url, self.keys, self._max_length = url, keys, max_length
        try:
            self.client: Any = redis.Redis.from_url(url, socket_timeout=5.0)
        except ValueError as error:
            raise QueueError(
                f"{without_secrets(url)} cannot be the address of a Redis; give redis://HOST:PORT/DATABASE, rediss://... "
                "or unix://PATH"
            ) from error
        names = ("queue", "files", "on_way", "rejected", "rejections", "dead", "ends")
        self._queue, self._files, self._on_way, self._rejected, self._rejections, self._dead, self._ends = (
            f"{keys}:{name}" for name in names
        )
        self._rejected_files = rejected_key(keys)
        self._local = threading.local()
        scripts = files("generators.queue").joinpath("lua")
        self._add, self._take, self._give_back = (
            self.client.register_script(scripts.joinpath(f"{name}.lua").read_text())
            for name in ("add_jobs", "take", "give_back")
        )

    def own(self, url: str) -> None:
        """Says that a planner or publisher of the root at `url` is at work. Raises: QueueError when one of a copy is."""
        key = f"{self.keys}:root"
        if not self.ask(self.client.set, key, url, nx=True, px=OWNED_MS):
            owner = self.ask(self.client.get, key)
            if owner not in (None, url.encode()):
                raise QueueError(
                    f"root {url} is a copy of {owner.decode()}, whose pool uses this Redis; give this one a Redis or a "
                    "database of its own with --redis, or reach the root by the same path"
                )
            self.ask(self.client.set, key, url, px=OWNED_MS)

    # jobs

    def add(self, *jobs: Job) -> int:
        words = [word for job in jobs for word in (job.identity, f"{job.purpose} {job.recipe}", msgspec.json.encode(job))]
        return int(self.ask(self._add, keys=[self._queue, self._on_way], args=[self._max_length, *words]))

    def claim(self, worker: str, *, count: int, silent_ms: int) -> list[Claim]:
        found = self._read(self._queue, WORKERS, worker, count, silent_ms, most_unpublished=MOST_UNPUBLISHED)
        return [Claim(entry.decode(), JOB.decode(data), deliveries) for entry, (_, data), deliveries in found]

    def beat(self, worker: str, entries: list[str]) -> None:
        self._beat(self._queue, WORKERS, worker, entries)

    def release(self, claims: list[Claim]) -> None:
        if claims:
            words = [word for claim in claims for word in (claim.entry, msgspec.json.encode(claim.job))]
            self.ask(self._give_back, keys=[self._queue], args=[WORKERS, *words])

    def withdraw(self, claim: Claim) -> None:
        def change(transaction: Any) -> None:
            transaction.xack(self._queue, WORKERS, claim.entry)
            transaction.xdel(self._queue, claim.entry)
            transaction.hdel(self._on_way, claim.job.identity)

        self._change(change)

    def deliver(self, claim: Claim, file: AcceptedFile) -> None:
        def change(transaction: Any) -> None:
            transaction.xadd(self._files, {"file": msgspec.json.encode(file)})
            self._end(transaction, "delivered", file.document.language, file.origin.recipe)
            transaction.xack(self._queue, WORKERS, claim.entry)
            transaction.xdel(self._queue, claim.entry)

        self._change(change)

    def reject_job(self, claim: Claim, reason: str, text: str, values: Values | None = None) -> None:
        self._reject(self._queue, WORKERS, claim.entry, rejected_job(claim.job, reason, text, now_ms(), values))

    def bury(self, claim: Claim, why: str) -> None:
        is_full = self.count_dead() >= job_queue.MOST_DEAD

        def change(transaction: Any) -> None:
            transaction.xack(self._queue, WORKERS, claim.entry)
            transaction.xdel(self._queue, claim.entry)
            transaction.hdel(self._on_way, claim.job.identity)
            letter = DeadJob(msgspec.structs.replace(claim.job, text="", prompt=""), why)
            if is_full:
                transaction.hset(*self._place_of(claim.job.identity), b"")
            else:
                transaction.hset(self._dead, claim.job.identity, msgspec.json.encode(letter))
            self._end(transaction, "buried", claim.job.language, claim.job.recipe)

        self._change(change)

    def dead(self) -> list[DeadJob]:
        return [msgspec.json.decode(data, type=DeadJob) for data in self.ask(self.client.hvals, self._dead)]

    def count_dead(self) -> int:
        return int(self.ask(self.client.hlen, self._dead))

    def revive(self) -> int:
        def change(transaction: Any) -> None:
            transaction.hlen(self._dead)
            transaction.delete(self._dead)
            transaction.hincrby(self._ends, "revivals", 1)

        return int(self._change(change)[0])

    # files

    def take(self, publisher: str, *, count: int, silent_ms: int) -> list[Waiting]:
        found = self._read(self._files, PUBLISHERS, publisher, count, silent_ms)
        return [Waiting(entry.decode(), FILE.decode(data), int(entry.split(b"-")[0])) for entry, (_, data), _ in found]

    def keep(self, publisher: str, entries: list[str]) -> None:
        self._beat(self._files, PUBLISHERS, publisher, entries)

    def reject_file(self, waiting: Waiting, reason: str, values: Values | None = None) -> None:
        self._reject(self._files, PUBLISHERS, waiting.entry, rejected_file(waiting.file, reason, now_ms(), values))

    def published(self, waiting: list[Waiting]) -> None:
        def change(transaction: Any) -> None:
            entries = [one.entry for one in waiting]
            transaction.xack(self._files, PUBLISHERS, *entries)
            transaction.xdel(self._files, *entries)
            transaction.hdel(self._on_way, *(one.file.identity for one in waiting))

        if waiting:
            self._change(change)

    # what is there

    def clock_ms(self) -> int:
        seconds, microseconds = self.ask(self.client.time)
        return int(seconds) * 1000 + int(microseconds) // 1000

    def depth(self) -> Depth:
        def read() -> Depth:
            running = int(self.client.xpending(self._queue, WORKERS)["pending"])
            waiting = int(self.client.xlen(self._queue)) - running
            return Depth(max(0, waiting), running, int(self.client.xlen(self._files)))

        depth: Depth = self._grouped(self._queue, WORKERS, read)
        return depth

    def on_the_way(self) -> Counter[tuple[str, str]]:
        found = (words.decode().partition(" ") for words in self.ask(self.client.hvals, self._on_way))
        return Counter((purpose, recipe) for purpose, _, recipe in found)

    def known(self, identities: list[str]) -> Known:
        if not identities:
            return Known(set(), set())

        def read(transaction: Any) -> None:
            transaction.hmget(self._dead, identities)
            transaction.hmget(self._on_way, identities)
            for identity in identities:
                transaction.hexists(*self._place_of(identity))

        dead, on_way, *rejected = self._change(read)
        closed = {name for name, *found in zip(identities, rejected, dead, strict=True) if any(found)}
        return Known(closed, {name for name, found in zip(identities, on_way, strict=True) if found})

    def ends(self) -> Ends:
        counts = self.ask(self.client.hmget, self._ends, Ends._fields)
        return Ends(*(int(count or 0) for count in counts))

    def ends_by_recipe(self) -> dict[tuple[str, str], Ends]:
        found: dict[tuple[str, str], dict[str, int]] = {}
        for name, count in self.ask(self.client.hgetall, self._ends).items():
            how, _, words = name.decode().partition(" ")
            if words:
                language, _, recipe = words.partition(" ")
                found.setdefault((language, recipe), {})[how] = int(count)
        return {words: Ends(**counts) for words, counts in found.items()}

    def rejections(self) -> Counter[str]:
        counts = self.ask(self.client.hgetall, self._rejections)
        return Counter({reason.decode(): int(count) for reason, count in counts.items()})

    def rejected_files(self) -> list[RejectedFile]:
        kept = self.ask(self.client.lrange, self._rejected_files, 0, -1)
        return [msgspec.json.decode(data, type=RejectedFile) for data in kept]

    # calls

    def _place_of(self, identity: str) -> tuple[str, bytes]:
        """The hash and the field of a rejected identity. Small hashes take a quarter of what one set does."""
        return f"{self._rejected}:{identity[:4]}", bytes.fromhex(identity[4:])

    @contextmanager
    def at_once(self) -> Iterator[None]:
        transaction = self.client.pipeline(transaction=True)
        self._local.together = transaction
        try:
            yield
        finally:
            self._local.together = None
        if transaction:
            self.ask(transaction.execute)

    def _read(
        self, stream: str, group: str, name: str, count: int, silent_ms: int, *, most_unpublished: int = 1 << 53
    ) -> list[Any]:
        """(entry, its one field, deliveries) for `name`: first those whose holder is silent, then new ones."""
        if count < 1:
            return []
        words: list[str | int] = [group, name, count, silent_ms, most_unpublished]
        entries: list[Any] = self._grouped(stream, group, lambda: self._take(keys=[stream, self._files], args=words))
        return entries

    def _beat(self, stream: str, group: str, name: str, entries: list[str]) -> None:
        if entries:  # a claim of one's own, without counting as a delivery, sets its idle time
            self._grouped(stream, group, lambda: self.client.xclaim(stream, group, name, 0, entries, justid=True))

    def _reject(self, stream: str, group: str, entry: str, file: RejectedFile) -> None:
        def change(transaction: Any) -> None:
            transaction.xack(stream, group, entry)
            transaction.xdel(stream, entry)
            transaction.hdel(self._on_way, file.id)
            if file.reason != Reason.NOT_WANTED:
                transaction.hset(*self._place_of(file.id), b"")
                self._end(transaction, "refused", file.language, file.recipe)
                if stream == self._files:  # it was counted as delivered
                    self._end(transaction, "delivered", file.language, file.recipe, -1)
            transaction.hincrby(self._rejections, file.reason, 1)
            transaction.lpush(self._rejected_files, msgspec.json.encode(file))
            transaction.ltrim(self._rejected_files, 0, MOST_KEPT - 1)

        self._change(change)

    def _end(self, transaction: Any, how: str, language: str, recipe: str, count: int = 1) -> None:
        for name in (how, f"{how} {language} {recipe}"):
            transaction.hincrby(self._ends, name, count)

    def _change(self, change: Any) -> list[Any]:
        """One MULTI/EXEC of what `change` asks for, or a part of one within `at_once`; then nothing is answered."""
        together: Any = getattr(self._local, "together", None)
        if together is not None:
            change(together)
            return []
        transaction = self.client.pipeline(transaction=True)
        change(transaction)
        answers: list[Any] = self.ask(transaction.execute)
        return answers

    def _grouped(self, stream: str, group: str, call: Any) -> Any:
        """Calls; makes the group first where Redis has none, as when it is new or was wiped."""
        try:
            return self.ask(call)
        except redis.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
        try:
            self.ask(self.client.xgroup_create, stream, group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        return self.ask(call)

    def ask(self, call: Any, *arguments: Any, **named: Any) -> Any:
        """Calls Redis. Raises: QueueError when it does not answer, or refuses, as for lack of memory or a password."""
        try:
            return call(*arguments, **named)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            if isinstance(error, redis.AuthenticationError):
                raise self._refused(error) from error
            raise QueueError(
                f"Redis at {without_secrets(self.url)} does not answer: {type(error).__name__}; start it, or give --redis"
            ) from error
        except redis.ResponseError as error:
            if any(word in str(error) for word in ("NOGROUP", "BUSYGROUP")):
                raise
            raise self._refused(error) from error

    def _refused(self, error: redis.RedisError) -> QueueError:
        said = " ".join(str(error).split())[:200]
        return QueueError(f"Redis at {without_secrets(self.url)} refuses: {said}; mend that, and the pool goes on by itself")


def now_ms() -> int:
    """For people to read; what the queue decides by is Redis's clock."""
    return int(time.time() * 1000)


def queue_of(catalog: Catalog, url: str) -> RedisJobQueue:
    """The queue of a root's pool. Raises: QueueError for an address that is none."""
    catalog.store.opened.claim()
    keys = pool.keys_of(catalog)
    assert keys is not None
    return RedisJobQueue(url, keys)
