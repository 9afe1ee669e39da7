"""Tells a caller how far a build is: step, how many are done, of how many (0: not known yet).

Always holds: a step is reported at most ten times a second; a copy for another process reports nothing.
"""

import time
from collections.abc import Callable

Report = Callable[[str, int, int], None]
INTERVAL_S = 0.1


def silent(step: str, done: int, total: int) -> None:
    """A report to nobody."""


class Progress:
    """Passes reports on, thinned out. datatrove copies its steps: in the same process the copy is this very object."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._step, self._next_s = "", 0.0

    def report(self, step: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        if step != self._step or now_s >= self._next_s or (total and done == total):
            self._step, self._next_s = step, now_s + INTERVAL_S
            self._report(step, done, total)

    def __deepcopy__(self, memo: dict[int, object]) -> "Progress":
        return self

    def __reduce__(self) -> tuple[type["Progress"], tuple[Report]]:
        return Progress, (silent,)
