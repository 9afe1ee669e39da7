"""One entry of a log as bytes. Writes format log/2; reads log/1 too.

Always holds: an entry of log/2 whose bytes have changed, or that lies under another name or number than it was written
for, is refused by name. So is one that does not follow the entry before it.

How: an entry is a JSON object whose last key, `seal`, is the xxh3-128 of all bytes before that key. `previous` is the
seal of the entry before it, so that the seal of the newest entry depends on every byte of the log. The checksum is made
for the faults of disks, networks and people who restore files: flipped bits, truncation, mixed-up objects. It does not
stop somebody who forges entries. An entry of log/1 has no seal of its own; the xxh3-128 of its bytes stands in for it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, overload

import msgspec
import xxhash

from streamer.errors import LogError

FORMAT, OLD_FORMAT = "log/2", "log/1"
CHECKPOINT_INTERVAL = 16
TAIL = re.compile(rb',"seal":"([0-9a-f]{32})"\}')
TAIL_BYTES = 43
RESTORE = "restore that object from a backup, or from an earlier version in the bucket"
MISSING = f"is missing; {RESTORE}"
Body = dict[str, Any]
BODY = msgspec.json.Decoder(Body)
T = TypeVar("T")
UNREADABLE = (msgspec.MsgspecError, KeyError, IndexError, TypeError, ValueError, AttributeError)


class Bodies(Sequence[Body]):
    """The bodies of a log, each decoded whenever it is asked for, since a log may hold hundreds of thousands."""

    def __init__(self, log: str) -> None:
        self.log = log
        self.raw: list[msgspec.Raw] = []

    def __len__(self) -> int:
        return len(self.raw)

    @overload
    def __getitem__(self, place: int) -> Body: ...
    @overload
    def __getitem__(self, place: slice) -> list[Body]: ...
    def __getitem__(self, place: int | slice) -> Body | list[Body]:
        if isinstance(place, slice):
            return [self._decode(number) for number in range(*place.indices(len(self.raw)))]
        return self._decode(place)

    def __iter__(self) -> Iterator[Body]:
        return map(self._decode, range(len(self.raw)))

    @contextmanager
    def understood(self, number: int) -> Iterator[None]:
        """Whoever reads body `number` inside gets a LogError, which names the entry, instead of a KeyError or its kin.

        Bodies of log/2 are what was written. Those of log/1 may have been damaged since.
        """
        try:
            yield
        except UNREADABLE as error:
            raise self.not_understood(number, error) from error

    def read_each(self, read: Callable[[Body], T]) -> list[T]:
        """What `read` makes of each body. Raises: LogError for one that it cannot understand, what it raises else."""
        found = []
        for number, body in enumerate(self):
            with self.understood(number):
                found.append(read(body))
        return found

    def not_understood(self, number: int, error: Exception) -> LogError:
        return not_an_entry(key_of(self.log, number), error)

    def _decode(self, place: int) -> Body:
        return decode_body(self.raw[place], self.log, range(len(self.raw))[place])


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry, checked. `written_at_s` is the writer's clock, for people; nothing is decided by it.

    `before`, in a checkpoint: the bodies before it, from entry `first_held(number)` on; `base`: that entry's seal.
    `previous`, `base`: None where there is no such entry, and in log/1.
    """

    number: int
    append_id: str
    written_at_s: float
    body: msgspec.Raw
    before: list[msgspec.Raw] | None
    previous: str | None
    base: str | None
    seal: str
    is_sealed: bool


class Sealed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields of log/2 in the order in which they are written; the seal follows."""

    format: str
    log: str
    number: int
    previous: str | None
    append_id: str
    written_at_s: float
    body: msgspec.Raw
    before: list[msgspec.Raw] | None = None
    base: str | None = None


class Unsealed(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of log/1."""

    format: str
    append_id: str
    written_at_s: float
    body: msgspec.Raw
    before: list[msgspec.Raw] | None = None


