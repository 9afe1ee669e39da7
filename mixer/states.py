"""A planner's states at every so many batches, as derived objects. Format state/1.

Always holds: a state is a pure function of the ledger before it, whose digest it names; one that is absent, torn or of
another ledger is derived again, never trusted.
"""

import zlib
from typing import Any, NamedTuple

import msgspec
import numpy as np

from mixer.ledger import Ledger, widen
from mixer.permutation import Ints
from mixer.slots import ONE_BITS
from streamer.errors import StoreError
from streamer.store import Store

FORMAT = "state/1"


class State(NamedTuple):
    """Before batch `step`, by stream index: samples owed (in 1/ONE) and samples drawn.

    `lanes`: (stream, first row of a range) -> the open pass and how much each lane has given in it.
    """

    step: int
    credits: Ints
    drawn: Ints
    lanes: dict[tuple[int, int], tuple[int, Ints]]

    @classmethod
    def first(cls, ledger: Ledger) -> "State":
        """The state in which a run begins: where its lineage has come to, nothing owed."""
        lanes: dict[tuple[int, int], tuple[int, Ints]] = {}
        for index, pool in enumerate(ledger.parent.pools if ledger.parent else []):
            lanes |= {(index, low): (number, np.array(given)) for low, number, given in pool.lanes}
        drawn = ledger.drawn_before
        return cls(0, np.zeros_like(drawn), drawn, lanes)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One object. `drawn`: int64; `lanes`: rows of stream, low, pass and sum; `given`: int16 about each row's mean."""

    format: str
    step: int
    ledger: str
    drawn: bytes
    lanes: bytes
    given: bytes


class States:
    """The states of one run. Without `write` none is ever stored."""

    def __init__(self, store: Store, run: str, ledger: Ledger, *, write: bool) -> None:
        self._store, self._folder, self._ledger, self._write = store, f"runs/{run}/states", ledger, write

    def key(self, step: int) -> str:
        return f"{self._folder}/{step:010d}"

    def nearest(self, number: int, interval: int) -> State | None:
        """The last state at or before interval `number` that is there; found by halving."""
        state = self.load(number * interval) if number else None
        low, high = 0, number
        while state is None and high - low > 1:
            middle = (low + high) // 2
            if self._store.get(self.key(middle * interval)) is None:
                high = middle
            else:
                low = middle
            if high - low == 1 and low:
                state = self.load(low * interval)
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

    def keep(self, state: State) -> None:
        """Stores a state, once. A store that cannot be written is no reason to stop."""
        if not self._write:
            return
        rows = [(*key, number, int(given.sum())) for key, (number, given) in state.lanes.items()]
        given = [value - int(value.sum()) // len(value) for _, value in state.lanes.values()]
        kept = Kept(
            format=FORMAT,
            step=state.step,
            ledger=self._ledger.digest(state.step),
            drawn=pack(np.trim_zeros(state.drawn, "b")),
            lanes=pack(np.array(rows, np.int64).reshape(-1, 4).T),
            given=pack(np.array(given, np.int16)),
        )
        try:
            self._store.put_if_absent(self.key(state.step), msgspec.msgpack.encode(kept))
        except StoreError:
            self._write = False

    def _unpack(self, kept: Kept) -> State:
        drawn = unpack(kept.drawn, "<i8")
        rows = unpack(kept.lanes, "<i8").reshape(4, -1).T
        lanes: dict[tuple[int, int], tuple[int, Ints]] = {}
        if len(rows):
            given = unpack(kept.given, "<i2").reshape(len(rows), -1)
            for (stream, low, number, total), value in zip(rows.tolist(), given, strict=True):
                lanes[stream, low] = (number, value + total // len(value))
        return State(kept.step, credits_of(self._ledger, kept.step, drawn), drawn, lanes)


def credits_of(ledger: Ledger, step: int, drawn: Ints) -> Ints:
    """Samples owed: what the segments asked for, less what was drawn. Exact, for both wrap modulo 2^64."""
    assert ledger.settings is not None
    asked = np.zeros(len(drawn), np.int64)
    with np.errstate(over="ignore"):
        for segment in ledger.segments:
            batches = min(segment.end, step) - segment.start
            if batches <= 0:
                break
            shares = segment.shares[: len(drawn)]
            asked[: len(shares)] += shares * np.int64(batches * ledger.settings.global_batch)
        before = widen(ledger.drawn_before[: len(drawn)], len(drawn))
        owed: Ints = asked - (drawn - before << ONE_BITS)
    return owed


def pack(values: np.ndarray[Any, Any]) -> bytes:
    return zlib.compress(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())


def unpack(data: bytes, dtype: str) -> Ints:
    return np.frombuffer(zlib.decompress(data), dtype).astype(np.int64)
