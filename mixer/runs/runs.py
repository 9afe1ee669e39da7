"""Runs of a catalog: created, forked, shown, switched, paused. Everything that decides a run's order is in its one log."""

import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec

from mixer.errors import RunError, StepError
from mixer.journal.journal import Journal
from mixer.ledger.ancestry import Ancestry
from mixer.ledger.history import Event, history
from mixer.ledger.ledger import (
    ORDER,
    Fork,
    Ledger,
    Parent,
    Settings,
    Shape,
    check_plan,
    signed,
    widen,
)
from mixer.ledger.policy import Policy, continued
from mixer.ledger.reports import Report, Reports, check_against
from mixer.ledger.skips import Skips
from mixer.mixture.plan import Plan
from mixer.mixture.versions import Versions
from mixer.planning.standing import Standings, standing_in, standings_behind
from mixer.preview.caps import check_caps, course_of
from mixer.runs import archive
from mixer.runs.entries import Numbers, check_length, check_nodes, checked, entry, is_same_request, refuse_ended
from mixer.runs.lineage import come_to, go_on, standings_in
from mixer.runs.run_info import RunInfo, describe
from mixer.runs.stream_use import StreamUse, Target, targets_of, use_of
from mixer.steering.binding import Bound, bind
from mixer.steering.schedules import Schedule
from streamer.catalog.catalog import Catalog
from streamer.catalog.names import check_word
from streamer.store.log import Bodies, Body
from streamer.store.store import Store


