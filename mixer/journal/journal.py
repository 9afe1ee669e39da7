"""Writes segments through the store and hands the ledger out: the library that needs no service.

Always holds: every reader of a run takes in the same entries in the same order; a segment is planned from the ledger it
is appended to, or planned again; so is what the run's policy chooses before it.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from mixer.errors import RunEnded, RunError, StepError, WaitError
from mixer.journal.lead import Lead
from mixer.ledger.ancestry import Ancestry
from mixer.ledger.ledger import Ledger
from mixer.planning.planner import Planner, make_planner
from mixer.planning.segment import Waits, plan_segment, take_redactions
from mixer.planning.states import State, state_key
from mixer.planning.supply import Rows
from mixer.planning.tables import BoundParts
from streamer import background
from streamer.catalog.catalog import Catalog
from streamer.errors import PhasemixError
from streamer.store.entries import RESTORE
from streamer.store.log import Bodies, Body
from streamer.wording import did_you_mean, listed

POLL_S = 0.5


def absent_run(catalog: Catalog, run: str) -> RunError:
    """What says that a root has no such run, and which it has."""
    names = catalog.names("runs")
    have, near = listed(names) or "none yet", did_you_mean(run, names)
    return RunError(f"run {run} does not exist under {catalog.store.url}; runs there: {have}{near}")


class Journal:
    """One run of one catalog. `written`: batches that segments of the log cover; `writes`: whether it stores anything."""

    writes = True

    def __init__(self, catalog: Catalog, run: str) -> None:
        self.catalog, self.run = catalog, run
        self._log = catalog.log(f"runs/{run}/ledger")
        self._parts = BoundParts(catalog, run)
        self._planner: Planner | None = None
        self._is_whole = False
        bodies = self._log.read()
        if not bodies:
            raise absent_run(catalog, run)
        self.ledger = Ledger(bodies)
        self.written = self.ledger.end
        self._lead = Lead(self.ledger.settings.segment_batches, self.ledger.settings.write_ahead)

    def refresh(self) -> None:
        """Takes in what was written since."""
        self.ledger.take(self._log.read())
        self.written = self.ledger.end

    def take_known(self) -> None:
        """Takes in what this process has read or written of the log since, without a look at the store."""
        self.ledger.take(self._log.known())
        self.written = self.ledger.end

    def state(self, step: int) -> State:
        """The state before a batch of the ledger, or at its end."""
        return self._planned_by().state(step)

    def refuse_cut(self) -> None:
        """Raises: RunError when the newest entries of the log are missing, as far as other objects tell."""
        if self._is_whole:
            return
        interval = self._planned_by().interval
        witness = later_witness(self.catalog, self.run, self.ledger.end, interval)
        if witness is not None:
            self.refresh()  # another writer may have gone on meanwhile
            witness = later_witness(self.catalog, self.run, self.ledger.end, interval)
        if witness is not None:
            raise RunError(
                f"run {self.run}: {self._log.key(self.ledger.length)} is missing, and perhaps entries behind it: the ledger "
                f"ends at step {self.ledger.end}, but {witness.key} is of step {witness.step}; {RESTORE}"
            )
        self._is_whole = True

    def _planned_by(self) -> Planner:
        if self._planner is None:
            self._planner = make_planner(self.ledger, self.catalog, self.run, write=self.writes)
        return self._planner

    def ensure(
        self,
        step: int,
        *,
        wait_s: float = 0.0,
        patience_s: float | None = None,
        to: int | None = None,
        wrote: Callable[[int], None] | None = None,
    ) -> None:
        """Has the ledger cover `step`, adding segments where it must. Raises: StepError, RunEnded, WaitError.

        `patience_s` is for a journal behind a service; `wrote` is called with the ledger's end after each entry.
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
            waits = self._write(step)
            if wrote is not None:
                wrote(self.ledger.end)
            if waits is not None:
                if time.monotonic() >= deadline:
                    raise WaitError(waiting(self.run, self.ledger, waits, wait_s))
                time.sleep(POLL_S)

    def _write(self, step: int) -> Waits | None:
        """Writes what comes next: in one entry the batches up to `step`, in whole segments, or some more."""
        found: list[Waits] = []

        def decide(bodies: Bodies) -> Body | None:
            before = self.ledger.end
            self.ledger.take(bodies)
            if self.ledger.end > before or self.ledger.ended is not None:
                return None  # somebody else wrote it
            if self.ledger.paused is not None:
                found.append(Waits(None))
                return None
            steered = self._steer()
            if steered is not None:
                return {**steered, "at_s": round(time.time(), 3)}
            rows = self._rows()
            redacted = take_redactions(self.ledger, rows)
            if redacted is not None:
                return redacted
            at_most = self._lead.choose(time.monotonic(), before, step + 1 - before)
            planned = plan_segment(self.ledger, rows, self.state(before), at_most=at_most)
            if isinstance(planned, Waits):
                found.append(planned)
                return None
            return planned

        self.refuse_cut()
        start, appended = self.ledger.end, self._log.append(decide)
        self.take_known()
        if appended is not None:
            self._lead.wrote(time.monotonic(), start, self.written)
        return found[-1] if found and self.ledger.ended is None else None

    def _steer(self) -> Body | None:
        """The entry by which the run's policy changes the shares at the ledger's end; None: they stay."""
        ledger = self.ledger
        step, policy = ledger.end, ledger.policy_at(ledger.end)
        if policy is None or step in ledger.steered or not policy.is_due(step) or step == ledger.last_step:
            return None
        from mixer.steering.decision import steer  # few runs have a policy: a reader of the others loads none of it

        return steer(self.catalog, Ancestry[Journal](self, partial(Forecast, self.catalog)), policy, step)

    def waits_for(self) -> str | None:
        """The stream for whose parts the run waits at its ledger's end, if it does."""
        if self.ledger.ended is not None:
            return None
        planned = plan_segment(self.ledger, self._rows(), self.state(self.ledger.end), at_most=1)
        return planned.stream if isinstance(planned, Waits) else None

    def _rows(self) -> Rows:
        """The streams of the plan as they are now; they still have the parts that the run took in."""
        ledger = self.ledger
        plan = ledger.plans[ledger.plan_at(ledger.end)]
        found = {snapshot.name: snapshot for snapshot in self.catalog.snapshots(plan.streams)}
        for index, name in enumerate(ledger.streams):
            if name in found and ledger.snapshots[index]:
                self._parts.snapshot(ledger, index)
        return found


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

    def _write(self, step: int) -> Waits | None:
        start, policy = self.ledger.end, self.ledger.policy_at(self.ledger.end)
        steered = self._steer() if policy is not None and policy.points else None
        if steered is not None:
            self.ledger.add([steered])
            return None
        rows = self._rows()
        redacted = take_redactions(self.ledger, rows)
        if redacted is not None:
            self.ledger.add([redacted])
            return None
        at_most = self._lead.choose(0.0, start, step + 1 - start)
        planned = plan_segment(self.ledger, rows, self.state(start), at_most=at_most)
        if isinstance(planned, Waits):
            return planned
        self.ledger.add([planned])
        return None


