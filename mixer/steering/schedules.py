"""What chooses a run's shares as it goes on: a schedule of mixtures, or a function of ledger and reports.

Always holds: a policy is asked at steps that the ledger fixes, by whoever writes the segment that begins there; what it
chose, and why, is an entry of the ledger, so a replay asks no policy.

Ramps are linear between two mixtures; the paper has none.
"""

import math
from bisect import bisect_right
from collections.abc import Callable
from fractions import Fraction
from typing import Literal

import msgspec

from mixer.errors import RunError
from mixer.ledger.policy import Point, Policy, Resolve, Value
from mixer.mixture.mixture import count_tokens
from mixer.mixture.plan import Plan, blend
from mixer.steering.functions import find_function
from streamer.documents.toml_text import parse_toml
from streamer.errors import TomlError

EVERY = 32
MOST_POINTS = 1024
LAST_STEP = 1 << 40
LONGEST_WORD = 400  # of an argument, in characters


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
            raise RunError(
                f"{where} must be printable text of at most {LONGEST_WORD} characters; give a shorter or plainer one"
            )
    elif not math.isfinite(value) if isinstance(value, float) else not -(1 << 63) <= value < 1 << 63:
        said = f"{value!r}" if isinstance(value, float) else f"a number of {value.bit_length()} bits"
        raise RunError(f"{where} = {said}: it must be a finite number, whole ones within 64 bits; give one that is")


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
