"""Threads that work beside the program's own and end before the interpreter does.

Always holds:
- when the process ends, every thread is told to stop and is waited for, for at most `STOP_WAIT_S` seconds in all. No thread
  of this package then runs while the interpreter is taken down, so none can be ended there while it holds a lock that
  somebody waits for;
- a thread never keeps the process alive: one that cannot stop in that time (a server that does not answer) is left behind;
- a forked child begins without threads, and may start its own.

How: an exit handler, which Python calls after the program's own threads have ended and before anything is torn down. A
thread learns that it must stop where it calls `check` or `pause`, which raise `Stopped`. Long work calls them between its
blocks.
"""

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Callable

STOP_WAIT_S = 2.0

_threads: set[threading.Thread] = set()
_ending = threading.Event()


class Stopped(Exception):
    """The process ends, and this thread must drop what it does."""


class Thread(threading.Thread):
    """A thread that may be joined again after an interrupt. Python 3.11 takes one whose `join` was interrupted for ended."""

    def __init__(self, work: Callable[[], None], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._work, self._is_over = work, threading.Event()

    def run(self) -> None:
        try:
            with contextlib.suppress(Stopped):
                check()
                self._work()
        finally:
            _threads.discard(self)
            self._is_over.set()

    def join(self, timeout: float | None = None) -> None:
        if self._is_over.wait(timeout):
            super().join()


def start(work: Callable[[], None], *, name: str) -> threading.Thread | None:
    """Runs `work` in a thread of its own. Returns None, and runs nothing, when the process ends or can have no thread."""
    thread = Thread(work, name)
    _threads.add(thread)
    try:
        if _ending.is_set():  # asked after the thread is known, so that the exit handler or this line sees the other
            raise RuntimeError("the process ends")
        thread.start()
    except RuntimeError:  # also raised when the system gives no more threads
        _threads.discard(thread)
        return None
    return thread


def check() -> None:
    """Raises: Stopped in a thread of this module when the process ends. Elsewhere it does nothing."""
    if _ending.is_set() and threading.current_thread() in _threads:
        raise Stopped


def pause(seconds: float) -> None:
    """Sleeps. Raises: Stopped, at once, in a thread of this module when the process ends."""
    if threading.current_thread() not in _threads:
        time.sleep(seconds)
    elif _ending.wait(seconds):
        raise Stopped


def _stop() -> None:
    _ending.set()
    deadline_s = time.monotonic() + STOP_WAIT_S
    for thread in list(_threads):
        if thread.is_alive():
            thread.join(max(0.0, deadline_s - time.monotonic()))


def _forget() -> None:
    """Begins anew in a forked child: the threads, and perhaps a lock of the event, stayed in the parent."""
    global _ending
    _threads.clear()
    _ending = threading.Event()


atexit.register(_stop)
os.register_at_fork(after_in_child=_forget)
