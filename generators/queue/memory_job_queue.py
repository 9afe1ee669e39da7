"""A job queue in this process, for tests and single machines; all of it is lost with the process."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from generators.queue import job_queue
from generators.queue.job import AcceptedFile, Job, Reason, rejected_file, rejected_job
from generators.queue.job_queue import Claim, DeadJob, Depth, Ends, Known, Waiting
from mixer.pool.files import MOST_KEPT, RejectedFile, Values


class MemoryJobQueue:
    """Jobs in this process; `now_ms` is its clock."""

    def __init__(self, *, max_length: int = 1024) -> None:
        self.now_ms = 0
        self._max_length, self._next = max_length, 0
        self._on_the_way: dict[str, tuple[str, str]] = {}  # identity -> purpose and recipe
        self._waiting: dict[str, Job] = {}
        self._claimed: dict[str, tuple[Job, int, int]] = {}  # entry -> job, last beat, deliveries
        self._files: dict[str, tuple[AcceptedFile, int]] = {}  # entry -> file, when it came
        self._taken: dict[str, tuple[str, int]] = {}  # entry -> publisher, last beat
        self._closed: set[str] = set()
        self._rejections: Counter[str] = Counter()
        self._dead: dict[str, DeadJob] = {}
        self._rejected: list[RejectedFile] = []
        self._ends: Counter[str] = Counter()
        self._ends_by_recipe: dict[tuple[str, str], Counter[str]] = {}

    def _entry(self) -> str:
        self._next += 1
        return str(self._next)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        yield

    def add(self, *jobs: Job) -> int:
        before = len(self._waiting)
        for job in jobs:
            if job.identity not in self._on_the_way and len(self._waiting) + len(self._claimed) < self._max_length:
                self._on_the_way[job.identity] = job.purpose, job.recipe
                self._waiting[self._entry()] = job
        return len(self._waiting) - before

    def claim(self, worker: str, *, count: int, silent_ms: int) -> list[Claim]:
        found: list[Claim] = []
        for entry, (job, beat_ms, deliveries) in list(self._claimed.items()):
            if len(found) < count and self.now_ms - beat_ms >= silent_ms:
                self._claimed[entry] = (job, self.now_ms, deliveries + 1)
                found.append(Claim(entry, job, deliveries + 1))
        for entry, job in list(self._waiting.items())[: count - len(found)]:
            del self._waiting[entry]
            self._claimed[entry] = (job, self.now_ms, 1)
            found.append(Claim(entry, job, 1))
        return found

    def beat(self, worker: str, entries: list[str]) -> None:
        for entry in entries:
            if entry in self._claimed:
                job, _, deliveries = self._claimed[entry]
                self._claimed[entry] = (job, self.now_ms, deliveries)

    def release(self, claims: list[Claim]) -> None:
        for claim in claims:
            if self._claimed.pop(claim.entry, None) is not None:
                self._waiting[self._entry()] = claim.job

    def withdraw(self, claim: Claim) -> None:
        self._claimed.pop(claim.entry, None)
        self._on_the_way.pop(claim.job.identity, None)

    def deliver(self, claim: Claim, file: AcceptedFile) -> None:
        self._claimed.pop(claim.entry, None)
        self._files[self._entry()] = (file, self.now_ms)
        self._end("delivered", file.document.language, file.origin.recipe)

    def reject_job(self, claim: Claim, reason: str, text: str, values: Values | None = None) -> None:
        self._claimed.pop(claim.entry, None)
        self._reject(rejected_job(claim.job, reason, text, self.now_ms, values))

    def reject_file(self, waiting: Waiting, reason: str, values: Values | None = None) -> None:
        self._files.pop(waiting.entry, None)
        file = rejected_file(waiting.file, reason, self.now_ms, values)
        self._reject(file)
        if reason != Reason.NOT_WANTED:
            self._end("delivered", file.language, file.recipe, -1)

    def _reject(self, file: RejectedFile) -> None:
        self._on_the_way.pop(file.id, None)
        if file.reason != Reason.NOT_WANTED:
            self._closed.add(file.id)
            self._end("refused", file.language, file.recipe)
        self._rejections[file.reason] += 1
        self._rejected = [file, *self._rejected][:MOST_KEPT]

    def rejected_files(self) -> list[RejectedFile]:
        return list(self._rejected)

    def bury(self, claim: Claim, why: str) -> None:
        self._claimed.pop(claim.entry, None)
        self._on_the_way.pop(claim.job.identity, None)
        if len(self._dead) < job_queue.MOST_DEAD:
            self._dead[claim.job.identity] = DeadJob(msgspec.structs.replace(claim.job, text="", prompt=""), why)
        else:
            self._closed.add(claim.job.identity)
        self._end("buried", claim.job.language, claim.job.recipe)

    def dead(self) -> list[DeadJob]:
        return list(self._dead.values())

    def count_dead(self) -> int:
        return len(self._dead)

    def revive(self) -> int:
        count = len(self._dead)
        self._dead.clear()
        self._ends["revivals"] += 1
        return count

    def take(self, publisher: str, *, count: int, silent_ms: int) -> list[Waiting]:
        found: list[Waiting] = []
        for entry, (file, came_ms) in self._files.items():
            _, beat_ms = self._taken.get(entry, ("", -(10**9)))
            if len(found) < count and self.now_ms - beat_ms >= silent_ms:
                self._taken[entry] = (publisher, self.now_ms)
                found.append(Waiting(entry, file, came_ms))
        return found

    def keep(self, publisher: str, entries: list[str]) -> None:
        self._taken.update(dict.fromkeys(entries, (publisher, self.now_ms)))

    def published(self, waiting: list[Waiting]) -> None:
        for entry, file, _ in waiting:
            self._files.pop(entry, None)
            self._on_the_way.pop(file.identity, None)

    def clock_ms(self) -> int:
        return self.now_ms

    def depth(self) -> Depth:
        return Depth(len(self._waiting), len(self._claimed), len(self._files))

    def on_the_way(self) -> Counter[tuple[str, str]]:
        return Counter(self._on_the_way.values())

    def known(self, identities: list[str]) -> Known:
        closed = {identity for identity in identities if identity in self._closed or identity in self._dead}
        return Known(closed, {identity for identity in identities if identity in self._on_the_way})

    def ends(self) -> Ends:
        return Ends(**{name: self._ends[name] for name in Ends._fields})

    def ends_by_recipe(self) -> dict[tuple[str, str], Ends]:
        return {words: Ends(**counts) for words, counts in self._ends_by_recipe.items()}

    def _end(self, how: str, language: str, recipe: str, count: int = 1) -> None:
        self._ends[how] += count
        self._ends_by_recipe.setdefault((language, recipe), Counter())[how] += count

    def rejections(self) -> Counter[str]:
        return self._rejections.copy()
