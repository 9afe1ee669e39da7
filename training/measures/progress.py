"""Lines that say how far a training has come.

Always holds: the first and the last step have a line, and in between at most one comes every `every_s` seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from streamer import background
from streamer.commands.progress_line import remaining
from training.measures.speed import Rates


class Progress:
    """Decides which steps get a line, and writes it; times are monotonic seconds."""

    def __init__(self, *, num_steps: int, start_step: int, now: float, every_s: float = 2.0) -> None:
        self._num_steps, self._start_step = num_steps, start_step
        self._began, self._every_s, self._last = now, every_s, float("-inf")

    def is_due(self, step: int, now: float) -> bool:
        """Whether step `step` (counted from 1) gets a line, or it is too soon for one."""
        return step >= self._num_steps or now - self._last >= self._every_s

    def line(self, step: int, loss: float, rates: Rates, now: float) -> str:
        """The line after a step that gets one. `rates`: of all steps so far."""
        self._last = now
        steps_per_s = (step - self._start_step) / max(now - self._began, 1e-9)
        left_s = (self._num_steps - step) / max(steps_per_s, 1e-9)
        used = "" if rates.mfu is None else f"  MFU {rates.mfu:.1%}"
        waits = f"  {rates.wait_share:.0%} waiting for batches" if rates.wait_share >= 0.01 else ""
        speed = f"{rates.tokens_per_s:,.0f} tokens/s{used}{waits}"
        return f"step {step}/{self._num_steps}  loss {loss:.4f}  {speed}  {remaining(left_s)} left"


class Stall:
    """Says every `every_s` seconds that the trainer waits for its next batch, from a thread of its own."""

    def __init__(self, say: Callable[[str], None], every_s: float = 10.0) -> None:
        self._say, self._every_s = say, every_s
        self._since: float | None = None
        self._is_closed = False
        background.start(self._watch, name="phasemix-stall")

    def begin(self) -> None:
        self._since = time.monotonic()

    def end(self) -> None:
        self._since = None

    def close(self) -> None:
        self._is_closed = True

    def _watch(self) -> None:
        said_at = 0.0
        while not self._is_closed:
            background.pause(self._every_s / 10)
            since, now = self._since, time.monotonic()
            if since is not None and now - max(since, said_at) >= self._every_s:
                said_at = now
                self._say(f"still waiting for the next batch after {now - since:.0f} s")
