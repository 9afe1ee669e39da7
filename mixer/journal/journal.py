"""Writes segments through the store and hands the ledger out: the library that needs no service.

Always holds: every reader of a run takes in the same entries in the same order; a segment is planned from the ledger it
is appended to, or planned again; so is what the run's policy chooses before it.
"""

import time
from functools import partial

import msgspec

from mixer.errors import RunEnded, RunError, StepError, WaitError
from mixer.ledger.ancestry import Ancestry
from mixer.ledger.ledger import FORMAT, Ledger, check_plan
from mixer.ledger.policy import Policy, scheduled
from mixer.ledger.reports import Report, Reports, standing
from mixer.mixture.plan import Plan
from mixer.mixture.versions import Versions
from mixer.planning.planner import Planner, make_planner
from mixer.planning.segment import Waits, plan_segment
from mixer.planning.states import State
from mixer.planning.supply import Rows
from mixer.steering.functions import chosen, spoken
from streamer.catalog.catalog import Catalog
from streamer.errors import StoreError
from streamer.store.log import Body

POLL_S = 0.5


class Journal:
    """One run of one catalog. `written`: batches that segments of the log cover; `writes`: whether it stores anything."""

    writes = True

    def __init__(self, catalog: Catalog, run: str) -> None:
        self.catalog, self.run = catalog, run
        self._log = catalog.log(f"runs/{run}/ledger")
        self._planner: Planner | None = None
        bodies = self._log.read()
        if not bodies:
            have = ", ".join(catalog.names("runs")) or "none yet"
            raise RunError(f"run {run} does not exist under {catalog.store.url}; runs there: {have}")
        self.ledger = Ledger(bodies)
        self.written = self.ledger.end

    def refresh(self) -> None:
        """Takes in what was written since."""
        self.ledger.take(self._log.read())
        self.written = self.ledger.end

    def state(self, step: int) -> State:
        """The state before a batch of the ledger, or at its end."""
        if self._planner is None:
            self._planner = make_planner(self.ledger, self.catalog, self.run, write=self.writes)
        return self._planner.state(step)

    def ensure(self, step: int, *, wait_s: float = 0.0, patience_s: float | None = None, to: int | None = None) -> None:
        """Has the ledger cover `step`, adding segments where it must. Raises: StepError, RunEnded, WaitError.

        `patience_s` is for a journal behind a service.
        """
        if step < 0:
            raise StepError(f"run {self.run}: step {step} is below 0")
        if step >= self.written:
            self.refresh()
        settings = self.ledger.settings
        if step < self.ledger.end:
            return
        furthest = self.ledger.skips.behind(self.written, settings.write_ahead) - 1
        if to is None and step > furthest and self.ledger.ended is None:
            raise StepError(
                f"run {self.run}: step {step} is past the furthest allowed, {furthest} (write_ahead = "
                f"{settings.write_ahead} batches past the ledger's end); read up to there first or run phasemix runs extend"
            )
        deadline = time.monotonic() + wait_s
        while step >= self.ledger.end:
            if self.ledger.ended is not None:
                raise RunEnded(f"run {self.run} has {self.ledger.end} global batches: {self.ledger.ended}")
            waits = self._write()
            if waits is not None:
                if time.monotonic() >= deadline:
                    raise WaitError(waiting(self.run, self.ledger, waits, wait_s))
                time.sleep(POLL_S)

    def _write(self) -> Waits | None:
        found: list[Waits] = []

        def decide(bodies: list[Body]) -> Body | None:
            before = self.ledger.end
            self.ledger.take(bodies)
            if self.ledger.end > before or self.ledger.ended is not None:
                return None  # somebody else wrote it
            if self.ledger.paused is not None:
                found.append(Waits(None))
                return None
            settings = self.ledger.settings
            steered = self._steer()
            if steered is not None:
                return {**steered, "at_s": round(time.time(), 3)}
            planned = plan_segment(self.ledger, self._rows(), self.state(self.ledger.end), at_most=settings.segment_batches)
            if isinstance(planned, Waits):
                found.append(planned)
                return None
            return planned

        self._log.append(decide)
        self.refresh()
        return found[-1] if found and self.ledger.ended is None else None

    def _steer(self) -> Body | None:
        """The entry by which the run's policy changes the shares at the ledger's end; None: they stay.

        A policy that fails leaves the shares as they are, and a note says so.
        """
        ledger = self.ledger
        step, policy = ledger.end, ledger.policy_at(ledger.end)
        if policy is None or step in ledger.steered or not policy.is_due(step) or step == ledger.last_step:
            return None
        entry: Body = {"format": FORMAT, "at_step": step, "by": policy.name, "steered": True}
        try:
            found = self._choose(policy, step)
            if found is not None:
                check_plan(self.run, ledger, found[0])
        except StoreError:
            raise
        except (Exception, SystemExit) as error:  # a function of somebody's may raise anything
            why = f"{policy.name} left the shares as they are: {spoken(str(error))}"
            return None if why == ledger.failure else {**entry, "event": "noted", "why": why}
        if found is None:
            return None
        return {**entry, "event": "switched", "plan": msgspec.to_builtins(found[0]), "why": found[1]}

    def _choose(self, policy: Policy, step: int) -> tuple[Plan, str] | None:
        if policy.points:
            return scheduled(policy, step, Versions(self.catalog).resolve)
        return chosen(policy, self.ledger.plans[self.ledger.plan_at(step)], self.ledger, self._reports())

    def _reports(self) -> list[Report]:
        """The reports on the run's batches; of a fork also its parents' on those before its own."""
        line: Ancestry[Journal] = Ancestry(self, partial(Forecast, self.catalog))
        found: list[Report] = []
        for span in line.oldest_first():
            reports = Reports(self.catalog, span.of.run).read()
            found += [report for report in reports if report.end_step <= span.end]
        return standing(found)

    def _rows(self) -> Rows:
        plan = self.ledger.plans[self.ledger.plan_at(self.ledger.end)]
        return {found.name: found for found in self.catalog.snapshots(plan.streams)}


