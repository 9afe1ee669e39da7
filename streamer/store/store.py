"""Immutable objects under one root, written by put-if-absent.

Always holds:
- the first writer of a key decides; every later writer gets the first one's bytes (`put_if_absent`);
- an object is either absent or whole, on every backend, also after a power cut (`DirectoryStore` writes aside, syncs,
  links and syncs the folder).

Three backends: `MemoryStore` for tests, `DirectoryStore`, and `ObjectStore` (object_store.py) over obstore.
"""

import os
import secrets
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from streamer.errors import StoreError

DOUBLINGS = 20
Numbers = tuple[list[int], bool]  # in the classes of stores `list` is a method


class Store(Protocol):
    """What a root can do. Keys are relative paths with `/`."""

    url: str

    def get(self, key: str) -> bytes | None:
        """The object's bytes, or None when there is none."""

    def fetch(self, key: str, path: Path, size_bytes: int) -> int | None:
        """Writes the object over the start of an existing file, without holding it in memory.

        Returns: the object's size, None when there is none; where that is not `size_bytes` nothing is written.
        Raises: StoreError for the store, OSError for the file.
        """

    def put_if_absent(self, key: str, data: bytes) -> bytes:
        """Writes `data` unless the key exists; returns what the key then holds."""

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
        with self._lock:
            names = [key.rpartition("/") for key in self._objects if key.startswith(folder)]
        return sorted(int(name) for place, _, name in names if place == folder and is_number(name)), False

    def local_path(self, key: str) -> Path | None:
        return None


class DirectoryStore:
    """Objects as files of a directory. Raises StoreError where the disk refuses."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.url = str(self.root)
        self._was_there = self.root.is_dir()

    def get(self, key: str) -> bytes | None:
        try:
            return (self.root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"{self.root / key} cannot be read: {error.strerror}") from error

    def fetch(self, key: str, path: Path, size_bytes: int) -> int | None:
        try:
            source = (self.root / key).open("rb")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"{self.root / key} cannot be read: {error.strerror}") from error
        with source:
            size = os.fstat(source.fileno()).st_size
            if size == size_bytes:
                with path.open("r+b") as file:
                    shutil.copyfileobj(source, file, 2**20)
            return size

    def put_if_absent(self, key: str, data: bytes) -> bytes:
        target = self.root / key
        try:
            self._make_folder(target.parent)
            aside = target.parent / f".{target.name}.{secrets.token_hex(6)}"
            try:
                with aside.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.link(aside, target)  # atomic and exclusive, also on NFS
            finally:
                aside.unlink(missing_ok=True)
            sync_folder(target.parent)
        except FileExistsError:
            return target.read_bytes()
        except OSError as error:
            raise StoreError(f"{target} cannot be written: {error.strerror}; free space or rights, then again") from error
        return data

    def put_file(self, key: str, path: Path) -> None:
        target = self.root / key
        aside = target.parent / f".{target.name}.{secrets.token_hex(6)}"
        try:
            self._make_folder(target.parent)
            try:
                with path.open("rb") as source, aside.open("xb") as file:
                    shutil.copyfileobj(source, file, 2**20)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(aside, target)
            finally:
                aside.unlink(missing_ok=True)
            sync_folder(target.parent)
        except OSError as error:
            raise StoreError(f"{target} cannot be written: {error.strerror}; free space or rights, then again") from error

    def _make_folder(self, folder: Path) -> None:
        """A root that was there and is gone is not made anew: its disk is away, and has what would be written again."""
        if self._was_there and not self.root.is_dir():
            raise StoreError(f"{self.root} was there and is gone; is its disk mounted?")
        folder.mkdir(parents=True, exist_ok=True)
        self._was_there = True

    def delete(self, key: str) -> None:
        try:
            (self.root / key).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{self.root / key} cannot be deleted: {error.strerror}; check the rights") from error

    def list(self, prefix: str) -> list[str]:
        folder = self.root / prefix
        found = (path for path in folder.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.root).as_posix() for path in found)

    def numbers(self, folder: str, after: int) -> Numbers:
        """Lists the folder only when all numbers are asked for: of 31,000 files that takes 10 ms, looking behind a known one
        0.1 ms.
        """
        place = self.root / folder
        try:
            if after < 0:
                return sorted([int(name) for name in os.listdir(place) if is_number(name)]), False
            return numbers_behind(after, lambda number: is_there(place / f"{number:08d}")), False
        except (FileNotFoundError, NotADirectoryError):
            return [], False
        except OSError as error:
            raise StoreError(f"{place} cannot be read: {error.strerror}") from error

    def local_path(self, key: str) -> Path | None:
        return self.root / key


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


def is_there(path: Path) -> bool:
    """Whether a file exists. Raises: OSError when the disk does not say."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_unless_exclusive(store: Store) -> None:
    """Puts a probe key twice and refuses a root that takes both. Raises: StoreError."""
    key, first, second = f"probes/{secrets.token_hex(8)}", b"first", b"second"
    if store.put_if_absent(key, first) != first or store.put_if_absent(key, second) != first:
        raise StoreError(f"root {store.url} overwrites existing objects; use a store with conditional puts")
    store.delete(key)
