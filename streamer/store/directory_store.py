"""Objects as files of a directory.

Always holds: an object is either absent or whole, also after a power cut, because a file is written aside, synced, linked to
its name and the folder synced; nothing is read from or written to another root than the one that was opened.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamer.errors import StoreError, UnknownOutcomeError
from streamer.store.identity import OpenedRoot
from streamer.store.store import Numbers, is_number, numbers_behind

# With these a name was certainly not made; with others, such as an input/output error of NFS, it may have been.
REFUSALS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EMLINK,
    errno.ENAMETOOLONG,
    errno.ENOENT,
)


class DirectoryStore:
    """Raises: StoreError where the disk refuses."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.url = str(self.root)
        self.opened = OpenedRoot(
            self.url, read=self._read, put=self.put_if_absent, delete=self.delete, sign=self._sign, is_empty=self._is_empty
        )
        self.opened.check()

    def __getstate__(self) -> tuple[Path, tuple[Any, ...]]:
        return self.root, self.opened.state()

    def __setstate__(self, state: tuple[Path, tuple[Any, ...]]) -> None:
        self.__init__(state[0])  # type: ignore[misc]
        self.opened.restore(state[1])

    def get(self, key: str) -> bytes | None:
        data = self._read(key)
        if data is None:
            self.opened.check()  # a root that is not mounted has no objects either
        return data

    def fetch(self, key: str, path: Path, size_bytes: int) -> int | None:
        try:
            source = (self.root / key).open("rb")
        except (FileNotFoundError, NotADirectoryError):
            self.opened.check()
            return None
        except OSError as error:
            raise unreadable(self.root / key, error) from error
        with source:
            size = os.fstat(source.fileno()).st_size
            if size == size_bytes:
                with path.open("r+b") as file:
                    shutil.copyfileobj(source, file, 2**20)
            return size

    def put_if_absent(self, key: str, data: bytes) -> bytes:
        target, may_be_there = self.root / key, False
        try:
            with self._aside(target) as aside:
                with aside.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                try:
                    os.link(aside, target)  # atomic and exclusive, also on NFS
                except FileExistsError:
                    may_be_there = True
                    return target.read_bytes()
                except OSError as error:
                    may_be_there = error.errno not in REFUSALS
                    raise
                may_be_there = True
            sync(target.parent)
        except OSError as error:
            if may_be_there:
                raise UnknownOutcomeError(
                    f"whether {target} was written is not known: {error.strerror}; look at it again when the disk answers"
                ) from error
            raise unwritable(target, error) from error
        return data

    def put_file(self, key: str, path: Path) -> None:
        target = self.root / key
        try:
            with self._aside(target) as aside:
                with path.open("rb") as source, aside.open("xb") as file:
                    shutil.copyfileobj(source, file, 2**20)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(aside, target)
            sync(target.parent)
        except OSError as error:
            raise unwritable(target, error) from error

    @contextmanager
    def _aside(self, target: Path) -> Iterator[Path]:
        """A name beside an object's own, in a folder that exists, which is gone afterwards."""
        self.opened.check()
        target.parent.mkdir(parents=True, exist_ok=True)
        self.opened.check()  # a root that was just made is the one from now on
        aside = target.parent / f".{target.name}.{secrets.token_hex(6)}"
        try:
            yield aside
        finally:
            aside.unlink(missing_ok=True)

    def delete(self, key: str) -> None:
        self.opened.check()
        try:
            (self.root / key).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{self.root / key} cannot be deleted: {error.strerror}; check the rights") from error

    def list(self, prefix: str) -> list[str]:
        self.opened.check()
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
                found = sorted([int(name) for name in os.listdir(place) if is_number(name)])
            else:
                found = numbers_behind(after, lambda number: is_there(place / f"{number:08d}"))
        except (FileNotFoundError, NotADirectoryError):
            found = []
        except OSError as error:
            raise unreadable(place, error) from error
        if not found:
            self.opened.check()
        return found, False

    def local_path(self, key: str) -> Path | None:
        return self.root / key

    def _read(self, key: str) -> bytes | None:
        try:
            return (self.root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unreadable(self.root / key, error) from error

    def _sign(self) -> tuple[int, int] | None:
        """Another disk that is mounted at the root, or none, shows in the root's device and inode."""
        try:
            found = os.stat(self.url)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unreadable(self.root, error) from error
        return found.st_dev, found.st_ino

    def _is_empty(self) -> bool:
        try:
            with os.scandir(self.root) as entries:
                return next(entries, None) is None
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError as error:
            raise unreadable(self.root, error) from error


def is_there(path: Path) -> bool:
    """Whether a file exists. Raises: OSError when the disk does not say."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def unreadable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path} cannot be read: {error.strerror}; check the disk and the rights")


def unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path} cannot be written: {error.strerror}; free space or check the rights, then try again")


def sync(path: Path) -> None:
    """Makes a file's bytes, or the names in a folder, outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def folder_for(path: Path) -> Path:
    """The nearest folder that exists, in which a root would be made. Raises: StoreError when it may not be written."""
    folder = next(place for place in (path, *path.parents) if place.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(f"{folder} may not be written by this user; name another root, or change the folder's mode")
    return folder
