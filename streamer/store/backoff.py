"""The waits between attempts at something that passes by itself, such as a server that restarts.

Always holds: no attempt is made once the time is up, and clients that failed together do not come back together, because
each wait is shortened at random.

`next_wait_s` only decides, for callers that sleep in their own way; `wait` also sleeps.
"""

import math
import random
import time
from collections.abc import Callable


class Backoff:
    """Waits that double from `first_s` up to `longest_s`, within `total_s` since the first of them was asked for.

    `jitter` is the largest part of a wait that chance may take off: 0 for none, 0.5 for up to a half.
    """

    def __init__(
        self,
        *,
        first_s: float,
        longest_s: float,
        total_s: float = math.inf,
        jitter: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._wait_s, self._longest_s, self._total_s, self._jitter = first_s, longest_s, total_s, jitter
        self._clock, self._sleep, self._chance = clock, sleep, random.Random()
        self._began_s: float | None = None

    def next_wait_s(self) -> float | None:
        """Returns how many seconds to wait before the next attempt, or None when the time is up."""
        now_s = self._clock()
        if self._began_s is None:
            self._began_s = now_s
        wait_s = self._wait_s * (1 - self._jitter * self._chance.random())
        if now_s + wait_s > self._began_s + self._total_s:
            return None
        self._wait_s = min(self._longest_s, 2 * self._wait_s)
        return wait_s

    def wait(self) -> bool:
        """Sleeps until the next attempt. Returns False at once when the time is up."""
        wait_s = self.next_wait_s()
        if wait_s is None:
            return False
        self._sleep(wait_s)
        return True
