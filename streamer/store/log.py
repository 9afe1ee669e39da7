"""Numbered entries `NAME/00000000`, `NAME/00000001`, ...: the only thing that changes under a root, by growing.

Always holds:
- an entry, once read, never changes; two appenders never both write number n (`Store.put_if_absent`);
- an append that succeeded is known to have, also when the store's answer was lost: an entry carries the append's id;
- whoever must clean up after an append that failed first learns from the log whether the entry stands (`append`, `undo`).

How: entry n holds one body; every 16th is a checkpoint that also holds bodies before it: as many as the largest power of
two that divides its number. So opening reads a handful of checkpoints, each from where the one after it begins, and a tail
of at most 15, and all checkpoints together hold each body a logarithmic number of times. The end is found by doubling
and halving over the checkpoints' fixed numbers; nothing is listed.
"""

import contextlib
import operator
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from streamer.errors import StoreError, UnknownOutcomeError
from streamer.store.store import Store

CHECKPOINT_INTERVAL = 16
FORMAT = "log/1"
Body = dict[str, Any]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One object of a log. `written_at_s` is the writer's clock, for people; nothing is decided by it.

    `before`, in a checkpoint: the bodies before it, from entry `first_held(number)` on.
    """

    format: str
    append_id: str
    written_at_s: float
    body: Body
    before: list[Body] | None = None


class Versioned(msgspec.Struct, frozen=True):
    """What every object of a log has, of whatever format."""

    format: str


class Log:
    """One log, read incrementally. Threads may share it."""

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name = store, name
        self._bodies: list[Body] = []
        self._lock = threading.RLock()
        self._written_at_s: dict[int, float] = {}
        self._unresolved: list[tuple[int, str]] = []  # number and id of entries of failed appends, which may stand

    def __getstate__(self) -> tuple[Store, str]:
        return self.store, self.name

    def __setstate__(self, state: tuple[Store, str]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def key(self, number: int) -> str:
        return f"{self.name}/{number:08d}"

    def read(self) -> list[Body]:
        """All bodies there are now, in order. The list is the log's own: do not change it."""
        with self._lock:
            if not self._bodies:
                self._bodies = self._load_checkpoints()
            while (entry := self._load(len(self._bodies))) is not None:
                self._bodies.append(entry.body)
            return self._bodies

    def known(self) -> list[Body]:
        """The bodies read so far, without a look at the store."""
        return self._bodies

    def written_at_s(self, number: int) -> float:
        """When an entry was written, by its writer's clock; read from the store unless it was just read or written.

        Raises: StoreError when there is no such entry.
        """
        if number not in self._written_at_s and self._load(number) is None:
            raise StoreError(f"{self.key(number)} is missing; restore the object from a copy")
        return self._written_at_s[number]

    def append(
        self,
        decide: Callable[[list[Body]], Body | None],
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
                    bodies = self.read()
                    body = decide(bodies)
                    if body is None:
                        return None
                    if (standing := self._find_standing(body, is_same)) is not None:
                        return standing
                    number = len(bodies)
                    entry = Entry(
                        format=FORMAT,
                        append_id=secrets.token_hex(12),
                        written_at_s=round(time.time(), 3),
                        body=body,
                        before=bodies[first_held(number) :] if is_checkpoint(number) else None,
                    )
                    put = number, entry.append_id
                    try:
                        stored = self.store.put_if_absent(self.key(number), msgspec.json.encode(entry))
                    except UnknownOutcomeError:
                        raise
                    except StoreError:
                        put = None  # it was refused
                        raise
                    won = decode(stored, self.key(number))
                    if won.append_id == entry.append_id:
                        bodies.append(won.body)
                        self._written_at_s[number] = won.written_at_s
                        return number, won.body
                    put = None  # another entry has the number
        except BaseException as error:
            if put is not None and not self._is_void(*put, error):
                self._unresolved.append(put)
            elif undo is not None:
                with contextlib.suppress(StoreError):  # what cannot be removed now is garbage
                    undo()
            raise

    def _find_standing(self, body: Body, is_same: Callable[[Body, Body], bool]) -> tuple[int, Body] | None:
        """The entry that stands of an append that ended in an error, when it says the same as `body`. Found once."""
        for number, append_id in self._unresolved:
            entry = self._load(number)
            asked = msgspec.json.decode(msgspec.json.encode(body))
            if entry is not None and entry.append_id == append_id and is_same(entry.body, asked):
                self._unresolved.remove((number, append_id))
                return number, entry.body
        return None

    def _is_void(self, number: int, append_id: str, error: BaseException) -> bool:
        """Whether the entry of an append that ended in `error` does not stand and never will."""
        try:
            data = self.store.get(self.key(number))
            if data is not None:
                return decode(data, self.key(number)).append_id != append_id
        except StoreError:
            return False
        # An interrupted call of this machine's file system has ended; a request to a server may yet be on its way.
        return not isinstance(error, UnknownOutcomeError) and self.store.local_path(self.name) is not None

    def _load(self, number: int) -> Entry | None:
        data = self.store.get(self.key(number))
        if data is None:
            return None
        entry = decode(data, self.key(number))
        self._written_at_s[number] = entry.written_at_s
        return entry

    def _load_checkpoints(self) -> list[Body]:
        def present(index: int) -> bool:
            return self.store.get(self.key(index * CHECKPOINT_INTERVAL)) is not None

        if not present(1):
            return []
        low, high = 1, 2
        while present(high):
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if present(middle) else (low, middle)
        number = low * CHECKPOINT_INTERVAL
        entry = self._load(number)
        pieces: list[list[Body]] = [] if entry is None else [[entry.body]]
        while number:
            assert entry is not None
            assert entry.before is not None
            pieces.append(entry.before)
            number = first_held(number)
            entry = self._load(number) if number else None
        return [body for piece in reversed(pieces) for body in piece]


def is_checkpoint(number: int) -> bool:
    return number > 0 and number % CHECKPOINT_INTERVAL == 0


def first_held(number: int) -> int:
    """The number of the first body that a checkpoint holds."""
    return number - (number & -number)


def decode(data: bytes, key: str) -> Entry:
    """An entry from its bytes. Raises: StoreError for another format or torn bytes."""
    try:
        entry = msgspec.json.decode(data, type=Entry)
    except msgspec.MsgspecError as error:
        with contextlib.suppress(msgspec.MsgspecError):
            check_format(msgspec.json.decode(data, type=Versioned), key)  # another format may have other fields
        raise StoreError(f"{key} is no log entry: {error}; restore the object from a copy") from error
    check_format(entry, key)
    return entry


def check_format(entry: Entry | Versioned, key: str) -> None:
    """Raises: StoreError for another format."""
    if entry.format != FORMAT:
        raise StoreError(f"{key} has format {entry.format}; this version reads {FORMAT}: update phasemix")
