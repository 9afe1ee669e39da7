"""The queue of jobs: what any backend promises, and the backend in memory.

Always holds: a job that was added is claimed, claimed again after its claimer fell silent, and gone only when it was
finished; adding a job that is queued already changes nothing. What the queue holds may be lost: the publisher refuses
doubles, the planner plans again.
"""

from typing import NamedTuple, Protocol

from generators.job import Job


class Claim(NamedTuple):
    """A claimed job. `entry` names the claim to the queue; `deliveries` counts how often the job was claimed."""

    entry: str
    job: Job
    deliveries: int


class Depth(NamedTuple):
    """Jobs that wait and jobs that are claimed."""

    waiting: int
    running: int


class JobQueue(Protocol):
    """What a backend does."""

    def add(self, job: Job) -> bool:
        """Queues a job; False when it is queued already or the queue is full."""

    def claim(self, worker: str, *, count: int, silent_ms: int) -> list[Claim]:
        """Up to `count` jobs: first those whose claimer was silent for `silent_ms`, then new ones."""

    def beat(self, worker: str, entries: list[str]) -> None:
        """Says that a worker still has these claims."""

    def finish(self, claim: Claim) -> None:
        """Removes a job for good."""

    def depth(self) -> Depth:
        """How many jobs wait and run."""


class MemoryJobQueue:
    """Jobs in this process; `now_ms` is its clock."""

    def __init__(self, *, max_length: int = 1024) -> None:
        self.now_ms = 0
        self._max_length, self._next = max_length, 0
        self._waiting: dict[str, Job] = {}
        self._claimed: dict[str, tuple[Job, int, int]] = {}  # entry -> job, last beat, deliveries

    def add(self, job: Job) -> bool:
        queued = [*self._waiting.values(), *(claimed for claimed, _, _ in self._claimed.values())]
        if any(other.identity == job.identity for other in queued) or len(queued) >= self._max_length:
            return False
        self._next += 1
        self._waiting[str(self._next)] = job
        return True

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

    def finish(self, claim: Claim) -> None:
        self._claimed.pop(claim.entry, None)

    def depth(self) -> Depth:
        return Depth(len(self._waiting), len(self._claimed))
