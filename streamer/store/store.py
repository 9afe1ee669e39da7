"""What a root can do, and the store that keeps a root in memory.

Always holds, on every backend:
- the first writer of a key decides; every later writer gets the first one's bytes (`put_if_absent`);
- an object is either absent or whole;
- a put that fails says whether its outcome is known: UnknownOutcomeError, or any error that is no StoreError, means that the
  object may be there, now or a little later; every other StoreError means that it is not.

The backends: `MemoryStore` for tests, `DirectoryStore`, and `ObjectStore` over obstore; `roots.open_store` chooses.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from streamer.store.identity import OpenedRoot

DOUBLINGS = 20
Numbers = tuple[list[int], bool]  # in the classes of stores `list` is a method


class Store(Protocol):
    """Objects under one root. Keys are relative paths with `/`. `opened`: what this process knows of the root."""

    url: str
    opened: OpenedRoot

    def get(self, key: str) -> bytes | None:
        """The object's bytes, or None when there is none."""

    def fetch(self, key: str, path: Path, size_bytes: int) -> int | None:
        """Writes the object over the start of an existing file, without holding it in memory.

        Returns: the object's size, None when there is none; where that is not `size_bytes` nothing is written.
        Raises: StoreError for the store, OSError for the file.
        """

    def put_if_absent(self, key: str, data: bytes) -> bytes:
        """Writes `data` unless the key exists; returns what the key then holds. Raises: StoreError, UnknownOutcomeError."""

    def put_file(self, key: str, path: Path) -> None:
        """Writes a whole local file under a key that nobody else uses."""

    def delete(self, key: str) -> None:
        """Removes an object; absent is fine."""

    def list(self, prefix: str) -> list[str]:
        """Keys under a folder, sorted. Only for garbage and never to open a log."""

    def numbers(self, folder: str, after: int) -> Numbers:
        """Numbers above `after` of the numbered objects in a folder, ascending, and whether there may be more.

        Where a number is missing, some of those behind the gap are returned, not all.
        """

    def local_path(self, key: str) -> Path | None:
        """Where the object lies on this machine, when it does."""


class MemoryStore:
    """Objects in this process; what the contract tests compare the others with."""

    def __init__(self, url: str = "memory://") -> None:
        self.url = url
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self.opened = OpenedRoot(
            url,
            read=self._objects.get,
            put=self.put_if_absent,
            delete=self.delete,
            sign=lambda: 0,
            is_empty=lambda: not self._objects,
        )

    def get(self, key: str) -> bytes | None:
        return self._objects.get(key)

    def fetch(self, key: str, path: Path, size_bytes: int) -> int | None:
        data = self._objects.get(key)
        if data is not None and len(data) == size_bytes:
            with path.open("r+b") as file:
                file.write(data)
        return None if data is None else len(data)

    def put_if_absent(self, key: str, data: bytes) -> bytes:
        with self._lock:
            return self._objects.setdefault(key, bytes(data))

    def put_file(self, key: str, path: Path) -> None:
        self._objects[key] = path.read_bytes()

    def delete(self, key: str) -> None:
        self._objects.pop(key, None)

    def list(self, prefix: str) -> list[str]:
        return sorted(key for key in self._objects if key.startswith(prefix.rstrip("/") + "/"))

    def numbers(self, folder: str, after: int) -> Numbers:
        if after >= 0:
            return numbers_behind(after, lambda number: f"{folder}/{number:08d}" in self._objects), False
        prefix = f"{folder}/"
        length = len(prefix) + 8  # the cheaper question first: there may be many objects
        with self._lock:
            names = [key[-8:] for key in self._objects if len(key) == length and key.startswith(prefix)]
        return sorted(int(name) for name in names if is_number(name)), False

    def local_path(self, key: str) -> Path | None:
        return None


def is_number(name: str) -> bool:
    """Whether a file is a numbered object, and not what a writer left aside."""
    return len(name) == 8 and name.isdecimal()


def numbers_behind(after: int, is_there: Callable[[int], bool]) -> list[int]:
    """The numbers behind `after` up to the first that is missing, and such as are there farther on in steps that double.

    So a gap is found whenever more entries lie behind it than are missing in it.
    """
    number = after + 1
    while is_there(number):
        number += 1
    farther = (number + (1 << doubling) for doubling in range(DOUBLINGS))
    return [*range(after + 1, number), *filter(is_there, farther)]
