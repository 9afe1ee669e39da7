"""A run's log: what each position of the run draws. Format ledger/1, order order/1.

Always holds: what position p is, is a pure function of the ledger's bodies and the streams' logs. Later entries never
change an earlier position.

How: a created or switched entry holds a plan (streams, shares, caps) as integers; a segment entry names the batches it
covers, the plan by its entry, and how many rows of each stream there are from its first batch on.
"""

from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from mixer.errors import RunError
from mixer.passes import Timeline
from mixer.resolution import Plan
from mixer.slots import Ints, count_draws, settle

FORMAT = "ledger/1"
ORDER = "order/1"
STATE_INTERVAL = 512


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is bound to. `global_batch` in samples, `write_ahead` and `segment_batches` in global batches."""

    mixture: str
    seed: int
    global_batch: int
    seq_len: int
    canonical_nodes: int = 1
    num_steps: int | None = None
    segment_batches: int = 32
    write_ahead: int = 256


class Segment(NamedTuple):
    """`batches` global batches from `start` under the plan of entry `plan`. `totals`: rows of streams, by index."""

    start: int
    batches: int
    plan: int
    shares: Ints
    counts: Ints | None

    @property
    def end(self) -> int:
        return self.start + self.batches


class State(NamedTuple):
    """Before batch `step`: samples owed (in 1/ONE) and samples drawn, by stream index."""

    step: int
    credits: Ints
    drawn: Ints


class Ledger:
    """A ledger's bodies, taken in one after the other, with what they imply."""

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.streams: list[str] = []
        self.plans: dict[int, Plan] = {}
        self.switches: list[tuple[int, int]] = []  # (step, entry of the plan)
        self.segments: list[Segment] = []
        self.timelines: list[Timeline] = []
        self.totals: list[int] = []
        self.snapshots: list[int] = []
        self.ended: str | None = None
        self.length = 0
        self._states: list[State] = [State(0, np.zeros(0, np.int64), np.zeros(0, np.int64))]
        self._digest = xxhash.xxh3_64()
        self.digests: list[tuple[int, str]] = []

    @property
    def end(self) -> int:
        """The first batch that no segment covers."""
        return self.segments[-1].end if self.segments else 0

    def take(self, bodies: list[dict[str, Any]]) -> None:
        """Takes in the bodies it has not seen. Raises: RunError for a format or order it does not know."""
        self.add(bodies[self.length :])

    def add(self, bodies: list[dict[str, Any]]) -> None:
        """Takes in bodies that follow those it has seen."""
        for body in bodies:
            self._take(body)
            self.length += 1

    def _take(self, body: dict[str, Any]) -> None:
        if body["format"] != FORMAT or body.get("order", ORDER) != ORDER:
            raise RunError(f"the run's ledger has format {body['format']}, order {body.get('order')}; update phasemix")
        match body["event"]:
            case "created":
                self.settings = msgspec.convert(body["settings"], Settings)
                self._take_plan(0, body["plan"])
            case "switched":
                self._take_plan(body["at_step"], body["plan"])
            case "segment":
                self._take_segment(body)
            case "ended":
                self.ended = body["reason"]
            case other:
                raise RunError(f"the run's ledger has an entry {other!r} that this version does not know; update phasemix")

    def _take_plan(self, step: int, plan: dict[str, Any]) -> None:
        self.plans[self.length] = msgspec.convert(plan, Plan)
        self.switches.append((step, self.length))
        for name in self.plans[self.length].streams:
            if name not in self.streams:
                self.streams.append(name)
                self.timelines.append(Timeline())
                self.totals.append(0)
                self.snapshots.append(0)

    def _take_segment(self, body: dict[str, Any]) -> None:
        state = self.state(body["start"])
        for index, total, snapshot in body["joins"]:
            self.timelines[index].extend(int(state.drawn[index]), total)
            self.totals[index], self.snapshots[index] = total, snapshot
        shares = np.array(body["shares"] if body["shares"] is not None else self.segments[-1].shares, np.int64)
        counts = None if body["counts"] is None else np.array(body["counts"], np.int64)
        self.segments.append(Segment(body["start"], body["batches"], body["plan"], shares, counts))
        self._digest.update(msgspec.json.encode(body, order="sorted"))
        self.digests.append((self.end, self._digest.hexdigest()))

    def plan_at(self, step: int) -> int:
        """The entry of the plan that holds at a step: of those that took effect by then, the last one written."""
        return max(entry for at, entry in self.switches if at <= step)

    def next_switch(self, step: int) -> int | None:
        """The next later step at which another plan takes effect."""
        later = [at for at, entry in self.switches if at > step]
        return min(later, default=None)

    def segment_at(self, step: int) -> Segment:
        low, high = 0, len(self.segments)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.segments[middle].start <= step else (low, middle)
        return self.segments[low]

    def counts(self, state: State) -> Ints:
        """Samples of each stream in batch `state.step`."""
        segment = self.segment_at(state.step)
        if segment.counts is not None:
            return widen(segment.counts, len(self.streams))
        assert self.settings is not None
        shares = widen(segment.shares, len(self.streams))
        return count_draws(shares, widen(state.credits, len(shares)), self.settings.global_batch)

    def after(self, state: State) -> State:
        """The state one batch later."""
        shares = widen(self.segment_at(state.step).shares, len(self.streams))
        counts = self.counts(state)
        width = len(shares)
        return State(state.step + 1, settle(shares, widen(state.credits, width), counts), widen(state.drawn, width) + counts)

    def state(self, step: int) -> State:
        """The state before a batch of the ledger or its end: replays from the nearest one kept."""
        place = min(step // STATE_INTERVAL, len(self._states) - 1)
        state = self._states[place]
        while state.step < step:
            state = self.after(state)
            if state.step == len(self._states) * STATE_INTERVAL:
                self._states.append(state)
        width = len(self.streams)
        return State(state.step, widen(state.credits, width), widen(state.drawn, width))

    def digest(self, step: int) -> str:
        """A digest of the segments that decide the batches before `step`."""
        return next((digest for end, digest in self.digests if end >= step), "") if step else ""


def widen(values: npt.NDArray[np.int64], width: int) -> Ints:
    """The same values, zeros for streams that came later."""
    return values if len(values) == width else np.concatenate([values, np.zeros(width - len(values), np.int64)])
