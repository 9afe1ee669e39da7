"""Says how far long work is: one line that moves on a terminal, a line every few seconds elsewhere.

Always holds: the share that is done never falls, whatever a stage turns out to hold.

How: work in several stages is one bar. What each stage costs is roughly known beforehand (`Stage`); the time that the work
has taken so far, over the share of the costs that is behind it, gives the time that is left.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TextIO

LOG_INTERVAL_S = 5.0
BAR_SIGNS = 20
LEAST_SHARE = 0.02  # below it a remaining time would be a guess


class Stage(NamedTuple):
    """What a stage of some work costs beside the others: seconds, and seconds for each item that the work is about.

    A stage that costs nothing for an item says nothing of how many items there are.
    """

    name: str
    fixed_s: float
    per_item_s: float = 0.0


class Course:
    """Turns what single stages report into the share of the whole work that is done, from 0 to 1."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages, self._items, self._share = list(stages), 0, 0.0

    def share(self, step: str, done: int, total: int) -> float:
        """The share after `done` of `total` (0: not known) in a stage; that of before in a stage that is not known."""
        place = next((place for place, stage in enumerate(self._stages) if stage.name == step), None)
        if place is None:
            return self._share
        if self._stages[place].per_item_s:
            self._items = max(self._items, done, total)
        costs = [stage.fixed_s + stage.per_item_s * self._items for stage in self._stages]
        within = costs[place] * min(1.0, done / total) if total else 0.0
        self._share = max(self._share, (sum(costs[:place]) + within) / (sum(costs) or 1.0))
        return self._share


class ProgressLine:
    """Called with (step, done, total or 0), writes step, counts and remaining time.

    With `stages` there is one bar, and the time is that of the whole work; without them each step has its own rate and time.
    """

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic, *, stages: Sequence[Stage] = ()) -> None:
        self._out, self._clock, self._moves = out, clock, out.isatty()
        self._course = Course(stages) if stages else None
        self._step, self._began_s, self._next_s = "", clock(), 0.0

    def __call__(self, step: str, done: int, total: int) -> None:
        now_s = self._clock()
        is_new = step != self._step
        if is_new:
            self._step = step
            self._began_s = self._began_s if self._course else now_s
        share = self._course.share(step, done, total) if self._course else None
        if not (self._moves or is_new or now_s >= self._next_s):
            return
        self._next_s = now_s + LOG_INTERVAL_S
        seconds = now_s - self._began_s
        text = describe(step, done, total, seconds) if share is None else describe_whole(share, step, done, total, seconds)
        self._out.write(f"\r\033[K{text}" if self._moves else f"{text}\n")
        self._out.flush()

    def end(self) -> None:
        """Leaves a moving line as it is."""
        if self._moves and self._step:
            self._out.write("\n")


def describe(step: str, done: int, total: int, seconds: float) -> str:
    """`score 100 of 400, 50.0/s, 6 s left`."""
    parts = [counted(step, done, total)]
    if done and seconds >= 1:
        parts.append(f"{done / seconds:,.1f}/s")
        if total > done:
            parts.append(f"{remaining((total - done) * seconds / done)} left")
    return ", ".join(parts)


def describe_whole(share: float, step: str, done: int, total: int, seconds: float) -> str:
    """`[#####---------------]  25 %, 30 s left: read 100 of 400`."""
    signs = round(share * BAR_SIGNS)
    left = f", {remaining(seconds * (1 - share) / share)} left" if share >= LEAST_SHARE and seconds >= 1 else ""
    return f"[{'#' * signs}{'-' * (BAR_SIGNS - signs)}] {share:4.0%}{left}: {counted(step, done, total)}".replace("%", " %")


def counted(step: str, done: int, total: int) -> str:
    return f"{step} {done:,} of {total:,}" if total else f"{step} {done:,}" if done else step


def remaining(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`."""
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
