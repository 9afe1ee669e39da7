"""Keeps the queue short and following what is wanted: standing orders and the demand of live runs.

Always holds: a job is planned only while its purpose wants more files than are published or on their way; an identity
that is published, rejected or dead is not planned again by this planner; what Redis lost is, and dead letters are once they
were revived. Where nearly all jobs end without a file, one at a time is planned until some are accepted again.
"""

from collections import Counter, deque
from collections.abc import Callable

from generators.planning.orders import load_orders
from generators.planning.quota import Want, choose_counts, count_files
from generators.planning.seed_documents import SeedDocument, load_seed_documents
from generators.publishing.allotments import Allotments
from generators.publishing.orders import Order
from generators.publishing.published_files import AllPublished
from generators.queue.job import Job, identity_of
from generators.queue.job_queue import Ends, JobQueue
from generators.recipes.recipe import Recipe, recipes_of, split
from mixer.pool import pool
from mixer.runs.demand import Demand, Need, tokens_of
from streamer.catalog.catalog import Catalog
from streamer.errors import PhasemixError

DEMAND = "demand/"
AHEAD = 3  # so many times what was claimed since the last tick waits, where that is more than usual
LOOK = 512  # candidates asked about at once
MOST_AHEAD = 4096  # jobs that wait at most, however fast they are claimed
JUDGED = 64  # jobs that ended, after which the pool is judged by them
LEAST_DELIVERED = 1 / 16  # of these; with fewer something is wrong with the engine or the recipe


class Brake:
    """Whether nearly all jobs of late have ended without a file. It looks at the last `JUDGED` ends and a little more."""

    def __init__(self) -> None:
        self._seen: deque[Ends] = deque()

    def note(self, ends: Ends) -> str:
        """What is wrong, in words; empty when all is well. `ends`: the counts now."""
        if self._seen and (sum(ends[:3]) < sum(self._seen[-1][:3]) or ends.revivals != self._seen[-1].revivals):
            self._seen.clear()  # a Redis that was wiped, or a person who says that it is mended
        self._seen.append(ends)
        while len(self._seen) > 1 and sum(ends[:3]) - sum(self._seen[1][:3]) >= JUDGED:
            self._seen.popleft()
        first = self._seen[0]
        delivered, refused, buried = (max(0, now - then) for now, then in zip(ends[:3], first[:3], strict=True))
        if delivered + refused + buried < JUDGED or delivered >= LEAST_DELIVERED * (delivered + refused + buried):
            return ""
        return (
            f"of the last {delivered + refused + buried:,} jobs {delivered:,} gave a file, {refused:,} were rejected and "
            f"{buried:,} are dead; one at a time is planned until that changes. Look at phasemix generators status"
        )


Done = Callable[[list[str]], tuple[set[str], set[str]]]


class Candidates:
    """The jobs that some seed documents can give by a recipe, first files first; skips over what is done for good."""

    def __init__(self, seeds: list[SeedDocument], recipe: Recipe, model: str) -> None:
        self._seeds, self._recipe, self._model, self._start = seeds, recipe, model, 0
        self._count = len(seeds) * recipe.most_per_seed

    @property
    def used_up(self) -> bool:
        return self._start >= self._count

    def identity(self, place: int) -> str:
        """The identity of the job at a place, whose text is not cut for it."""
        index, seed = divmod(place, len(self._seeds))
        found = self._seeds[seed]
        return identity_of(found.language, found.document, self._recipe.label, self._model, index)

    def job(self, place: int, purpose: str) -> Job:
        index, seed = place // len(self._seeds), self._seeds[place % len(self._seeds)]
        return Job(
            language=seed.language,
            seed_document=seed.document,
            recipe=self._recipe.label,
            model=self._model,
            index=index,
            text=seed.passage(index, self._recipe.seed_characters),
            purpose=purpose,
            prompt=self._recipe.prompt,
            sampling=self._recipe.sampling,
            limits=self._recipe.limits(seed.language),
            execute_s=self._recipe.execute_s,
            repository=seed.repository,
            license=seed.license,
        )

    def begin_again(self) -> None:
        """Looks at all of them again: dead letters were revived."""
        self._start = 0

    def queue(self, purpose: str, count: int, *, add: Callable[..., int], done: Done) -> int:
        """Queues up to `count` jobs; returns how many. `done`: of identities, those done for good and those on their way."""
        queued, place, all_done = 0, self._start, True
        while queued < count and place < self._count:
            stop = min(place + LOOK, self._count)
            identities = [self.identity(at) for at in range(place, stop)]
            finished, planned = done(identities)
            jobs: list[Job] = []
            for at, identity in enumerate(identities, start=place):
                if identity in finished:
                    self._start += all_done
                    continue
                all_done = False
                if identity not in planned and queued + len(jobs) < count:
                    jobs.append(self.job(at, purpose))
            queued += add(*jobs) if jobs else 0
            place = stop
        return queued


