"""A planner's states at every so many batches, as derived objects. Writes format state/2.

Always holds: a state is a pure function of the ledger before it, whose digest it names; one that is absent, damaged, of
another ledger or of format state/1 is derived again, never trusted. Whoever may write then puts the derived one in its
place.
"""

import zlib
from typing import NamedTuple

import msgspec
import numpy as np
import xxhash

from mixer.ledger.ledger import Ledger, widen
from mixer.order.permutation import Ints
from mixer.order.shares import ONE_BITS
from streamer.errors import StoreError
from streamer.store.store import Store

FORMAT = "state/2"
OLD_FORMAT = "state/1"
SEAL_BYTES = 16
TRIED = 8  # states that are tried, latest first, where some cannot be used
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
    """One object, behind which the 16 bytes of its seal lie.

    `drawn`, and `lanes`, whose rows are stream, low, pass and what each lane has given: int64, little-endian, by zlib.
    """

    format: str
    step: int
    ledger: str
    drawn: bytes
    lanes: bytes


class Versioned(msgspec.Struct, frozen=True):
    """What every kept state has, of whatever format."""

    format: str


class States:
    """The states of one run. Without `write` none is ever stored."""

    def __init__(self, store: Store, run: str, ledger: Ledger, *, write: bool) -> None:
        self._store, self._run, self._ledger, self._write = store, run, ledger, write

    def key(self, step: int) -> str:
        return state_key(self._run, step)

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
        return self.read(self._store.get(self.key(step)), step)

    def keep(self, state: State) -> None:
        """Stores a state, in place of one that cannot be used. A store that cannot be written is no reason to stop."""
        if not self._write:
            return
        rows = [(*key, number, *given) for key, (number, given) in state.lanes.items()]
        kept = Kept(
            format=FORMAT,
            step=state.step,
            ledger=self._ledger.digest(state.step),
            drawn=pack(np.trim_zeros(state.drawn, "b")),
            lanes=pack(np.array(rows, np.int64)),
        )
        key, data = self.key(state.step), sealed(msgspec.msgpack.encode(kept))
        try:
            there = self._store.put_if_absent(key, data)
            is_ours = format_of(there) in (None, OLD_FORMAT, FORMAT)  # one of a later format stays
            if there != data and is_ours and self.read(there, state.step) is None:
                self._store.delete(key)
                self._store.put_if_absent(key, data)
        except StoreError:
            self._write = False

    def read(self, data: bytes | None, step: int) -> State | None:
        """The state in an object that was kept for a step; None when it cannot be used."""
        content = None if data is None else unsealed(data)
        if content is None:
            return None
        try:
            kept = msgspec.msgpack.decode(content, type=Kept)
        except msgspec.MsgspecError:  # of another format
            return None
        if (kept.format, kept.step, kept.ledger) != (FORMAT, step, self._ledger.digest(step)):
            return None
        drawn = widen(unpack(kept.drawn), len(self._ledger.streams))
        assert self._ledger.settings is not None
        nodes = self._ledger.settings.canonical_nodes
        rows = unpack(kept.lanes).reshape(-1, 3 + nodes)
        lanes = {(stream, low): (number, row[3:]) for row in rows for stream, low, number in [row[:3].tolist()]}
        return State(step, credits_of(self._ledger, step, drawn), drawn, lanes)


def state_key(run: str, step: int) -> str:
    return f"runs/{run}/states/{step:010d}"


def sealed(content: bytes) -> bytes:
    """The content with its xxh3-128 behind it."""
    return content + xxhash.xxh3_128_digest(content)


def unsealed(data: bytes) -> bytes | None:
    """What was sealed; None when it has changed since."""
    content, seal = data[:-SEAL_BYTES], data[-SEAL_BYTES:]
    return content if seal == xxhash.xxh3_128_digest(content) else None


def format_of(data: bytes) -> str | None:
    """The format that a kept state says it has; None for one that is damaged."""
    content = unsealed(data)
    try:
        written = msgspec.msgpack.decode(data if content is None else content, type=Versioned).format
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return None if content is None and written == FORMAT else written


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