class Versioned(msgspec.Struct, frozen=True):
    """What every object of a log has, of whatever format."""

    format: str


def key_of(log: str, number: int) -> str:
    return f"{log}/{number:08d}"


def is_checkpoint(number: int) -> bool:
    return number > 0 and number % CHECKPOINT_INTERVAL == 0


def first_held(number: int) -> int:
    """The number of the first body that a checkpoint holds."""
    return number - (number & -number)


def encode(entry: Sealed) -> bytes:
    """The bytes of an entry, sealed."""
    data = msgspec.json.encode(entry)[:-1]
    return b'%s,"seal":"%s"}' % (data, xxhash.xxh3_128_hexdigest(data).encode())


def decode(data: bytes, log: str, number: int) -> Entry:
    """The entry that `data` holds. Raises: LogError when it is damaged, of a newer format, or another entry."""
    key = key_of(log, number)
    tail = TAIL.fullmatch(data, max(0, len(data) - TAIL_BYTES))
    if tail is None:
        old = convert(data, key, Unsealed, OLD_FORMAT)
        check_shape(old.before, key, number)
        return Entry(
            number=number,
            append_id=old.append_id,
            written_at_s=old.written_at_s,
            body=old.body,
            before=old.before,
            previous=None,
            base=None,
            seal=xxhash.xxh3_128_hexdigest(data),
            is_sealed=False,
        )
    seal, found = tail[1].decode(), xxhash.xxh3_128_hexdigest(memoryview(data)[:-TAIL_BYTES])
    if seal != found:
        raise LogError(f"{key} is damaged: its checksum is {seal}, that of its bytes {found}; {RESTORE}")
    entry = convert(data, key, Sealed, FORMAT)
    if (entry.log, entry.number) != (log, number):
        raise LogError(
            f"{key} holds entry {entry.number:08d} of {entry.log}: it was copied or restored to the wrong place; {RESTORE}"
        )
    check_shape(entry.before, key, number)
    return Entry(
        number=number,
        append_id=entry.append_id,
        written_at_s=entry.written_at_s,
        body=entry.body,
        before=entry.before,
        previous=entry.previous,
        base=entry.base,
        seal=seal,
        is_sealed=True,
    )


def decode_body(raw: msgspec.Raw, log: str, number: int) -> Body:
    """A body as values. Raises: LogError for one of log/1 that has been damaged."""
    try:
        return BODY.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise not_an_entry(key_of(log, number), error) from error


def convert(data: bytes, key: str, kind: type[T], wanted: str) -> T:
    """The fields of an entry of the format `wanted`. Raises: LogError."""
    try:
        found = msgspec.json.decode(data, type=kind)
        written: str = found.format  # type: ignore[attr-defined]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        try:
            written = msgspec.json.decode(data, type=Versioned).format  # another format may have other fields
        except (msgspec.MsgspecError, UnicodeDecodeError):
            written = wanted
        if written == wanted:
            raise not_an_entry(key, error) from error
    if written == wanted:
        return found
    if written in (FORMAT, OLD_FORMAT):
        raise LogError(
            f"{key} is damaged: it says {written} and has {'a' if wanted == FORMAT else 'no'} checksum; {RESTORE}"
        )
    raise LogError(f"{key} has format {written}; this version reads up to {FORMAT}: update phasemix")


def check_shape(before: list[msgspec.Raw] | None, key: str, number: int) -> None:
    """Raises: LogError when a checkpoint does not hold as many bodies as one of its number does."""
    held = number - first_held(number) if is_checkpoint(number) else 0
    if len(before or []) != held:
        raise LogError(f"{key} is damaged: it holds {len(before or [])} bodies of earlier entries, not {held}; {RESTORE}")


def not_an_entry(key: str, error: Exception) -> LogError:
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return LogError(f"{key} is damaged: its content cannot be understood ({said}); {RESTORE}")