class Planner:
    """`model`: the engine's model once it is known, written into identities. `say`: tells people, one line at a time."""

    def __init__(
        self,
        catalog: Catalog,
        queue: JobQueue,
        *,
        model: Callable[[], str | None],
        demand_glob: str = "scored/*",
        most_queued: int = 64,
        say: Callable[[str], None] = print,
    ) -> None:
        self._catalog, self._queue, self._model, self._tell = catalog, queue, model, say
        self._demand = Demand(catalog)
        self._demand_glob, self._most_queued = demand_glob, most_queued
        self._seeds: dict[tuple[str, str | None], list[SeedDocument]] = {}
        self._candidates: dict[tuple[str, str | None, str, str], Candidates] = {}
        self._published, self._allotments = AllPublished(catalog), Allotments(catalog)
        self._said: set[str] = set()
        self._brake, self._revivals = Brake(), 0
        self._left = 0  # jobs that waited after the last tick
        self.says = ""  # what keeps it from planning
        self.needs: list[Need] = []  # of live runs

    @property
    def accepted(self) -> int:
        """Files that entries of synthetic streams name."""
        return self._published.count()

    @property
    def published_tokens(self) -> dict[str, int]:
        """Tokens of synthetic streams, by language."""
        return self._published.tokens()

    @property
    def costs(self) -> dict[tuple[str, str], tuple[int, int]]:
        """As `AllPublished.costs`."""
        return self._published.costs()

    def tick(self) -> int:
        """Queues what is wanted now. A pool that drains gets nothing, and is scaled to 0 as soon as nothing is on its way;
        then it gets nothing until somebody scales it.

        Returns: jobs added.
        """
        on_the_way = self._queue.on_the_way()  # before the log: what is published between the two counts twice, not never
        self._published.refresh()
        wants = self.wants()
        if pool.draining(self._catalog):
            if not sum(self._queue.depth()):
                pool.end_draining(self._catalog)
            return 0
        model, ends = self._model(), self._queue.ends()
        self._note_revivals(ends.revivals)
        if model is None:
            self._say("no worker has named its model yet; planning waits")
            return 0
        recipes = [recipe for recipe in recipes_of(self._catalog) if recipe.share]
        purposes, written = Counter[str](), self._published.by_recipe()
        for (purpose, label), count in on_the_way.items():
            purposes[purpose] += count
            written[label] += count
        depth = self._queue.depth()
        self._say(self._brake.note(ends))
        claimed, self._left = self._left - depth.waiting, depth.waiting
        ahead = min(max(self._most_queued, AHEAD * claimed), max(self._most_queued, MOST_AHEAD))
        room = 1 - depth.waiting - depth.running if self.says else ahead - depth.waiting
        added = 0
        for want, count in zip(wants, choose_counts(wants, purposes, room=room), strict=True):
            left, usable = count, recipes
            while left and usable:  # what a recipe cannot give, for want of seeds, the others do
                short = set()
                for recipe, files in split(left, usable, written=written):
                    found = self._queue_jobs(want, recipe, files, model)
                    written[recipe.label] += found
                    left -= found
                    if found < files:
                        short.add(recipe.name)
                if not short:
                    break
                usable = [recipe for recipe in usable if recipe.name not in short]
            added += count - left
        self._left += added
        return added

    def _note_revivals(self, revivals: int) -> None:
        if revivals != self._revivals:
            self._revivals = revivals
            for candidates in self._candidates.values():
                candidates.begin_again()

    def _say(self, line: str) -> None:
        """Notes what keeps the planner from planning, and tells it when it begins."""
        if line and not self.says:
            self._tell(line)
        self.says = line

    def wants(self) -> list[Want]:
        """What runs demand first, then orders in their order; only what is not filled."""
        found = []
        self.needs = self._demand.needs()
        for language, tokens in sorted(tokens_of(self.needs).items()):
            there = self._published.of(language)
            files = count_files(
                tokens,
                published_tokens=there.tokens if there is not None else 0,
                published_files=len(there.identities) if there is not None else 0,
            )
            found.append(Want(purpose=f"{DEMAND}{language}", glob=self._demand_glob, language=language, files=files))
        self._allotments.refresh()
        found += [self._want_of(order) for order in load_orders(self._catalog)]
        return [want for want in found if want.files > 0]

    def _want_of(self, order: Order) -> Want:
        """What an order still wants; where all of it is allotted to streams, what the first of them has not got."""
        published = self._published.by_stream(order.purpose)
        language, files = order.language, order.files - published.total()
        if language is None and (unused := self._allotments.unused(order, published)):
            stream = min(unused)
            language, files = stream.partition("/")[2], unused[stream]
        return Want(purpose=order.purpose, glob=order.glob, language=language, files=files)

    def _queue_jobs(self, want: Want, recipe: Recipe, count: int, model: str) -> int:
        glob = recipe.seeds if recipe.seeds is not None and want.purpose.startswith(DEMAND) else want.glob
        key = (glob, want.language, recipe.label, model)
        if key not in self._candidates:
            try:
                if key[:2] not in self._seeds:
                    self._seeds[key[:2]] = load_seed_documents(self._catalog, glob, want.language)
            except PhasemixError as error:  # this want waits for documents; the others go on
                self._say_once(f"{want.purpose}: {error}")
                return 0
            self._candidates[key] = Candidates(self._seeds[key[:2]], recipe, model)
        if pool.draining(self._catalog):  # since this tick began: loading documents takes its time
            return 0
        candidates = self._candidates[key]
        if candidates.used_up:
            self._say_once(
                f"{want.purpose}: recipe {recipe.name} has used every seed document of {glob} {recipe.most_per_seed} times, "
                f"{want.files} files are missing; name more documents with phasemix generators seed"
            )
            return 0
        return candidates.queue(want.purpose, count, add=self._queue.add, done=self._done)

    def _done(self, identities: list[str]) -> tuple[set[str], set[str]]:
        published = self._published.among(identities)
        closed, on_the_way = self._queue.known([name for name in identities if name not in published])
        return published | closed, on_the_way

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._tell(line)
