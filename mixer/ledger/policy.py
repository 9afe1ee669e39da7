"""A policy as a ledger holds it: a value that says when it is asked, and what a schedule gives at a step."""

import math
from bisect import bisect_right
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import msgspec

from mixer.mixture.plan import Plan, blend

Resolve = Callable[[str], Plan]
Value = bool | int | float | str


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


def scheduled(policy: Policy, step: int, resolve: Resolve) -> tuple[Plan, str]:
    """The plan of a schedule at a step, against the catalog now, and the reason. Raises: MixtureError."""
    before, after, part = policy.place(step)
    if not part:
        return resolve(before), f"schedule: {before}"
    return blend(resolve(before), resolve(after), part), f"schedule: {float(part):.1%} of the way from {before} to {after}"


def continued(policy: Policy | None, step: int, ratio: Fraction) -> Policy | None:
    """The policy of a fork at a step whose batches are `1 / ratio` times as large: its points keep their tokens."""
    if policy is None or ratio == 1:
        return policy
    points = [msgspec.structs.replace(point, step=step + math.ceil((point.step - step) * ratio)) for point in policy.points]
    return msgspec.structs.replace(policy, points=points)


def policy_of(body: dict[str, Any]) -> Policy | None:
    """The policy of a ledger's body."""
    return msgspec.convert(body.get("policy"), Policy | None)