class Ahead:
    """Has a run's ledger grow in a thread, so that whoever reads does not wait for an object store's answers.

    The thread has a journal of its own, and shares only the log with the reader's, which finds there what the thread wrote.
    If it fails, the reader writes the segment itself when it needs it. One segment is written at a time.
    """

    def __init__(self, catalog: Catalog, run: str) -> None:
        self._catalog, self._run = catalog, run
        self._journal: Journal | None = None
        self._thread: threading.Thread | None = None

    def ask(self, step: int) -> None:
        """Begins to have the ledger cover a step, where nothing is being written."""
        if not self.is_busy:
            self._thread = background.start(lambda: self._write(step), name="phasemix-ledger")

    @property
    def is_busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _write(self, step: int) -> None:
        with contextlib.suppress(PhasemixError):  # the reader meets it, if it is still there
            if self._journal is None:
                self._journal = Journal(self._catalog, self._run)
            self._journal.ensure(step)


class Witness(NamedTuple):
    """An object that was written when the log had come to a later step."""

    key: str
    step: int


def later_witness(catalog: Catalog, run: str, end: int, interval: int) -> Witness | None:
    """A witness of a step past `end`, where the log ends: the next kept state, or the newest report.

    A log cannot tell by itself that its newest entries are gone. But states and reports are only written for batches that
    it covers; states are kept every `interval` batches without gaps, so that looking at one of them is enough.
    """
    step = (end // interval + 1) * interval
    if catalog.store.get(state_key(run, step)) is not None:
        return Witness(state_key(run, step), step)
    log = catalog.log(f"runs/{run}/reports")
    newest = log.newest()
    if newest is not None:
        number, body = newest
        if body.get("end_step", 0) > end:
            return Witness(log.key(number), body["end_step"])
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
