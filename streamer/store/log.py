"""Numbered entries `NAME/00000000`, `NAME/00000001`, ...: the only thing that changes under a root, by growing.

Always holds:
- an entry, once read, never changes; two appenders never both write number n (`Store.put_if_absent`);
- an append that succeeded is known to have, also when the store's answer was lost: an entry carries the append's id;
- whoever must clean up after an append that failed first learns from the log whether the entry stands (`append`, `undo`);
- what is read is what was written: an entry that is missing, damaged or another one is a LogError (entries.py), and a
  number that is missing while a later one exists is never taken for the end, nor written again.

How: entry n holds one body; every 16th is a checkpoint that also holds bodies before it: as many as the largest power of
two that divides its number. So opening reads a handful of checkpoints, each from where the one after it begins, and a tail
of at most 15, and all checkpoints together hold each body a logarithmic number of times. Opening asks the store once which
numbers there are. Where one answer does not hold them all, the end is found by doubling and halving over the checkpoints'
fixed numbers. Every append asks for the numbers behind the last one it knows.
"""

import contextlib
import operator
import secrets
import threading
import time
from collections.abc import Callable

import msgspec

from streamer.errors import LogError, StoreError, UnknownOutcomeError
from streamer.store.entries import (
    CHECKPOINT_INTERVAL,
    FORMAT,
    MISSING,
    RESTORE,
    Bodies,
    Body,
    Entry,
    Sealed,
    decode,
    decode_body,
    encode,
    first_held,
    is_checkpoint,
    key_of,
)
from streamer.store.store import Store

__all__ = ["Bodies", "Body", "Log"]


