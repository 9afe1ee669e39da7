"""A run's target and realised shares and its losses over steps, in a number of points that a chart can show.

Always holds: nothing is written; realised shares are exact; as a run grows the points before stay where they were, or
every second of them goes.

How: points stand at multiples of a power of two, so what was drawn up to them is kept, and only what is new is counted. A
long run's points fall on the states that its writers keep, so nothing is replayed.
"""

import threading
from collections.abc import Callable
from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt

from mixer.journal.journal import Forecast, line_of
from mixer.ledger.history import Event, history
from mixer.ledger.ledger import Ledger, widen
from mixer.ledger.reports import Report, Reports
from mixer.order.permutation import Ints
from mixer.order.shares import ONE
from streamer.catalog.catalog import Catalog

MOST_EVENTS = 200
RECENT = 20  # reports whose median is the speed
DIGITS = 6
Floats = npt.NDArray[np.float64]


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened at a step, the mixture it brought, and all of it as a line."""

    step: int
    event: str
    mixture: str | None
    text: str


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Of each point the share of each of `groups` in the batches since the point before; the first begins at `first_step`.

    `loss`: the mean loss of a token in each group, `total_loss` that over all streams, in nats; `tokens_per_s`: tokens that
    were trained on in a second. All three are None where nothing was reported. `speed_tokens_per_s`: the median of the run's
    last reports, over which a pause has no weight; `trained_step`: behind the last batch that was reported.
    """

    first_step: int
    steps: list[int]
    groups: list[str]
    target: list[list[float]]
    realised: list[list[float]]
    loss: list[list[float | None]]
    total_loss: list[float | None]
    tokens_per_s: list[float | None]
    speed_tokens_per_s: float | None
    trained_step: int | None
    events: list[Mark]


class Curves:
    """One run. Threads may share it."""

    def __init__(self, catalog: Catalog, run: str) -> None:
        self._catalog, self._run = catalog, run
        self._journal, self._reports = Forecast(catalog, run), Reports(catalog, run)
        self._drawn: dict[int, Ints] = {}
        self._lock = threading.Lock()
        self._last: tuple[tuple[int, list[Report], str, int, int, int | None], Series] | None = None

    def series(self, by: str = "key", *, points: int = 200, start: int = 0, end: int | None = None) -> Series:
        """At most `points` points of the batches [start, end); `by` is "key", "stream" or "component". Raises: RunError."""
        with self._lock:
            self._journal.refresh()
            reports = self._reports.read()
            asked = self._journal.ledger.length, reports, by, points, start, end
            if self._last is None or self._last[0] != asked:
                self._last = asked, self._series(by, points, reports, start, end)
            return self._last[1]

    def _series(self, by: str, points: int, reports: list[Report], start: int, end: int | None) -> Series:
        ledger = self._journal.ledger
        begin = min(max(ledger.begin, start), ledger.end)
        steps = choose_steps(begin, ledger.end if end is None else min(max(end, begin), ledger.end), points)
        groups, member = group_streams(ledger, by)
        low = np.array([begin, *steps[:-1]], np.int64)[: len(steps)]
        high = np.array(steps, np.int64)
        width = len(ledger.streams)
        drawn = (
            np.array([self._drawn_at(step, width) for step in (begin, *steps)]) if steps else np.zeros((1, width), np.int64)
        )
        total, weight = losses(reports, dict(zip(ledger.streams, member.tolist(), strict=True)), low, high, len(groups))
        batch_tokens = ledger.settings.global_batch * ledger.settings.seq_len
        return Series(
            first_step=begin,
            steps=steps,
            groups=groups,
            target=shares(asked_for(ledger, low, high), member, len(groups)),
            realised=shares(np.diff(drawn, axis=0).astype(np.float64), member, len(groups)),
            loss=[means(*row) for row in zip(total, weight, strict=True)],
            total_loss=means(total.sum(1), weight.sum(1)),
            tokens_per_s=speeds(reports, low, high, batch_tokens),
            speed_tokens_per_s=speed(reports, batch_tokens),
            trained_step=reports[-1].end_step if reports else None,
            events=[mark(event) for event in history(self._catalog, line_of(self._catalog, self._run))[-MOST_EVENTS:]],
        )

    def _drawn_at(self, step: int, width: int) -> Ints:
        """Draws of each stream before a step; those at the ledger's end are not kept, for it moves."""
        found = self._drawn.get(step)
        if found is None:
            found = self._journal.state(step).drawn
            if step < self._journal.ledger.end:
                self._drawn[step] = found
        return widen(found, width)


