"""Control-C or SIGTERM during a training: the step that runs is finished and saved, then the training stops.

Always holds: all ranks stop behind the same step, and the checkpoint of that step is written. A Control-C that comes after
the first signal stops at once; then the newest checkpoint before is what is kept. SIGTERM may come any number of times: a
cluster that takes a node back sends it to each process, and a launcher passes its own on.

How: the signal is only noted. At the end of a step all ranks agree whether it came to any of them.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

from training.processes.ranks import any_rank

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def ignore_sigterm() -> None:
    """From here on Control-C alone interrupts: the process is about to end."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Interrupt:
    """Notes a signal between `begin` and `end`; outside of them Control-C and SIGTERM raise KeyboardInterrupt."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._came, self._pid = say, False, os.getpid()

    def begin(self) -> None:
        self._handle(self._note)

    def came(self) -> bool:
        """Whether a signal came to any rank. Every rank must ask."""
        return any_rank(self._came)

    def end(self) -> None:
        self._handle(signal.default_int_handler)

    def _handle(self, handler: Callable[[int, FrameType | None], None]) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        """Notes the first signal. A Control-C after it interrupts at once."""
        if os.getpid() != self._pid:  # a loader's process: its trainer decides
            return
        if self._came and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self._came:
            self._came = True
            again = "Control-C again" if number == signal.SIGINT else "Control-C"
            self._say(f"interrupted: this step is finished and saved, then the training stops; {again} stops at once")
