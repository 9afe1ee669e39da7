"""The line of a run: the run itself and the runs that it forked from, each with the batches that stand in its own log.

Always holds: every batch of the line stands in exactly one log; a run that forked before its parent's own first batch has
nothing of that parent, only of what this one forked from.
"""

from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar

from mixer.ledger.ledger import FOREVER, Ledger


class Logged(Protocol):
    """What has a run's ledger: a journal, or whatever is made of one."""

    @property
    def run(self) -> str: ...

    @property
    def ledger(self) -> Ledger: ...


L = TypeVar("L", bound=Logged)


class Span(NamedTuple, Generic[L]):
    """Batches [start, end) of the line, which stand in the log of one run. Empty where start is end."""

    of: L
    start: int
    end: int


class Ancestry(Generic[L]):
    """The spans of a run's line, the run's own first. `open_run` opens a parent, when it is first asked for."""

    def __init__(self, newest: L, open_run: Callable[[str], L]) -> None:
        self._line, self._open = [newest], open_run

    def __iter__(self) -> Iterator[Span[L]]:
        end, place = FOREVER, 0
        while True:
            found = self._line[place]
            start, parent = min(end, found.ledger.begin), found.ledger.forked_from
            yield Span(found, start, end)
            if parent is None:
                return
            end, place = start, place + 1
            if place == len(self._line):
                self._line.append(self._open(parent))

    @property
    def newest(self) -> L:
        return self._line[0]

    def oldest_first(self) -> list[Span[L]]:
        return list(self)[::-1]

    def owner(self, step: int) -> L:
        """In whose own log a batch stands, or will; for a step below 0 the oldest."""
        return next((span.of for span in self if step >= span.start), self._line[-1])
