"""Which signals end a loader's worker process.

Always holds: a worker ends when the process that reads asks it to, or is gone, and never before. A cluster that takes a node
back, like Control-C, sends its signal to every process at once; the one that reads needs its workers for the step that it
then finishes.

How: Control-C is ignored. SIGTERM is blocked, and a thread takes it with the number of the process that sent it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal

from streamer import background

LOOK_S = 1.0


def leave_signals(worker: int) -> None:
    """A `worker_init_fn` of a DataLoader."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    background.start(_end_with_the_reader, name="phasemix-worker-end")


def _end_with_the_reader() -> None:
    reader = multiprocessing.parent_process()
    assert reader is not None
    while reader.is_alive():
        came = signal.sigtimedwait({signal.SIGTERM}, LOOK_S)
        if came is not None and came.si_pid == reader.pid:
            break
    os._exit(0)
