"""What chooses a run's shares as it goes on: a schedule of mixtures, or a function of ledger and reports.

Always holds: a policy is asked at steps that the ledger fixes, by whoever writes the segment that begins there; what it
chose, and why, is an entry of the ledger, so a replay asks no policy.

A function policy is a function installed under the entry point group `phasemix.policies`:

    def choose(ledger: Ledger, reports: list[Report], **arguments) -> Choice | None

It returns None to keep the current shares, and must not modify its arguments; see `mixer/steering/loss_fed.py`. Ramps
are linear between two mixtures; the paper has none.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mixer.errors import RunError
from mixer.mixture.mixture import count_tokens
from mixer.mixture.resolution import Plan
from mixer.order.slots import ONE, to_shares
from streamer.catalog.names import whole_text
from streamer.documents.toml_text import parse_toml
from streamer.errors import TomlError

if TYPE_CHECKING:
    from mixer.ledger.ledger import Ledger
    from mixer.ledger.reports import Report

GROUP = "phasemix.policies"
EVERY = 32
MOST_POINTS = 1024
LAST_STEP = 1 << 40
MOST_SAID = 1000  # characters of a reason
LONGEST_WORD = 400  # of an argument, in characters

Resolve = Callable[[str], Plan]
Value = bool | int | float | str


class SchedulePoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From `at` on, in the schedule's unit, the shares are those of `mixture`."""

    at: int | str
    mixture: str


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mixtures along a run, as people write it. Between two points the shares go over evenly, in steps of `every` batches.

    `unit` of the points: `steps`, or `tokens` (numbers such as "400B"), which become the next whole batch. Before the first
    point its mixture holds, behind the last one that of the last; two points at one place are a jump.
    """

    unit: Literal["steps", "tokens"]
    point: list[SchedulePoint]
    every: int = EVERY


class Function(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A function policy as people ask for it: by name, every so many batches, with arguments of its own."""

    name: str
    every: int = EVERY
    arguments: dict[str, Value] = {}


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """As `SchedulePoint`, in batches of the run, of a mixture version."""

    step: int
    mixture: str


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What a ledger holds: a schedule's points, or a function's name and arguments; asked every so many batches."""

    name: str
    every: int
    start: int = 0
    points: list[Point] = []
    arguments: dict[str, Value] = {}

    def next_decision(self, step: int) -> int | None:
        """The first step after `step` at which it is asked."""
        if not self.points:
            return step + self.every - (step - self.start) % self.every
        behind = bisect_right(self.points, step, key=lambda point: point.step)
        while behind < len(self.points):
            before, after = self.points[max(behind - 1, 0)], self.points[behind]
            if before.mixture != after.mixture:
                inside = max(step, before.step)
                return min(after.step, inside + self.every - (inside - before.step) % self.every)
            behind += 1
        return None

    def is_due(self, step: int) -> bool:
        return self.next_decision(step - 1) == step

    def place(self, step: int) -> tuple[str, str, Fraction]:
        """Of a schedule: the mixtures before and behind a step, and how far it is from the one to the other."""
        behind = bisect_right(self.points, step, key=lambda point: point.step)
        before, after = self.points[max(behind - 1, 0)], self.points[min(behind, len(self.points) - 1)]
        if behind == 0 or before.mixture == after.mixture:
            return before.mixture, before.mixture, Fraction(0)
        return before.mixture, after.mixture, Fraction(step - before.step, after.step - before.step)


def continued(policy: Policy | None, step: int, ratio: Fraction) -> Policy | None:
    """The policy of a fork at a step whose batches are `1 / ratio` times as large: its points keep their tokens."""
    if policy is None or ratio == 1:
        return policy
    points = [msgspec.structs.replace(point, step=step + math.ceil((point.step - step) * ratio)) for point in policy.points]
    return msgspec.structs.replace(policy, points=points)


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What a function policy answers: a share of each stream, summing to 1, and the reason, kept as one line."""

    shares: dict[str, float]
    reason: str


def read_schedule(text: str, *, name: str) -> Schedule:
    """A schedule from TOML. Raises: RunError that names the file and what is wrong."""
    try:
        return msgspec.convert(parse_toml(text.removeprefix("\ufeff")), Schedule)
    except (TomlError, ValueError) as error:
        raise RunError(
            f"schedule {name}: {error}; it has unit (steps or tokens), every, and [[point]] tables of at and mixture"
        ) from error


