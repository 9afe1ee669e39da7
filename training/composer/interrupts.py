"""Control-C during a training: the step that runs is finished and saved, then the training stops.

Always holds: all ranks stop behind the same step, and the checkpoint of that step is written. A second Control-C stops at
once; then the newest checkpoint before is what is kept.

How: the signal is only noted. At the end of a step all ranks agree whether it came to any of them, and Composer's own
`stop_training` makes that step the last one, so that everything which happens at a last step happens.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

import torch
from composer import Callback, State
from composer.loggers import Logger
from composer.utils import dist


class StopAtInterrupt(Callback):  # type: ignore[misc]
    """Stops a training behind the step in which SIGINT came. It stands before the callbacks that look for a last step."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._came, self._pid = say, False, os.getpid()
        self.stopped = False

    def fit_start(self, state: State, logger: Logger) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._note)

    def batch_end(self, state: State, logger: Logger) -> None:
        came = self._came
        if dist.get_world_size() > 1:
            flag = state.device.tensor_to_device(torch.tensor([int(came)]))
            dist.all_reduce(flag, reduce_operation="MAX")
            came = bool(flag.item())
        if came:
            self.stopped = True
            state.stop_training()

    def fit_end(self, state: State, logger: Logger) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        """Notes the first signal. The second one interrupts at once."""
        if os.getpid() != self._pid:  # a loader's process: its trainer decides
            return
        if self._came:
            raise KeyboardInterrupt
        self._came = True
        self._say("interrupted: this step is finished and saved, then the training stops; Control-C again stops at once")
