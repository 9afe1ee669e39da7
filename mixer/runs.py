"""Runs of a catalog: created, shown, switched. Everything that decides a run's order is in its one log."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from mixer.errors import RunError, StepError
from mixer.journal import Forecast, Journal
from mixer.ledger import FORMAT, ORDER, Ledger, Parent, Pool, Segment, Settings, check_limits, check_plan, widen
from mixer.mixtures import Mixtures
from mixer.policies import Policy, Schedule, average, bind_schedule, scheduled
from mixer.resolution import Plan
from mixer.slots import ONE
from mixer.states import State
from streamer.catalog import Catalog
from streamer.log import Body
from streamer.names import check_word
from streamer.store import Store

BOUNDS = {
    "seed": (0, (1 << 63) - 1),
    "global_batch": (1, 1 << 20),  # a share of 2^40 times a batch must leave room in 64 bits
    "canonical_nodes": (1, 64),
    "num_steps": (1, 1 << 40),
    "segment_batches": (1, 1 << 16),  # counts of a segment are planned at once
    "write_ahead": (1, 1 << 40),
}


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it is now. `end_step`: global batches in its ledger; `shares` of the plan at its end, by stream."""

    name: str
    mixture: str
    seed: int
    global_batch: int
    seq_len: int
    canonical_nodes: int
    num_steps: int | None
    end_step: int
    ended: str | None
    shares: dict[str, float]

    @property
    def streams(self) -> list[str]:
        return list(self.shares)


class StreamUse(msgspec.Struct, frozen=True, kw_only=True):
    """One stream's part in the first steps of a run: samples exact, the target a real number, passes of its lineage."""

    stream: str
    target_samples: float
    realised_samples: int
    passes: float


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A segment's batches [start_step, end_step) and the samples of each stream that one of them is to have on average."""

    start_step: int
    end_step: int
    samples: dict[str, float]