def bind_schedule(schedule: Schedule, *, tokens_per_batch: int, pin: Callable[[str], str]) -> Policy:
    """The schedule in batches of a run. `pin` gives the version of a reference. Raises: RunError, what `pin` raises."""
    if not 1 <= len(schedule.point) <= MOST_POINTS:
        raise RunError(f"schedule: {len(schedule.point)} points are outside 1 to {MOST_POINTS}; give [[point]] tables")
    check_every("schedule", schedule.every)
    points: list[Point] = []
    for number, point in enumerate(schedule.point, start=1):
        where = f"schedule, point {number}"
        at = point.at if isinstance(point.at, int) else count_tokens(point.at, f"{where}: at")
        step = at if schedule.unit == "steps" else -(-at // tokens_per_batch)
        if step < (points[-1].step if points else 0):
            raise RunError(f"{where}: at = {point.at} is before {'the point above' if points else '0'}; put points in order")
        if step > LAST_STEP:
            raise RunError(f"{where}: at = {point.at} is behind batch {LAST_STEP:,}, the last a run can have; give less")
        points.append(Point(step=step, mixture=pin(point.mixture)))
    return Policy(name="schedule", every=schedule.every, points=points)


def function_policy(name: str, *, every: int = EVERY, arguments: dict[str, Value] | None = None) -> Policy:
    """A policy of that name. Raises: RunError when none is installed here, or for numbers that no ledger holds."""
    find_function(name)
    check_every(f"policy {name}", every)
    for key, value in (arguments or {}).items():
        check_argument(f"policy {name}: {key}", value)
    return Policy(name=name, every=every, arguments=arguments or {})


def steering_of(schedule: Schedule | None, function: Function | None) -> "Schedule | Policy | None":
    """What chooses a run's shares. Raises: RunError for both at once, or a policy that is not installed here."""
    if function is None:
        return schedule
    if schedule is not None:
        raise RunError(f"a schedule and policy {function.name} cannot both choose the shares; give one")
    return function_policy(function.name, every=function.every, arguments=function.arguments)


def check_every(where: str, every: int) -> None:
    if not 1 <= every <= 1 << 30:
        raise RunError(f"{where}: every = {every} is outside 1 to {1 << 30:,}; give the batches between two decisions")


def check_argument(where: str, value: Value) -> None:
    """Raises: RunError for what the ledger cannot hold."""
    if isinstance(value, str):
        if len(value) > LONGEST_WORD or not value.isprintable():
            raise RunError(f"{where} is no printable text of up to {LONGEST_WORD} characters; give a shorter or plainer one")
    elif not math.isfinite(value) if isinstance(value, float) else not -(1 << 63) <= value < 1 << 63:
        said = f"{value!r}" if isinstance(value, float) else f"a number of {value.bit_length()} bits"
        raise RunError(f"{where} = {said}: it must be a finite number, whole ones within 64 bits; give one that is")


def installed() -> dict[str, EntryPoint]:
    """The policies that are installed here, by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def find_function(name: str) -> Callable[..., Choice | None]:
    """Raises: RunError that names the policies there are, or for one that cannot be imported."""
    have = installed()
    if name not in have:
        raise RunError(
            f"no policy {name!r} is installed here; there are {', '.join(sorted(have)) or 'none'}: install the package that "
            f"has it under the entry point group {GROUP}, or switch the run to a mixture"
        )
    try:
        function: Callable[..., Choice | None] = have[name].load()
    except Exception as error:  # a module of somebody's may raise anything
        raise RunError(
            f"policy {name}, {have[name].value}, cannot be imported: {type(error).__name__}: {error}; mend its package"
        ) from error
    return function


def scheduled(policy: Policy, step: int, resolve: Resolve) -> tuple[Plan, str]:
    """The plan of a schedule at a step, against the catalog now, and the reason. Raises: MixtureError."""
    before, after, part = policy.place(step)
    if not part:
        return resolve(before), f"schedule: {before}"
    return blend(resolve(before), resolve(after), part), f"schedule: {float(part):.1%} of the way from {before} to {after}"


def average(policy: Policy, start: int, end: int, resolve: Resolve) -> Plan:
    """A plan whose shares are the mean of a schedule's over batches [start, end): what caps are checked with."""
    batches = weigh(policy, start, end)
    names = [name for name, count in batches.items() if count] or [policy.place(start)[0]]
    plan, total = resolve(names[0]), batches.get(names[0], Fraction(1))
    for name in names[1:]:
        total += batches[name]
        plan = blend(plan, resolve(name), batches[name] / total)
    return plan


def weigh(policy: Policy, start: int, end: int) -> dict[str, Fraction]:
    """How many of the batches [start, end) come to each mixture of a schedule that takes effect at `start`.

    A ramp's place stays from one decision to the next, so it is an arithmetic series.
    """
    found: dict[str, Fraction] = {}
    points, step = policy.points, start
    while step < end:
        behind = bisect_right(points, step, key=lambda point: point.step)
        stop = min(end, points[behind].step) if behind < len(points) else end
        before, after, part = policy.place(step)
        share = Fraction(0)
        if before != after:
            origin, length = points[behind - 1].step, points[behind].step - points[behind - 1].step
            first = min(stop, policy.next_decision(step) or stop)
            inside = ramped(stop - origin, policy.every) - ramped(first - origin, policy.every)
            share = part * (first - step) + Fraction(inside, length)
        for mixture, count in ((before, stop - step - share), (after, share)):
            found[mixture] = found.get(mixture, Fraction(0)) + count
        step = stop
    return found


def ramped(batches: int, every: int) -> int:
    """The sum of `batches` numbers 0, 1, 2, ..., each rounded down to a multiple of `every`."""
    whole, rest = divmod(batches, every)
    return every * (every * whole * (whole - 1) // 2 + whole * rest)


def blend(before: Plan, after: Plan, part: Fraction) -> Plan:
    """The plan that is `part` of the way from one to another; what else both say of a stream is the latter's."""
    streams = list(dict.fromkeys([*before.streams, *after.streams]))
    old, new = (dict(zip(plan.streams, plan.shares, strict=True)) for plan in (before, after))
    weights = [(1 - part) * old.get(name, 0) + part * new.get(name, 0) for name in streams]
    sources = [
        (after, after.streams.index(name)) if name in new else (before, before.streams.index(name)) for name in streams
    ]
    return Plan(
        mixture=f"{before.mixture}..{after.mixture}",
        streams=streams,
        shares=to_shares(weights),
        component=[plan.component[place] for plan, place in sources],
        max_passes=[plan.max_passes[place] for plan, place in sources],
        limit=[plan.limit[place] for plan, place in sources],
        when_dry=[plan.when_dry[place] for plan, place in sources],
        dtype=after.dtype,
        tokenizer=after.tokenizer,
    )


def chosen(policy: Policy, plan: Plan, ledger: "Ledger", reports: "Sequence[Report]") -> tuple[Plan, str] | None:
    """What a function policy makes of the plan in force; None leaves it. Raises: RunError, what the function raises."""
    choice = find_function(policy.name)(ledger, list(reports), **policy.arguments)
    if choice is None:
        return None
    given = {name: float(share) for name, share in choice.shares.items()}  # numpy's too
    unknown = sorted(set(given) - set(plan.streams))
    total = sum(given.values())
    if unknown or abs(total - 1) > 1e-9 or not all(0 <= share <= 1 for share in given.values()):
        what = f"a share of {unknown[0]}, which is not in {plan.mixture}" if unknown else f"shares that sum to {total:.10g}"
        raise RunError(f"policy {policy.name} gave {what}; it must give streams of the mixture shares that sum to 1")
    shares = to_shares([Fraction(given.get(name, 0)) for name in plan.streams])
    return msgspec.structs.replace(plan, shares=shares), f"{policy.name}: {spoken(choice.reason)}"


def spoken(text: str) -> str:
    """What somebody's function says, as a ledger's entry may hold it: one line, not long, UTF-8."""
    return whole_text(" ".join(text.split()))[:MOST_SAID]


def shares_of(plan: Plan) -> dict[str, float]:
    """Share of each stream, for people and policies."""
    return {name: share / ONE for name, share in zip(plan.streams, plan.shares, strict=True)}


def policy_of(body: dict[str, Any]) -> Policy | None:
    """The policy of a ledger's body."""
    return msgspec.convert(body.get("policy"), Policy | None)
