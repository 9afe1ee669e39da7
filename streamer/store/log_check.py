"""Reads every entry of a log, and says what is wrong with it. A log itself reads only what it needs (log.py).

Always holds: an entry that is missing below the log's end, damaged, or another one than was written is named; so is a
checkpoint whose copies of earlier bodies differ from those entries. A log whose newest entries are gone looks whole:
only other objects can tell (docs/formats.md).
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec

from streamer.errors import LogError, StoreError
from streamer.store.entries import RESTORE, Entry, decode, decode_body, first_held, key_of
from streamer.store.store import Store, is_number

READERS = 8


class LogCheck:
    """One log, read whole. `entries`: how many numbers it has; `faults`: a line for each thing that is wrong."""

    def __init__(self, store: Store, name: str) -> None:
        self.name = name
        self.entries = 1 + max(all_numbers(store, name), default=-1)
        self.faults: list[str] = []
        self._read: list[Entry | None] = []
        for number, data in enumerate(load_all(store, (key_of(name, number) for number in range(self.entries)))):
            try:
                self._read.append(self._check(number, data))
            except LogError as error:
                self._read.append(None)
                self.faults.append(str(error))

    def _check(self, number: int, data: bytes | StoreError | None) -> Entry:
        key = key_of(self.name, number)
        if data is None:
            raise LogError(f"{key} is missing, though {key_of(self.name, self.entries - 1)} exists; {RESTORE}")
        if isinstance(data, StoreError):
            raise LogError(str(data))
        entry, before = decode(data, self.name, number), self._read[number - 1] if number else None
        if before is not None or not number:
            follows = entry.previous == (before.seal if before is not None else None)
            if not (follows if entry.is_sealed else before is None or not before.is_sealed):
                self.faults.append(
                    f"{key} was not written behind the entry before it as that is now: one of the two is from another copy "
                    "of the log; restore both from one backup"
                )
        for held, body in enumerate(entry.before or [], first_held(number)):
            own = self._read[held]
            if own is not None and not self._same(own, body, number):
                self.faults.append(f"{key} holds another body for entry {held:08d} than that entry itself; {RESTORE}")
        decode_body(entry.body, self.name, number)  # one of log/1 may hold anything
        return entry

    def _same(self, own: Entry, copy: msgspec.Raw, holder: int) -> bool:
        return bytes(own.body) == bytes(copy) or decode_body(own.body, self.name, own.number) == decode_body(
            copy, self.name, holder
        )


def all_numbers(store: Store, name: str) -> list[int]:
    """The numbers of all entries there are."""
    found, may_be_more = store.numbers(name, -1)
    while may_be_more:
        more, may_be_more = store.numbers(name, found[-1])
        found += more
    return found


def load_all(store: Store, keys: Iterable[str]) -> Iterator[bytes | StoreError | None]:
    """The objects in the order of their keys, or why one cannot be read."""

    def load(key: str) -> bytes | StoreError | None:
        try:
            return store.get(key)
        except StoreError as error:
            return error

    with ThreadPoolExecutor(READERS) as threads:
        yield from threads.map(load, keys)


def logs_under(store: Store, folder: str) -> list[str]:
    """The names of logs that have entries somewhere below a folder."""
    keys = (key.rpartition("/") for key in store.list(folder))
    return sorted({place for place, _, name in keys if is_number(name)})