class Runs:
    """The runs under a root."""

    def __init__(self, root: "str | Path | Store | Catalog") -> None:
        self.catalog = root if isinstance(root, Catalog) else Catalog(root)
        self.mixtures = Mixtures(self.catalog)

    def create(
        self,
        name: str,
        *,
        mixture: str | None = None,
        seed: int,
        global_batch: int,
        canonical_nodes: int = 1,
        num_steps: int | None = None,
        segment_batches: int = 32,
        write_ahead: int = 256,
        boundaries: bool = False,
        parent: str | None = None,
        parent_step: int | None = None,
        steering: Schedule | Policy | None = None,
    ) -> RunInfo:
        """Binds a new run to a mixture version.

        `segment_batches`: after so many global batches a switch or a new part can take effect; `write_ahead`: how far past
        the ledger's end a reader may ask; `boundaries`: its batches say where documents begin. With a `parent` the streams
        go on where `parent_step` batches of that run have brought them (default: all in its ledger), so that passes and
        caps count through the lineage. `steering`: a schedule, whose mixtures then take the place of `mixture`, or a policy.
        Raises: RunError when it exists or its caps cannot last `num_steps`.
        """
        check_word(name, what="run")
        for key, value in {"seed": seed, "global_batch": global_batch, "canonical_nodes": canonical_nodes,
                           "segment_batches": segment_batches, "write_ahead": write_ahead,
                           "num_steps": num_steps}.items():  # fmt: skip
            low, high = BOUNDS[key]
            if value is not None and (type(value) is not int or not low <= value <= high):
                raise RunError(f"run {name}: {key} = {value!r} is no whole number from {low} to {high:,}; give one that is")
        if global_batch % canonical_nodes:
            raise RunError(
                f"run {name}: canonical_nodes {canonical_nodes} does not divide the global batch of {global_batch}; use a "
                "divisor of it"
            )
        policy, mixture = self._steering(name, steering, mixture, global_batch)
        plan = self._begin(policy, mixture, 0)
        seq_len = self.mixtures.load(mixture)[1].seq_len
        if parent is None and parent_step is not None:
            raise RunError(f"run {name}: a parent's step, {parent_step}, needs a parent; name it with --parent")
        origin = None if parent is None else self._go_on(name, plan, parent, parent_step, canonical_nodes)
        drawn = {pool.stream: pool.drawn for pool in origin.pools} if origin is not None else {}
        self._check_caps(name, self._mean(policy, plan, 0, num_steps), num_steps, global_batch, drawn)
        settings = Settings(
            mixture=plan.mixture,
            seed=seed,
            global_batch=global_batch,
            seq_len=seq_len,
            canonical_nodes=canonical_nodes,
            num_steps=num_steps,
            segment_batches=segment_batches,
            write_ahead=write_ahead,
            boundaries=boundaries,
        )
        body: Body = {
            "format": FORMAT,
            "order": ORDER,
            "event": "created",
            "settings": msgspec.to_builtins(settings),
            "plan": msgspec.to_builtins(plan),
        }
        if origin is not None:
            body["parent"] = msgspec.to_builtins(origin)
        if policy is not None:
            body["policy"] = msgspec.to_builtins(policy)
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
    ) -> int:
        """Makes another version take effect at the next boundary, or at a step not yet in the ledger; returns the step.

        `steering`: what chooses the shares from there on, as in `create`; without it they are fixed.
        Raises: StepError for a step in the ledger, RunError when the run has ended or the shapes differ.
        """
        journal = Journal(self.catalog, name)
        settings = journal.ledger.settings
        assert settings is not None
        policy, mixture = self._steering(name, steering, mixture, settings.global_batch)
        seq_len = self.mixtures.load(mixture)[1].seq_len
        if seq_len != settings.seq_len:
            raise RunError(
                f"run {name} has seq_len {settings.seq_len}, {mixture} {seq_len}; switch to a mixture of the same, or "
                "start another run"
            )
        step = -1

        def decide(bodies: list[Body]) -> Body | None:
            nonlocal step
            journal.ledger.take(bodies)
            ledger = journal.ledger
            if ledger.ended is not None:
                raise RunError(f"run {name} has ended: {ledger.ended}; start another run")
            step = ledger.end if at_step is None else at_step
            if step < ledger.end:
                raise StepError(f"run {name}: step {step} is in the ledger already; the first free one is {ledger.end}")
            plan = self._begin(policy, mixture, step)
            self._check_switch(name, journal, plan, self._mean(policy, plan, step, settings.num_steps), step)
            body = {"format": FORMAT, "event": "switched", "at_step": step, "plan": msgspec.to_builtins(plan)}
            if policy is not None or ledger.policy_at(step) is not None:
                begun = None if policy is None else msgspec.structs.replace(policy, start=step)
                body["policy"] = msgspec.to_builtins(begun)
            return body

        self.catalog.log(f"runs/{name}/ledger").append(decide)
        return step

    def extend(self, name: str, to_step: int) -> int:
        """Writes segments on purpose until the ledger covers the batches before `to_step`; returns where it then ends.

        Raises: RunEnded, WaitError, StepError.
        """
        journal = Journal(self.catalog, name)
        journal.ensure(to_step - 1, to=to_step)
        return journal.ledger.end

    def list(self) -> list[RunInfo]:
        return [self.show(name) for name in self.catalog.names("runs") if self.catalog.log(f"runs/{name}/ledger").read()]

    def show(self, name: str) -> RunInfo:
        """Raises: RunError when there is no such run."""
        ledger = Journal(self.catalog, name).ledger
        settings, plan = ledger.settings, ledger.plans[ledger.plan_at(ledger.end)]
        assert settings is not None
        return RunInfo(
            name=name,
            mixture=plan.mixture,
            seed=settings.seed,
            global_batch=settings.global_batch,
            seq_len=settings.seq_len,
            canonical_nodes=settings.canonical_nodes,
            num_steps=settings.num_steps,
            end_step=ledger.end,
            ended=ledger.ended,
            shares={stream: share / ONE for stream, share in zip(plan.streams, plan.shares, strict=True)},
        )

    def plan(self, name: str) -> Plan:
        """The plan at the ledger's end. Raises: RunError when there is no such run."""
        ledger = Journal(self.catalog, name).ledger
        return ledger.plans[ledger.plan_at(ledger.end)]

    def use(self, name: str, upto_step: int | None = None) -> Sequence[StreamUse]:
        """Target beside realised samples of each stream in the ledger's first `upto_step` batches."""
        journal = Forecast(self.catalog, name)
        ledger = journal.ledger
        step = ledger.end if upto_step is None else min(upto_step, ledger.end)
        state, before = journal.state(step), ledger.drawn_before
        rows: list[StreamUse] = []
        for index, stream in enumerate(ledger.streams):
            drawn, owed = (int(values[index]) if index < len(values) else 0 for values in (state.drawn, state.credits))
            passes = drawn / ledger.totals[index] if ledger.totals[index] else 0.0
            own = drawn - (int(before[index]) if index < len(before) else 0)
            target = (owed + own * ONE) / ONE
            rows.append(StreamUse(stream=stream, target_samples=target, realised_samples=own, passes=passes))
        return rows

    def targets(self, name: str) -> Sequence[Target]:
        """What the ledger's segments ask for, in their order."""
        ledger = Journal(self.catalog, name).ledger
        assert ledger.settings is not None
        global_batch = ledger.settings.global_batch

        def target(segment: Segment) -> Target:
            drawn = segment.shares * global_batch / ONE if segment.counts is None else segment.counts
            samples = dict(zip(ledger.streams, (float(count) for count in drawn), strict=False))
            return Target(start_step=segment.start, end_step=segment.end, samples=samples)

        return tuple(target(segment) for segment in ledger.segments)

    def _steering(
        self, name: str, steering: Schedule | Policy | None, mixture: str | None, global_batch: int
    ) -> tuple[Policy | None, str]:
        """The policy, a schedule's points in batches of a run, and the mixture to begin with."""
        if isinstance(steering, Schedule):
            if mixture is not None:
                raise RunError(f"run {name}: its schedule names the mixtures; leave {mixture} out")
            shapes = {point.mixture: self.mixtures.load(point.mixture) for point in steering.point}
            lengths = sorted({found.seq_len for _, found in shapes.values()}) or [1]
            if len(lengths) > 1:
                raise RunError(f"run {name}: the schedule's mixtures have seq_len {lengths}; name mixtures of the same")
            policy = bind_schedule(
                steering, tokens_per_batch=global_batch * lengths[0], pin=lambda reference: shapes[reference][0]
            )
            return policy, policy.points[0].mixture
        if mixture is None:
            raise RunError(f"run {name} needs a mixture, or a schedule of them; see phasemix mixtures list")
        return steering, mixture

    def _begin(self, policy: Policy | None, mixture: str, step: int) -> Plan:
        """The plan with which a policy, or a mixture, takes effect at a step."""
        if policy is not None and policy.points:
            return scheduled(policy, step, self.mixtures.resolve)[0]
        return self.mixtures.resolve(mixture)

    def _mean(self, policy: Policy | None, plan: Plan, start: int, num_steps: int | None) -> Plan:
        """The plan, or of a schedule the mean of what is to come: what caps are checked with."""
        if policy is None or not policy.points or num_steps is None or num_steps <= start:
            return plan
        return average(policy, start, num_steps, self.mixtures.resolve)

    def _go_on(self, name: str, plan: Plan, parent: str, step: int | None, nodes: int) -> Parent:
        """Where a run of a lineage begins. Raises: RunError when the parent is absent, shorter, or does not fit."""
        found = Forecast(self.catalog, parent)
        end = found.ledger.end
        step = end if step is None else step
        settings = found.ledger.settings
        assert settings is not None
        if not 0 <= step <= end:
            raise RunError(
                f"run {name}: its parent {parent} has {end} batches in its ledger, not {step}; name one up to {end}"
            )
        if settings.canonical_nodes != nodes:
            raise RunError(
                f"run {name}: its parent {parent} has {settings.canonical_nodes} canonical nodes, not {nodes}; use as many"
            )
        ledger = until(self.catalog.log(f"runs/{parent}/ledger").read(), step)
        check_limits(name, plan, dict(zip(ledger.streams, ledger.totals, strict=True)))
        return Parent(
            run=parent,
            step=step,
            ledger=found.ledger.digest(step),
            seed=found.ledger.pool_seed,
            pools=pools(ledger, found.state(step)),
        )

    def _check_caps(self, name: str, plan: Plan, num_steps: int | None, global_batch: int, drawn: dict[str, int]) -> None:
        """Raises: RunError when a stream, of which so much was drawn before, would pass its cap in so many steps."""
        if num_steps is None:
            return
        rows = (plan.streams, plan.shares, plan.max_passes, plan.limit, plan.when_dry)
        for stream, share, cap, limit, when_dry in zip(*rows, strict=True):
            samples = min(self.catalog.stream(stream).samples, limit if limit is not None else 1 << 62)
            wanted = share * num_steps * global_batch / ONE
            if cap is None or when_dry != "stop":
                continue
            before = drawn.get(stream, 0)
            left = max(0, cap * samples - before)
            if wanted > left + 1:
                raise RunError(
                    f"run {name}: stream {stream} would be seen {(before + wanted) / max(samples, 1):.2f} times in "
                    f"{num_steps} steps{' and those before' if before else ''}; max_passes is {cap}. Lower its "
                    f"share from {share / ONE:.4f} to at most {left / (num_steps * global_batch):.4f}, or num_steps to "
                    f"{int(left / (share / ONE) / global_batch)}"
                )

    def _check_switch(self, name: str, journal: Journal, plan: Plan, mean: Plan, step: int) -> None:
        """Raises: RunError for another shape, and for caps that the steps from `step` on cannot keep at `mean`."""
        ledger = journal.ledger
        check_plan(name, ledger, plan)
        settings = ledger.settings
        assert settings is not None
        if settings.num_steps is not None:
            old = ledger.plans[ledger.plan_at(ledger.end)]
            ahead = dict(zip(old.streams, old.shares, strict=True))
            drawn = dict(
                zip(ledger.streams, widen(journal.state(ledger.end).drawn, len(ledger.streams)).tolist(), strict=True)
            )
            for stream, share in ahead.items():
                drawn[stream] += share * (step - ledger.end) * settings.global_batch // ONE
            self._check_caps(name, mean, settings.num_steps - step, settings.global_batch, drawn)


def until(bodies: Sequence[Body], step: int) -> Ledger:
    """The ledger as it was when its segments first covered the batches before `step`."""
    ledger = Ledger()
    ledger.add([body for body in bodies if body["event"] != "segment" or body["start"] < step])
    return ledger


def pools(ledger: Ledger, state: State) -> list[Pool]:
    """How far each stream has come in a state, which is one of the ledger's last segment."""
    drawn = widen(state.drawn, len(ledger.streams)).tolist()
    return [
        Pool(
            stream=stream,
            drawn=drawn[index],
            total=ledger.totals[index],
            snapshot=ledger.snapshots[index],
            eras=tuple(ledger.timelines[index].eras),
            lanes=[(low, number, given.tolist()) for (of, low), (number, given) in state.lanes.items() if of == index],
        )
        for index, stream in enumerate(ledger.streams)
    ]
