"""Tells a caller how far a build is: step, how many are done, of how many (0: not known yet).

Always holds: a step is reported at most ten times a second; the tasks of a stage are counted together, wherever they run.

How: each task writes what it has done into a small file of its own, and the process that builds reads them all.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Report = Callable[[str, int, int], None]
GO_ON = "run the same command again, it goes on from here"
INTERVAL_S = 0.1
TALLY_INTERVAL_S = 0.5


def silent(step: str, done: int, total: int) -> None:
    """A report to nobody."""


class Progress:
    """Passes reports on, thinned out."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._step, self._next_s = "", 0.0

    def report(self, step: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        if step != self._step or now_s >= self._next_s or (total and done == total):
            self._step, self._next_s = step, now_s + INTERVAL_S
            self._report(step, done, total)

    @contextmanager
    def watching(self, step: str, folder: Path, total: int) -> Iterator[None]:
        """Reports what the tallies below `folder` hold, all tasks together, until the block ends."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(TALLY_INTERVAL_S):
                self.report(step, read_tallies(folder), total)

        thread = threading.Thread(target=watch, name=f"progress of {step}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
        done = read_tallies(folder)
        self.report(step, done, done)


class Tally:
    """What one task of a stage has done so far, in a file."""

    def __init__(self, folder: Path, rank: int) -> None:
        self._path, self._done, self._next_s = folder / f"{rank:05d}", 0, 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, count: int = 1) -> None:
        self._done += count
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + TALLY_INTERVAL_S
            self.write()

    def write(self) -> None:
        self._path.write_text(str(self._done))

    def __enter__(self) -> "Tally":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.write()


def read_tallies(folder: Path) -> int:
    """The sum over all tasks; one that is being written counts as nothing."""
    found = [path.read_text() for path in folder.glob("*")]
    return sum(int(text) for text in found if text)