class Runs:
    """The runs under a root."""

    def __init__(self, root: "str | Path | Store | Catalog") -> None:
        self.catalog = root if isinstance(root, Catalog) else Catalog(root)
        self.mixtures = Versions(self.catalog)
        self._journals: dict[str, Journal] = {}
        self._lock = threading.RLock()

    def create(
        self,
        name: str,
        *,
        mixture: str | None = None,
        steering: Schedule | Policy | None = None,
        parent: str | None = None,
        parent_step: int | None = None,
        by: str | None = None,
        why: str | None = None,
        **shape: Any,
    ) -> RunInfo:
        """Binds a new run to a mixture version.

        Args: `shape`, what `Shape` has: seed, global_batch and, where they are not to be the default, the others. With a
        `parent` the streams go on where `parent_step` batches of that run have brought them (default: all in its ledger),
        so that passes and caps count through the lineage. `steering`: a schedule, whose mixtures then take the place of
        `mixture`, or a policy. Raises: RunError when it exists or its caps cannot last `num_steps`.
        """
        check_word(name, what="run")
        wanted = checked(name, shape, Shape)
        check_nodes(name, wanted)
        bound = bind(self.mixtures, name, steering, mixture, wanted.global_batch, 0)
        if parent is None and parent_step is not None:
            raise RunError(f"run {name}: a parent's step, {parent_step}, needs a parent; name it with --parent")
        origin = None
        if parent is not None:
            origin = go_on(self.catalog, name, bound.plan, parent, parent_step, wanted.canonical_nodes)
        self._check_caps(name, bound, 0, wanted.num_steps, wanted.global_batch, standings_behind(origin))
        settings = Settings(**msgspec.structs.asdict(wanted), mixture=bound.plan.mixture, seq_len=bound.seq_len)
        return self._begin(name, settings, bound, by, why, parent=origin)

    def fork(
        self,
        parent: str,
        name: str,
        *,
        at_step: int,
        seed: int | None = None,
        global_batch: int | None = None,
        mixture: str | None = None,
        num_steps: int | None = None,
        skip: int = 0,
        by: str | None = None,
        why: str | None = None,
    ) -> RunInfo:
        """Starts a run that is another one up to a step of its ledger, and goes its own way from there.

        What is not given stays as it was there, a policy too: the run then goes on as its parent would have. With
        another seed the order inside the streams stays the lineage's, so that passes stay exact. `skip`: so many batches
        from `at_step` on are never handed out; `num_steps` counts from the parent's beginning. The parent's log is not
        written. Raises: RunError when the name is taken, nothing is left of num_steps or caps cannot last, StepError for a
        step that is not in the parent's ledger.
        """
        check_word(name, what="run")
        checked(name, {"skip": skip}, Numbers)
        origin, owner, ledger, state = come_to(self.catalog, name, parent, at_step)
        had, bound = owner.settings, Bound.of(owner, at_step)
        changes = {"seed": seed, "global_batch": global_batch, "num_steps": num_steps}
        given = {key: value for key, value in changes.items() if value is not None}
        settings = checked(name, {**msgspec.structs.asdict(had), "num_steps": owner.num_steps, **given}, Settings)
        check_nodes(name, settings)
        if mixture is not None:
            bound = bind(self.mixtures, name, None, mixture, settings.global_batch, at_step)
            check_length(name, owner, bound)
            check_plan(name, ledger, bound.plan)
        else:
            bound = bound._replace(
                policy=continued(bound.policy, at_step, Fraction(had.global_batch, settings.global_batch))
            )
        settings = msgspec.structs.replace(settings, mixture=bound.plan.mixture)
        skips = Skips()
        for start, end in owner.skips.stretches:
            if start < at_step:
                skips.add(start, min(end, at_step) - start)
        if skip:
            skips.add(at_step, skip)
        owed = widen(state.credits, len(ledger.streams)).tolist()
        if settings.num_steps is not None:
            last = skips.behind(0, settings.num_steps)
            if last <= at_step:
                raise RunError(
                    f"run {name} would end at batch {at_step}, where it begins: num_steps = {settings.num_steps} counts "
                    f"from the beginning of {parent}; give more with --num-steps, or fork at an earlier step"
                )
            self._check_caps(name, bound, at_step, last, settings.global_batch, standings_behind(origin, owed))
        chosen = owner.chosen_at(at_step) if bound.policy is not None and not bound.policy.points else None
        fork = Fork(
            owed=owed,
            skipped=[(start, end - start) for start, end in skips.stretches],
            chosen=None if chosen == bound.plan else chosen,
        )
        decided = bound.policy is not None and at_step in owner.steered
        return self._begin(name, settings, bound, by, why, parent=origin, fork=fork, decided=decided)

    def _begin(
        self,
        name: str,
        settings: Settings,
        bound: Bound,
        by: str | None,
        why: str | None,
        *,
        parent: Parent | None,
        fork: Fork | None = None,
        decided: bool = False,
    ) -> RunInfo:
        """Writes the first entry. `decided`: the plan is the policy's already. Raises: RunError when the run exists."""
        values = {"settings": settings, "plan": bound.plan, "parent": parent, "fork": fork, "policy": bound.policy}
        body = entry("created", by, why, order=ORDER)
        body |= {key: msgspec.to_builtins(value) for key, value in values.items() if value is not None}
        body |= {"steered": True} if decided else {}
        self.catalog.register("runs", name)
        if self.catalog.log(f"runs/{name}/ledger").append(lambda bodies: None if bodies else body) is None:
            raise RunError(f"run {name} exists already; take another name, or see phasemix runs show {name}")
        return self.show(name)

    def switch(
        self,
        name: str,
        mixture: str | None = None,
        at_step: int | None = None,
        *,
        steering: Schedule | Policy | None = None,
        by: str | None = None,
        why: str | None = None,
    ) -> int:
        """Makes another version take effect at the next boundary, or at a step not yet in the ledger; returns the step.

        `steering`: what chooses the shares from there on, as in `create`; without it they are fixed.
        Raises: StepError for a step in the ledger, RunError when the run has ended or the shapes differ.
        """
        checked(name, {"at_step": at_step}, Numbers)

        def decide(journal: Journal) -> Body:
            ledger = journal.ledger
            size, last = ledger.settings.global_batch, ledger.last_step
            step = ledger.end if at_step is None else at_step
            bound = bind(self.mixtures, name, steering, mixture, size, step)
            check_length(name, ledger, bound)
            if step < ledger.end:
                raise StepError(f"run {name}: step {step} is in the ledger already; the first free one is {ledger.end}")
            if last is not None and step >= last:
                raise StepError(
                    f"run {name} ends at batch {last} by its num_steps = {ledger.num_steps}, so nothing can hold from batch "
                    f"{step} on. For an earlier batch make a fork: phasemix runs fork {name} NEW --at-step STEP --mixture "
                    "MIXTURE. A run that was created with a smaller --segment-batches can be switched sooner"
                )
            check_plan(name, ledger, bound.plan)
            if last is not None:
                before = Bound.of(ledger, ledger.end).mean(self.mixtures, ledger.end, step)
                standings = standings_in(journal)
                course, _ = course_of(self.catalog, before, standings, size, step - ledger.end)
                for stream, asked in zip(before.streams, course.asked, strict=True):
                    standings[stream] = standing_in(standings, stream)._replace(asked=asked)
                self._check_caps(name, bound, step, last, size, standings)
            body = entry("switched", by, why, at_step=step, plan=msgspec.to_builtins(bound.plan))
            if bound.policy is not None:
                body["policy"] = msgspec.to_builtins(msgspec.structs.replace(bound.policy, start=step))
            return body

        return int(self._append(name, decide)["at_step"])

    def extend(self, name: str, to_step: int, *, wrote: Callable[[int], None] | None = None) -> int:
        """Writes segments ahead of time until the ledger covers the batches before `to_step`; returns where it then ends.

        `wrote` is called with the ledger's end as it grows. Raises: RunEnded, WaitError, RunError for no number of batches.
        """
        checked(name, {"to_step": to_step}, Numbers)
        journal = Journal(self.catalog, name)
        if to_step:
            journal.ensure(to_step - 1, to=to_step, wrote=wrote)
        return journal.ledger.end

    def skip(self, name: str, start_step: int, batches: int, *, by: str | None = None, why: str | None = None) -> None:
        """Leaves out batches that are not in the ledger yet: they keep their numbers and are never handed out.

        Raises: StepError for one that is in the ledger or skipped, RunError when the run has ended or caps cannot last.
        """
        checked(name, {"start_step": start_step, "batches": batches}, Numbers)
        end_step = start_step + batches

        def decide(journal: Journal) -> Body:
            ledger = journal.ledger
            if start_step < ledger.end:
                raise StepError(
                    f"run {name}: batch {start_step} is in the ledger already, which goes to {ledger.end}; skip from "
                    f"there on, or phasemix runs fork {name} NEW --at-step {start_step} --skip {batches}"
                )
            found = ledger.skips.overlap(start_step, end_step)
            if found is not None:
                raise StepError(f"run {name}: batches {found[0]} to {found[1] - 1} are skipped already; skip others")
            settings, last = ledger.settings, ledger.last_step
            if last is not None and start_step >= last:
                raise StepError(
                    f"run {name} ends at batch {last} by its num_steps = {ledger.num_steps}; skip one before that"
                )
            if last is not None:
                bound, end = Bound.of(ledger, ledger.end), last + batches
                self._check_caps(name, bound, ledger.end, end, settings.global_batch, standings_in(journal))
            return entry("skipped", by, why, start=start_step, batches=batches)

        self._append(name, decide)

    def lengthen(self, name: str, num_steps: int, *, by: str | None = None, why: str | None = None) -> RunInfo:
        """Moves the run's horizon to a later step. A run that ended at its horizon goes on; what it has drawn stays.

        Raises: RunError when the run has no horizon, has one at or past `num_steps`, ended for another reason, or when its
        caps cannot last so long.
        """
        checked(name, {"num_steps": num_steps}, Numbers)

        def decide(journal: Journal) -> Body:
            ledger = journal.ledger
            if not ledger.is_at_horizon:
                refuse_ended(name, ledger)
            if ledger.num_steps is None or num_steps <= ledger.num_steps:
                had = "no horizon" if ledger.num_steps is None else f"a horizon of {ledger.num_steps:,} steps"
                raise RunError(
                    f"run {name} has {had}, so it cannot be lengthened to {num_steps:,}; a horizon only moves ahead"
                )
            bound, end = Bound.of(ledger, ledger.end), ledger.skips.behind(0, num_steps)
            self._check_caps(name, bound, ledger.end, end, ledger.settings.global_batch, standings_in(journal))
            return entry("lengthened", by, why, num_steps=num_steps)

        self._append(name, decide, after_end=True)
        return self.show(name)

    def pause(self, name: str, *, by: str | None = None, why: str | None = None) -> None:
        """No segment is written until `resume`; readers go on within the ledger. Raises: RunError when ended or paused."""

        def decide(journal: Journal) -> Body:
            if journal.ledger.paused is not None:
                raise RunError(f"run {name} was {journal.ledger.paused}; resume it first: phasemix runs resume {name}")
            return entry("paused", by, why)

        self._append(name, decide)

    def resume(self, name: str, *, by: str | None = None, why: str | None = None) -> None:
        """Ends a pause. Raises: RunError when the run has ended or is not paused."""

        def decide(journal: Journal) -> Body:
            if journal.ledger.paused is None:
                raise RunError(f"run {name} is not paused; to pause it: phasemix runs pause {name}")
            return entry("resumed", by, why)

        self._append(name, decide)

    def end(self, name: str, *, by: str | None = None, why: str | None = None) -> None:
        """Closes the run where its ledger ends. Raises: RunError when it has ended."""
        self._append(name, lambda _: entry("ended", by, why, reason=f"it was ended{signed({'by': by, 'why': why})}"))

    def note(self, name: str, text: str, *, by: str | None = None) -> None:
        """Notes a text in the run's history, at any time. Raises: RunError for an empty or very long one."""
        if not text.strip():
            raise RunError(f"run {name}: the note is empty; give a text")
        self._append(name, lambda _: entry("noted", by, text), after_end=True)

    def _append(self, name: str, decide: Callable[[Journal], Body], *, after_end: bool = False) -> Body:
        """Appends what is decided on the ledger as it is then, and returns it."""
        journal = Journal(self.catalog, name)
        journal.refuse_cut()

        def append(bodies: Bodies) -> Body:
            journal.ledger.take(bodies)
            if not after_end:
                refuse_ended(name, journal.ledger)
            return decide(journal)

        appended = self.catalog.log(f"runs/{name}/ledger").append(append, is_same=is_same_request)
        assert appended is not None
        return appended[1]

    def history(self, name: str) -> Sequence[Event]:
        """What happened to the run, in order, a fork's parent up to its step first. Raises: RunError for an unknown run."""
        with self._lock:
            return history(self.catalog, Ancestry(self._journal(name), self._journal))

    def archive(self, name: str, *, undo: bool = False, by: str | None = None, why: str | None = None) -> bool:
        """Hides a run from lists, or shows it again; False where it is so already. Nothing of the run changes.

        Raises: RunError for an unknown run, or one that is open.
        """
        if self.show(name).state == "open" and not undo:
            raise RunError(f"run {name} is open; end or pause it first, such as by phasemix runs end {name}")
        return archive.note(self.catalog, entry("restored" if undo else "archived", by, why, name=name))

    def list(self, *, archived: bool = False) -> list[RunInfo]:
        """Every run that is not archived, or those that are. A run that is open is never hidden."""
        hidden, names = archive.archived_runs(self.catalog), self.catalog.names("runs")
        found = [self.show(name) for name in names if self.catalog.log(f"runs/{name}/ledger").read()]
        return [info for info in found if (info.name in hidden and info.state != "open") == archived]

    def show(self, name: str) -> RunInfo:
        """Raises: RunError when there is no such run. Asked again, only what is new is read."""
        with self._lock:
            return describe(name, self._ledger(name))

    def report(self, name: str, report: Report) -> None:
        """Takes in what a trainer reports of batches. Raises: RunError for what the run cannot have trained on."""
        with self._lock:
            check_against(name, self._ledger(name), report)
        Reports(self.catalog, name).append(report)

    def _ledger(self, name: str) -> Ledger:
        """A run's ledger as it is now; for who holds the lock."""
        return self._journal(name).ledger

    def _journal(self, name: str) -> Journal:
        """A run's journal, which is kept, with what was written since; for who holds the lock."""
        if name in self._journals:
            self._journals[name].refresh()
        else:
            self._journals[name] = Journal(self.catalog, name)
        return self._journals[name]

    def plan(self, name: str, until_step: int | None = None) -> Plan:
        """The plan at the ledger's end; with a step, of a schedule the mean from there until then.

        Raises: RunError when there is no such run, MixtureError when a schedule's mixtures do not resolve.
        """
        with self._lock:
            ledger = self._ledger(name)
            bound, end = Bound.of(ledger, ledger.end), ledger.end
        return bound.mean(self.mixtures, end, until_step)

    def use(self, name: str, upto_step: int | None = None) -> Sequence[StreamUse]:
        """Target beside realised samples of each stream in the ledger's first `upto_step` batches."""
        return use_of(self.catalog, name, upto_step)

    def targets(self, name: str) -> Sequence[Target]:
        """What the ledger's segments ask for, in their order, of batches that are handed out."""
        return targets_of(self.catalog, name)

    def step_behind(self, name: str, batches: int) -> int:
        """The position behind the first so many batches that the run hands out."""
        with self._lock:
            return self._ledger(name).skips.behind(0, batches)

    def _check_caps(
        self, name: str, bound: Bound, start: int, end: int | None, global_batch: int, standings: Standings
    ) -> None:
        """Raises: RunError when batches [start, end) would pass a cap of streams that have come so far."""
        if end is not None:
            mean = bound.mean(self.mixtures, start, end)
            check_caps(self.catalog, name, mean, end - start, global_batch, standings, is_mean=mean is not bound.plan)
