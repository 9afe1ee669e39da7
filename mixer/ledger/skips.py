"""Which batches of a run are handed out: all but those that were skipped.

Always holds: batch numbers are those of the order, skipped or not; a position is the number right behind the last batch
that was handed out.
"""

from bisect import bisect_right


class Skips:
    """Skipped stretches [start, end) of batches, disjoint, by start."""

    def __init__(self) -> None:
        self.stretches: list[tuple[int, int]] = []

    def add(self, start: int, batches: int) -> None:
        self.stretches = sorted([*self.stretches, (start, start + batches)])

    def overlap(self, start: int, end: int) -> tuple[int, int] | None:
        """A skipped stretch that shares a batch with [start, end)."""
        return next((found for found in self.stretches if found[0] < end and start < found[1]), None)

    def next(self, step: int) -> int:
        """The first batch at or after `step` that is handed out, as far as is known."""
        while (place := bisect_right(self.stretches, (step, 1 << 62)) - 1) >= 0 and step < self.stretches[place][1]:
            step = self.stretches[place][1]
        return step

    def next_start(self, step: int) -> int:
        """The first skipped batch at or after `step`; beyond every batch where there is none."""
        return (
            step if self.next(step) != step else min((start for start, _ in self.stretches if start > step), default=1 << 62)
        )

    def before(self, step: int) -> int:
        """How many batches before `step` are skipped."""
        return sum(min(end, step) - start for start, end in self.stretches if start < step)

    def behind(self, step: int, batches: int) -> int:
        """The position behind so many batches that are handed out from `step` on."""
        while batches:
            step = self.next(step)
            run = min(batches, self.next_start(step) - step)
            step, batches = step + run, batches - run
        return step

    def handed_out(self, start: int, end: int) -> list[tuple[int, int]]:
        """The stretches of [start, end) that are handed out."""
        found = []
        while (start := self.next(start)) < end:
            found.append((start, min(end, self.next_start(start))))
            start = found[-1][1]
        return found
