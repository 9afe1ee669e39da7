"""The way of a job: queued, claimed, its file waiting to be published, closed. What any backend promises.

Always holds: a job that was added is claimed, claimed again after its claimer fell silent, and gone only when its file
was published or when it was closed with a reason; adding a job that is on its way changes nothing. All of it may be lost:
the publisher refuses doubles, the planner plans again.
"""

from collections import Counter
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from generators.queue.job import AcceptedFile, Job
from mixer.pool.files import RejectedFile, Values

MOST_DEAD = 10_000  # letters that are kept


class Claim(NamedTuple):
    """A claimed job. `entry` names the claim to the queue; `deliveries` counts how often the job was claimed."""

    entry: str
    job: Job
    deliveries: int


class Waiting(NamedTuple):
    """A file that waits to be published since `came_ms` of the queue's clock."""

    entry: str
    file: AcceptedFile
    came_ms: int


class Depth(NamedTuple):
    """Jobs that wait, jobs that are claimed, files that wait to be published."""

    waiting: int
    running: int
    unpublished: int


class Known(NamedTuple):
    """Of some identities those that were rejected or are dead, and those on their way."""

    closed: set[str]
    on_the_way: set[str]


class Ends(NamedTuple):
    """How jobs ended: with a file that no gate has refused, refused by one, or buried. `revivals`: of dead letters."""

    delivered: int = 0
    refused: int = 0
    buried: int = 0
    revivals: int = 0


class DeadJob(NamedTuple):
    """A job that kept failing, without its texts, and why."""

    job: Job
    why: str


class JobQueue(Protocol):
    """What a backend does."""

    def at_once(self) -> AbstractContextManager[None]:
        """What this thread withdraws, delivers, rejects, buries and publishes within is one change at the end."""

    def add(self, *jobs: Job) -> int:
        """Queues those jobs that are not on their way already, as far as the queue has room; returns how many."""

    def claim(self, worker: str, *, count: int, silent_ms: int) -> list[Claim]:
        """Up to `count` jobs: first those whose claimer was silent for `silent_ms`, then new ones; none while too many files
        wait to be published.
        """

    def beat(self, worker: str, entries: list[str]) -> None:
        """Says that a worker still has these claims."""

    def release(self, claims: list[Claim]) -> None:
        """Gives claims back: their jobs wait again, and count as never claimed."""

    def withdraw(self, claim: Claim) -> None:
        """The job is gone as if it had never been queued, and may be planned again."""

    def deliver(self, claim: Claim, file: AcceptedFile) -> None:
        """The job's file is written: it waits to be published."""

    def reject_job(self, claim: Claim, reason: str, text: str, values: Values | None = None) -> None:
        """The job is gone, counted under `reason`; its text is kept for a while with what was measured, to be looked at."""

    def reject_file(self, waiting: Waiting, reason: str, values: Values | None = None) -> None:
        """The file is gone, counted under `reason`; it is kept for a while with what was found, to be looked at.

        One that is not wanted may be planned again.
        """

    def bury(self, claim: Claim, why: str) -> None:
        """The job is gone to the dead letters; where there are `MOST_DEAD`, it ends as a rejected one does."""

    def dead(self) -> list[DeadJob]:
        """The dead letters."""

    def count_dead(self) -> int:
        """How many dead letters there are."""

    def revive(self) -> int:
        """Empties the dead letters, so that what is still wanted is planned again; returns how many there were."""

    def take(self, publisher: str, *, count: int, silent_ms: int) -> list[Waiting]:
        """Up to `count` files to publish that no other live publisher has; those this one has are not given again."""

    def keep(self, publisher: str, entries: list[str]) -> None:
        """Says that a publisher still has these files."""

    def published(self, waiting: list[Waiting]) -> None:
        """Removes files that an entry now names."""

    def clock_ms(self) -> int:
        """The queue's clock, the only one that ages are judged by."""

    def depth(self) -> Depth:
        """How much is on its way."""

    def on_the_way(self) -> Counter[tuple[str, str]]:
        """Jobs on their way, by purpose and recipe."""

    def known(self, identities: list[str]) -> Known:
        """What is known of these."""

    def ends(self) -> Ends:
        """How jobs ended so far."""

    def ends_by_recipe(self) -> dict[tuple[str, str], Ends]:
        """The same of each language and version of a recipe."""

    def rejections(self) -> Counter[str]:
        """Rejected jobs by reason."""

    def rejected_files(self) -> list[RejectedFile]:
        """The last of the rejected files, newest first."""