class Log:
    """One log, read incrementally. Threads may share it."""

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name = store, name
        self._bodies = Bodies(name)
        self._lock = threading.RLock()
        self._is_open = self._is_sealed = False
        self._seal: str | None = None  # the last entry's
        self._bases: dict[int, str] = {}  # seals of checkpoints, which later ones name
        self._written_at_s: dict[int, float] = {}
        self._unresolved: list[tuple[int, str]] = []  # number and id of entries of failed appends, which may stand

    def __getstate__(self) -> tuple[Store, str]:
        return self.store, self.name

    def __setstate__(self, state: tuple[Store, str]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def key(self, number: int) -> str:
        return key_of(self.name, number)

    def read(self) -> Bodies:
        """All bodies there are now, in order. Raises: LogError."""
        with self._lock:
            if not self._is_open:
                self._open()
            else:
                while (entry := self._load(len(self._bodies))) is not None:
                    self._take(entry)
            return self._bodies

    def known(self) -> Bodies:
        """The bodies read so far, without a look at the store."""
        return self._bodies

    def newest(self) -> tuple[int, Body] | None:
        """The newest entry's number and body, of which the others need not be read. Raises: LogError."""
        with self._lock:
            if not self._is_open:
                numbers, may_be_more = self.store.numbers(self.name, -1)
                if not may_be_more:
                    number = self._check_whole(0, numbers) - 1
                    return None if number < 0 else (number, decode_body(self._load_known(number).body, self.name, number))
            bodies = self.read()
            return (len(bodies) - 1, bodies[-1]) if bodies else None

    def written_at_s(self, number: int) -> float:
        """When an entry was written, by its writer's clock; read from the store unless it was just read or written.

        Raises: LogError when there is no such entry.
        """
        if number not in self._written_at_s:
            self._load_known(number)
        return self._written_at_s[number]

    def append(
        self,
        decide: Callable[[Bodies], Body | None],
        *,
        undo: Callable[[], None] | None = None,
        is_same: Callable[[Body, Body], bool] = operator.eq,
    ) -> tuple[int, Body] | None:
        """Appends what `decide` makes of all bodies so far.

        `decide` is called again with what is then there whenever another writer was first; None ends the attempt. `undo`
        removes what the entry would have named. After an error or an interrupt it is called when it is certain that no entry
        of this append stands or ever will, and never otherwise: what is then left over `streams verify` finds.

        An append that this object began before, and that ended in an error although its entry stands, is not done again when
        `decide` says the same: that entry is returned. `is_same` compares a body of the log with a new one.
        Returns: the entry's number and body, or None when `decide` said None. Raises: StoreError, what `decide` raises.
        """
        put: tuple[int, str] | None = None  # number and id of an entry that may stand
        try:
            self.store.opened.claim()
            while True:
                with self._lock:
                    self._reach_end()
                    body = decide(self._bodies)
                    if body is None:
                        return None
                    if (standing := self._find_standing(body, is_same)) is not None:
                        return standing
                    number, append_id = len(self._bodies), secrets.token_hex(12)
                    data = self._encode(number, append_id, body)
                    put = number, append_id
                    try:
                        stored = self.store.put_if_absent(self.key(number), data)
                    except UnknownOutcomeError:
                        raise
                    except StoreError:
                        put = None  # it was refused
                        raise
                    won = decode(stored, self.name, number)
                    if won.append_id == append_id:
                        self._take(won)
                        return number, self._bodies[number]
                    put = None  # another entry has the number
        except BaseException as error:
            if put is not None and not self._is_void(*put, error):
                self._unresolved.append(put)
            elif undo is not None:
                with contextlib.suppress(StoreError):  # what cannot be removed now is garbage
                    undo()
            raise

    def _encode(self, number: int, append_id: str, body: Body) -> bytes:
        """The bytes of an entry behind the last one."""
        return encode(
            Sealed(
                format=FORMAT,
                log=self.name,
                number=number,
                previous=self._seal,
                append_id=append_id,
                written_at_s=round(time.time(), 3),
                body=msgspec.Raw(msgspec.json.encode(body)),
                before=self._bodies.raw[first_held(number) :] if is_checkpoint(number) else None,
                base=self._bases.get(first_held(number)) if is_checkpoint(number) else None,
            )
        )

    def _find_standing(self, body: Body, is_same: Callable[[Body, Body], bool]) -> tuple[int, Body] | None:
        """The entry that stands of an append that ended in an error, when it says the same as `body`. Found once."""
        for number, append_id in self._unresolved:
            entry, asked = self._load(number), msgspec.json.decode(msgspec.json.encode(body))
            if entry is not None and entry.append_id == append_id:
                found = decode_body(entry.body, self.name, number)
                if is_same(found, asked):
                    self._unresolved.remove((number, append_id))
                    return number, found
        return None

    def _is_void(self, number: int, append_id: str, error: BaseException) -> bool:
        """Whether the entry of an append that ended in `error` does not stand and never will."""
        try:
            data = self.store.get(self.key(number))
            if data is not None:
                return decode(data, self.name, number).append_id != append_id
        except StoreError:
            return False
        # An interrupted call of this machine's file system has ended; a request to a server may yet be on its way.
        return not isinstance(error, UnknownOutcomeError) and self.store.local_path(self.name) is not None

    def _reach_end(self) -> None:
        """Reads up to the end, and makes sure that it is the end."""
        if not self._is_open:
            self._open()
            return
        while True:
            start = len(self._bodies)
            numbers, may_be_more = self.store.numbers(self.name, start - 1)
            self._take_until(start, self._check_whole(start, numbers))
            if not may_be_more:
                return

    def _open(self) -> None:
        self._bodies, self._seal, self._is_sealed = Bodies(self.name), None, False
        numbers, may_be_more = self.store.numbers(self.name, -1)
        end = self._check_whole(0, numbers)
        if may_be_more:
            checkpoint = self._last_checkpoint((end - 1) // CHECKPOINT_INTERVAL)
            numbers, may_be_more = self.store.numbers(self.name, checkpoint)
            end = self._check_whole(checkpoint + 1, numbers)
        self._take_checkpoints(max(0, end - 1) // CHECKPOINT_INTERVAL * CHECKPOINT_INTERVAL, end)
        self._take_until(len(self._bodies), end)
        self._is_open = True
        if may_be_more:
            self._reach_end()

    def _check_whole(self, start: int, numbers: list[int]) -> int:
        """The end of a log that has the entries before `start` and those listed. Raises: LogError for a gap."""
        end = max(numbers, default=start - 1) + 1
        if end - start > len(numbers):
            present = set(numbers)
            for number in range(start, end):
                # A folder that grows while it is listed may show an entry and not the one before it.
                if number not in present and self.store.get(self.key(number)) is None:
                    raise LogError(f"{self.key(number)} is missing, though {self.key(end - 1)} exists; {RESTORE}")
        return end

    def _last_checkpoint(self, low: int) -> int:
        """The number of the last checkpoint, found by doubling and halving from the `low`-th on, which exists."""

        def present(index: int) -> bool:
            return self.store.get(self.key(index * CHECKPOINT_INTERVAL)) is not None

        high = low + 1
        while present(high):
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if present(middle) else (low, middle)
        return low * CHECKPOINT_INTERVAL

    def _take_checkpoints(self, number: int, end: int) -> None:
        """Takes in the bodies up to checkpoint `number`, the last before `end`, from it and from those it builds on."""
        if not number:
            return
        newest = entry = self._load_known(number)
        pieces, before = [[entry.body]], entry.before
        while True:
            pieces.append(before or [])
            held, base, is_sealed = first_held(entry.number), entry.base, entry.is_sealed
            self._bases[entry.number] = entry.seal
            if not held:
                break
            entry = self._load_known(held)
            before = entry.before
            if (entry.seal != base) if is_sealed else entry.is_sealed:
                raise self._foreign(held, newest.number)
        if end == number + 1:  # otherwise the entry behind it says whether it is the right one
            before_it = self._load_known(number - 1)
            self._check_follows(newest, before_it.seal, before_it.is_sealed)
        self._bodies.raw = [body for piece in reversed(pieces) for body in piece]
        self._seal, self._is_sealed = newest.seal, newest.is_sealed

    def _take_until(self, start: int, end: int) -> None:
        for number in range(start, end):
            self._take(self._load_known(number))

    def _take(self, entry: Entry) -> None:
        """Takes in the entry after the last. Raises: LogError when it was not written behind that one."""
        self._check_follows(entry, self._seal, self._is_sealed)
        is_open, self._is_open = self._is_open, False  # whoever is interrupted here reads the log anew
        self._bodies.raw.append(entry.body.copy() if entry.before else entry.body)
        self._seal, self._is_sealed = entry.seal, entry.is_sealed
        if entry.before:
            self._bases[entry.number] = entry.seal
        self._is_open = is_open

    def _check_follows(self, entry: Entry, seal: str | None, is_sealed: bool) -> None:
        """Raises: LogError unless an entry was written behind the one of that seal; log/1 does not say, and ended."""
        if (entry.previous != seal) if entry.is_sealed else is_sealed:
            raise self._foreign(entry.number, entry.number - 1)

    def _foreign(self, number: int, other: int) -> LogError:
        first, last = sorted((number, other))
        return LogError(
            f"{self.key(last)} was not written behind {self.key(first)} as that is now: one of the two is from another copy "
            "of this log; restore both from one backup"
        )

    def _load_known(self, number: int) -> Entry:
        """An entry that must be there. Raises: LogError."""
        entry = self._load(number)
        if entry is None:
            raise LogError(f"{self.key(number)} {MISSING}")
        return entry

    def _load(self, number: int) -> Entry | None:
        data = self.store.get(self.key(number))
        if data is None:
            return None
        entry = decode(data, self.name, number)
        self._written_at_s[number] = entry.written_at_s
        return entry