class Forecast(Journal):
    """A journal that never writes: segments past the log's end are planned in memory, and void once real ones come.

    What a paused run will have once it is resumed is planned like the rest.
    """

    writes = False

    def __init__(self, catalog: Catalog, run: str) -> None:
        super().__init__(catalog, run)
        self._entries = self.ledger.length

    def refresh(self) -> None:
        bodies = self._log.read()
        if len(bodies) == self._entries:
            return
        if self.ledger.length > self._entries:
            self.ledger, self._planner = Ledger(bodies), None
        self.ledger.take(bodies)
        self._entries, self.written = len(bodies), self.ledger.end

    def _write(self) -> Waits | None:
        settings, policy = self.ledger.settings, self.ledger.policy_at(self.ledger.end)
        steered = self._steer() if policy is not None and policy.points else None
        if steered is not None:
            self.ledger.add([steered])
            return None
        state = self.state(self.ledger.end)
        planned = plan_segment(self.ledger, self._rows(), state, at_most=settings.segment_batches)
        if isinstance(planned, Waits):
            return planned
        self.ledger.add([planned])
        return None


def waiting(run: str, ledger: Ledger, waits: Waits, wait_s: float) -> str:
    """What an error says of a run for which no segment could be written in so long."""
    if waits.stream is None:
        return (
            f"run {run} was {ledger.paused}; nobody resumed it within {wait_s:g} s: phasemix runs resume {run}, or wait "
            "longer with --wait"
        )
    return (
        f"run {run} waits at step {ledger.end} for parts of stream {waits.stream}, which has run dry; none came within "
        f"{wait_s:g} s: scale the generators, or wait longer with --wait"
    )


def line_of(catalog: Catalog, run: str) -> Ancestry[Forecast]:
    """The line of a run, without writing. Raises: RunError for an unknown run."""
    return Ancestry(Forecast(catalog, run), partial(Forecast, catalog))