def choose_steps(start: int, end: int, points: int) -> list[int]:
    """At most `points` steps in (start, end], the last being `end`, the others multiples of a power of two."""
    stride = 1
    while (end - 1) // stride - start // stride >= points:
        stride *= 2
    return [*range((start // stride + 1) * stride, end, stride), *([end] if end > start else [])]


def group_streams(ledger: Ledger, by: str) -> tuple[list[str], Ints]:
    """The groups in the order of their first stream, and each stream's group."""
    component: dict[str, str] = {}
    for plan in ledger.plans.values():
        component.update(zip(plan.streams, plan.component, strict=True))
    word: dict[str, Callable[[str], str]] = {
        "key": lambda name: name.split("/")[1],
        "stream": lambda name: name,
        "component": lambda name: component.get(name, ""),
    }
    names = [word[by](name) for name in ledger.streams]
    groups = list(dict.fromkeys(names))
    place = {name: index for index, name in enumerate(groups)}
    return groups, np.array([place[name] for name in names], np.int64)


def asked_for(ledger: Ledger, low: Ints, high: Ints) -> Floats:
    """Samples of each stream that the segments ask for in batches [low, high): (windows, streams)."""
    found = np.zeros((len(low), len(ledger.streams)))
    for segment in ledger.segments:
        overlap = np.minimum(high, segment.end) - np.maximum(low, segment.start)
        here = np.flatnonzero(overlap > 0)
        asked = segment.shares * (ledger.settings.global_batch / ONE)
        found[here, : len(asked)] += overlap[here, None] * asked[None]
    return found


def shares(samples: Floats, member: Ints, groups: int) -> list[list[float]]:
    """(windows, groups), each row summing to 1."""
    found = np.zeros((len(samples), groups))
    for stream, group in enumerate(member.tolist()):
        found[:, group] += samples[:, stream]
    totals = found.sum(1, keepdims=True)
    rows: list[list[float]] = np.round(found / np.where(totals, totals, 1), DIGITS).tolist()
    return rows


def losses(reports: list[Report], group: dict[str, int], low: Ints, high: Ints, groups: int) -> tuple[Floats, Floats]:
    """Of each group in each window the sum of its samples' losses, and how many samples that are.

    A report's samples are spread evenly over its batches.
    """
    total, weight = np.zeros((2, len(low), groups))
    for report in reports:
        overlap = np.minimum(high, report.end_step) - np.maximum(low, report.start_step)
        here = np.flatnonzero(overlap > 0)
        part = overlap[here] / (report.end_step - report.start_step)
        for stream, samples, loss in zip(report.streams, report.samples, report.loss, strict=True):
            if loss is not None and stream in group:
                total[here, group[stream]] += part * samples * loss
                weight[here, group[stream]] += part * samples
    return total, weight


def means(total: Floats, weight: Floats) -> list[float | None]:
    """Of each sum its mean, None where nothing was added."""
    found = np.round(total / np.where(weight, weight, 1), DIGITS)
    return [float(mean) if has else None for mean, has in zip(found, weight, strict=True)]


def paces(reports: list[Report]) -> list[tuple[int, int, float]]:
    """(start, end, seconds) of each report's batches, by the clock of the report before, which it must follow at once."""
    found = []
    for before, report in pairwise(reports):
        if before.end_step == report.start_step and before.at_s and report.at_s and report.at_s > before.at_s:
            found.append((report.start_step, report.end_step, report.at_s - before.at_s))
    return found


def speeds(reports: list[Report], low: Ints, high: Ints, batch_tokens: int) -> list[float | None]:
    """Tokens a second in each window [low, high)."""
    batches, seconds = np.zeros((2, len(low)))
    for start, end, took_s in paces(reports):
        overlap = np.maximum(np.minimum(high, end) - np.maximum(low, start), 0)
        batches += overlap
        seconds += overlap / (end - start) * took_s
    return [round(float(b * batch_tokens / s), 1) if s else None for b, s in zip(batches, seconds, strict=True)]


def speed(reports: list[Report], batch_tokens: int) -> float | None:
    """The median of the last reports' tokens a second; None without two that follow each other."""
    recent = [(end - start) * batch_tokens / seconds for start, end, seconds in paces(reports[-RECENT - 1 :])]
    return round(float(np.median(recent)), 1) if recent else None


def mark(event: Event) -> Mark:
    """An event as a line."""
    words = [event.event, *([event.mixture] if event.mixture else []), *([f"by {event.by}"] if event.by else [])]
    return Mark(
        step=event.step,
        event=event.event,
        mixture=event.mixture,
        text=" ".join(words) + (f": {event.why}" if event.why else ""),
    )
