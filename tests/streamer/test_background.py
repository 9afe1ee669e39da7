"""Threads beside the program's own."""

import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from streamer import background


@pytest.fixture
def alarm() -> Iterator[None]:
    """Interrupts the main thread after a moment."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarm")
def test_a_thread_goes_on_where_somebody_who_waited_for_it_was_interrupted() -> None:
    """Python 3.11 would take it for ended: nobody could wait for it again, nor would the end of the process."""
    may_end, ended = threading.Event(), list[bool]()

    def work() -> None:
        may_end.wait()
        ended.append(True)

    thread = background.start(work, name="phasemix-test")
    assert thread is not None
    with pytest.raises(KeyboardInterrupt):
        thread.join()
    assert thread.is_alive()
    may_end.set()
    thread.join()
    assert ended == [True]
