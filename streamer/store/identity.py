"""The identity of a root: by it a process knows that the root it writes to is still the one that it opened.

Always holds: nothing is appended to a root that is not the one this process opened. An empty folder, left where a disk was
mounted, is not taken for a new root, and a root that comes back is recognised.

How: a root has one object with a random id, put when the first process appends to it. A process reads it when it opens the
root. Before each write it compares a *sign* that is cheap to have: for a directory its device and inode, for an object store
the running second. The object is read again only when the sign has changed. Roots of older versions get their identity
with the first append; until then an empty folder alone is refused.

The object is JSON: `format`, `id`, and `check`, the xxh3-64 of the id, so that a flipped bit is not taken for another root.
"""

import secrets
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import xxhash

from streamer.errors import StoreError

KEY = "identity/00000000"
FORMAT = "root/1"
NEVER = object()  # the sign before the first look


class OpenedRoot:
    """What a process knows of the root that it opened. Threads may share it; a pickle goes on with the same root.

    Args: `read` and `put` act on one object of the root; `sign` returns what shows cheaply that the root is the same, None
    for a directory that does not exist; `is_empty` says whether nothing lies there.
    """

    def __init__(
        self,
        url: str,
        *,
        read: Callable[[str], bytes | None],
        put: Callable[[str, bytes], bytes],
        delete: Callable[[str], None],
        sign: Callable[[], Any],
        is_empty: Callable[[], bool],
    ) -> None:
        self._url, self._read, self._put, self._delete, self._sign, self._is_empty = url, read, put, delete, sign, is_empty
        self.id: str | None = None
        self._seen: Any = NEVER
        self._was_empty = True
        self._is_claimed = False
        self._lock = threading.RLock()

    def check(self) -> None:
        """Raises: StoreError when the root is not the one that this process opened."""
        if self._sign() != self._seen:
            with self._lock:
                self._look()

    def claim(self) -> None:
        """Checks the root before an append. The first time it also tests that the root keeps what it has, and gives it an
        identity. Raises: StoreError.
        """
        self.check()
        if self._is_claimed:
            return
        with self._lock:
            if not self._is_claimed:
                self.probe()
                if self.id is None:
                    self.id = decode(self._put(KEY, encode(secrets.token_hex(16))), self._url)
                self._seen, self._was_empty, self._is_claimed = self._sign(), False, True

    def probe(self) -> None:
        """Puts a key twice. Raises: StoreError for a root that takes both, where two writers would overwrite each other."""
        key, first, second = f"probes/{secrets.token_hex(8)}", b"first", b"second"
        if self._put(key, first) != first or self._put(key, second) != first:
            raise StoreError(f"root {self._url} overwrites existing objects; use a store with conditional puts")
        self._delete(key)

    def state(self) -> tuple[Any, ...]:
        """What a pickled store takes along, so that another process goes on with the same root."""
        return self.id, self._seen, self._was_empty

    def restore(self, state: tuple[Any, ...]) -> None:
        self.id, self._seen, self._was_empty = state

    def _look(self) -> None:
        """Reads the identity and compares it with what was known."""
        seen, data = self._sign(), self._read(KEY)
        found, is_empty = None if data is None else decode(data, self._url), data is None and self._is_empty()
        if found is None and (self.id is not None or (is_empty and not self._was_empty)):
            what = "it does not exist" if seen is None else "nothing of it lies there"
            raise StoreError(
                f"the root {self._url} that this process opened is gone: {what}. Nothing was written. Mount its disk again, "
                "and work goes on; start the process anew to make a new root there"
            )
        if self.id is not None and found != self.id:
            raise StoreError(
                f"another root lies at {self._url} than the one that this process opened. Nothing was written. Mount the "
                "first one again, or start the process anew to use the other"
            )
        self.id, self._seen, self._was_empty = found, seen, is_empty


def decode(data: bytes, url: str) -> str:
    """The id in an object's bytes. Raises: StoreError for damaged bytes or another format."""
    try:
        fields = msgspec.json.decode(data, type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreError(f"{url}/{KEY} is damaged ({error}); restore it from a copy") from error
    if fields.get("format") != FORMAT:
        raise StoreError(f"{url}/{KEY} has format {fields.get('format')}; this version reads {FORMAT}: update phasemix")
    if encode(fields.get("id", "")) != data:
        raise StoreError(f"{url}/{KEY} is damaged (its check does not fit its id); restore it from a copy")
    return fields["id"]


def encode(root_id: str) -> bytes:
    return msgspec.json.encode({"format": FORMAT, "id": root_id, "check": xxhash.xxh3_64_hexdigest(root_id.encode())})
