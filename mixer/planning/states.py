"""A planner's states at every so many batches, as derived objects. Format state/1.

Always holds: a state is a pure function of the ledger before it, whose digest it names; one that is absent, torn or of
another ledger is derived again, never trusted.
"""

import zlib
from typing import NamedTuple

import msgspec
import numpy as np

from mixer.ledger.ledger import Ledger, widen
from mixer.order.permutation import Ints
from mixer.order.shares import ONE_BITS
from streamer.errors import StoreError
from streamer.store.store import Store

FORMAT = "state/1"
TRIED = 8  # states that are tried, latest first, where some cannot be used
ANCHORED = 8  # states of which the first is whole and the others say how they differ from it
Lanes = dict[tuple[int, int], tuple[int, Ints]]


class State(NamedTuple):
    """Before batch `step`, by stream index: samples owed (in 1/ONE) and samples drawn.

    `lanes`: (stream, first row of a range) -> the open pass and how much each lane has given in it.
    """

    step: int
    credits: Ints
    drawn: Ints
    lanes: Lanes

    @classmethod
    def first(cls, ledger: Ledger) -> "State":
        """The state in which a run begins: where its lineage has come to; only a fork is owed something."""
        lanes: Lanes = {}
        for index, pool in enumerate(ledger.parent.pools if ledger.parent else []):
            lanes |= {(index, low): (number, np.array(given)) for low, number, given in pool.lanes}
        drawn = ledger.drawn_before
        return cls(ledger.begin, ledger.owed_before, drawn, lanes)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One object. `drawn`: int64; `lanes`: rows of stream, low, pass and sum.

    `given`: about each row's mean, less the same in the state of step `anchor` where that has the row: lanes drift apart,
    so that the differences take half the bytes.
    """

    format: str
    step: int
    ledger: str
    anchor: int | None
    drawn: bytes
    lanes: bytes
    given: bytes


class States:
    """The states of one run. Without `write` none is ever stored."""

    def __init__(self, store: Store, run: str, ledger: Ledger, *, write: bool) -> None:
        self._store, self._folder, self._ledger, self._write = store, f"runs/{run}/states", ledger, write
        self._anchor: State | None = None

    def key(self, step: int) -> str:
        return f"{self._folder}/{step:010d}"

    def nearest(self, number: int, interval: int) -> State | None:
        """The last state at or before interval `number` that is there; found by halving."""
        first = self._ledger.begin // interval  # what lies at or before the run's begin is not kept
        state = self.load(number * interval) if number > first else None
        low, high = first, number
        while state is None and high - low > 1:
            middle = (low + high) // 2
            if self._store.get(self.key(middle * interval)) is None:
                high = middle
            else:
                low = middle
            if high - low == 1:
                marks = range(low, max(first, low - TRIED), -1)
                state = next((found for mark in marks if (found := self.load(mark * interval)) is not None), None)
        return state

    def load(self, step: int) -> State | None:
        """The state kept for a step; None when there is none that can be used."""
        data = self._store.get(self.key(step))
        if data is None:
            return None
        try:
            kept = msgspec.msgpack.decode(data, type=Kept)
            if (kept.format, kept.step, kept.ledger) != (FORMAT, step, self._ledger.digest(step)):
                return None
            return self._unpack(kept)
        except (msgspec.MsgspecError, zlib.error, ValueError):
            return None

    def keep(self, state: State, interval: int) -> None:
        """Stores a state, once. A store that cannot be written is no reason to stop."""
        if not self._write:
            return
        first = state.step // interval // ANCHORED * ANCHORED * interval
        anchor = self._anchor_at(first) if state.lanes and self._ledger.begin < first < state.step else None
        if state.lanes and first == state.step:
            self._anchor = state
        rows = [(*key, number, int(given.sum())) for key, (number, given) in state.lanes.items()]
        given = [
            drift(value) - base for (_, value), base in zip(state.lanes.values(), bases(state.lanes, anchor), strict=True)
        ]
        kept = Kept(
            format=FORMAT,
            step=state.step,
            ledger=self._ledger.digest(state.step),
            anchor=None if anchor is None else anchor.step,
            drawn=pack(np.trim_zeros(state.drawn, "b")),
            lanes=pack(np.array(rows, np.int64).reshape(-1, 4).T),
            given=pack_small(np.array(given, np.int64)),
        )
        try:
            self._store.put_if_absent(self.key(state.step), msgspec.msgpack.encode(kept))
        except StoreError:
            self._write = False

    def _anchor_at(self, step: int) -> State | None:
        if step and (self._anchor is None or self._anchor.step != step):
            self._anchor = self.load(step)
        return self._anchor if step else None

    def _unpack(self, kept: Kept) -> State | None:
        anchor = None if kept.anchor is None else self._anchor_at(kept.anchor)
        if kept.anchor is not None and anchor is None:
            return None
        drawn = widen(unpack(kept.drawn), len(self._ledger.streams))
        rows = unpack(kept.lanes).reshape(4, -1).T.tolist()
        lanes: Lanes = {(stream, low): (number, np.zeros(0, np.int64)) for stream, low, number, _ in rows}
        if rows:
            given = unpack_small(kept.given).reshape(len(rows), -1)
            for row, value, base in zip(rows, given, bases(lanes, anchor), strict=True):
                stream, low, number, total = row
                lanes[stream, low] = number, value + base + total // len(value)
        return State(kept.step, credits_of(self._ledger, kept.step, drawn), drawn, lanes)


def drift(given: Ints) -> Ints:
    """What each lane has given, about their mean."""
    found: Ints = given - int(given.sum()) // len(given)
    return found


def bases(lanes: Lanes, anchor: State | None) -> list[Ints | int]:
    """Of each row the drift that the anchor has for it; 0 where its pass was not open there."""
    found = anchor.lanes if anchor is not None else {}
    none = (-1, np.zeros(1, np.int64))
    there = ((pass_index, *found.get(key, none)) for key, (pass_index, _) in lanes.items())
    return [drift(given) if now == then else 0 for now, then, given in there]


def credits_of(ledger: Ledger, step: int, drawn: Ints) -> Ints:
    """Samples owed: what the segments asked for, less what was drawn. Exact, for both wrap modulo 2^64.

    `drawn` is as wide as there are streams: one that has not been drawn yet is owed something all the same.
    """
    asked = widen(ledger.owed_before, len(drawn)).copy()
    with np.errstate(over="ignore"):
        for segment in ledger.segments:
            batches = min(segment.end, step) - segment.start
            if batches <= 0:
                break
            asked[: len(segment.shares)] += segment.shares * np.int64(batches * ledger.settings.global_batch)
        own = drawn - widen(ledger.drawn_before, len(drawn))
        owed: Ints = asked - (own << ONE_BITS)
    return owed


def pack(values: Ints) -> bytes:
    return zlib.compress(values.astype("<i8").tobytes())


def unpack(data: bytes) -> Ints:
    return np.frombuffer(zlib.decompress(data), "<i8").astype(np.int64)


def pack_small(values: Ints) -> bytes:
    """Numbers of either sign, most of them small: signs in the lowest bit, then all lowest bytes before all higher ones."""
    folded = (values << 1 ^ values >> 63).ravel()
    planes = folded.astype("<i8").view(np.uint8).reshape(-1, 8).T
    return zlib.compress(np.ascontiguousarray(planes).tobytes())


def unpack_small(data: bytes) -> Ints:
    planes = np.frombuffer(zlib.decompress(data), np.uint8).reshape(8, -1)
    folded = np.ascontiguousarray(planes.T).view("<u8").ravel()
    values: Ints = (folded >> np.uint64(1)).astype(np.int64) ^ -(folded & np.uint64(1)).astype(np.int64)
    return values
