"""Says how far long work is: one line that moves on a terminal, a line every few seconds elsewhere."""

import time
from collections.abc import Callable
from typing import TextIO

LOG_INTERVAL_S = 5.0


class ProgressLine:
    """Called with (step, done, total or 0), writes step, counts, rate and remaining time."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out, self._clock, self._moves = out, clock, out.isatty()
        self._step, self._began_s, self._next_s = "", 0.0, 0.0

    def __call__(self, step: str, done: int, total: int) -> None:
        now_s = self._clock()
        is_new = step != self._step
        if is_new:
            self._step, self._began_s = step, now_s
        if not (self._moves or is_new or now_s >= self._next_s):
            return
        self._next_s = now_s + LOG_INTERVAL_S
        text = describe(step, done, total, now_s - self._began_s)
        self._out.write(f"\r\033[K{text}" if self._moves else f"{text}\n")
        self._out.flush()

    def end(self) -> None:
        """Leaves a moving line as it is."""
        if self._moves and self._step:
            self._out.write("\n")


def describe(step: str, done: int, total: int, seconds: float) -> str:
    parts = [f"{step} {done:,} of {total:,}" if total else f"{step} {done:,}" if done else step]
    if done and seconds >= 1:
        parts.append(f"{done / seconds:,.1f}/s")
        if total > done:
            parts.append(f"{remaining((total - done) * seconds / done)} left")
    return ", ".join(parts)


def remaining(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`."""
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
