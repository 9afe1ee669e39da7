"""The files of a folder of this machine, as they are read from a source.

Always holds: links are not followed and nothing but plain files is opened; what cannot be read is a file with a reason.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple, Protocol

from streamer.corpus.sources.raw_file import RawFile, take
from streamer.corpus.sources.stated_licence import MOST_BYTES
from streamer.documents.text import DropReason

SKIPPED_FOLDERS = frozenset({".git", ".hg", ".svn", "__pycache__"})


class Entry(NamedTuple):
    """What lies at the top of a tree; what is neither a folder nor a file is not opened."""

    name: str
    is_folder: bool
    is_file: bool


class Tree(Protocol):
    """A source that is a folder, on this machine or in an object store. Paths are relative, with `/`.

    `name`: the folder's own. `at_once`: how many files may be under way together.
    """

    name: str
    at_once: int

    def entries(self) -> list[Entry]:
        """What lies at the top, in any order, without folders that are never read."""

    def walk(self, top: str) -> Iterator[tuple[str, DropReason | None]]:
        """The paths below a folder at the top: its files by name, then its folders by name, and last what is unreadable."""

    def read(self, path: str, file: RawFile) -> RawFile:
        """The file with its bytes, or why it has none."""

    def opened(self, path: str) -> AbstractContextManager[Path | DropReason]:
        """Where a file lies on this machine, or why it cannot be read."""

    def head(self, path: str) -> bytes | None:
        """The first bytes of what describes a package, one more than is read; None where there is none."""


class FolderTree:
    """A folder, without those folders in it that `without` has."""

    at_once = 1

    def __init__(self, root: Path, without: Iterable[Path | str]) -> None:
        self.name, self._root = root.name, root
        self._without = {place.resolve() for place in without if isinstance(place, Path)}

    def entries(self) -> list[Entry]:
        found = [
            Entry(entry.name, entry.is_dir(follow_symlinks=False), entry.is_file(follow_symlinks=False))
            for entry in os.scandir(self._root)
        ]
        return [entry for entry in found if not entry.is_folder or self._is_read(self._root / entry.name)]

    def walk(self, top: str) -> Iterator[tuple[str, DropReason | None]]:
        unreadable: list[OSError] = []
        length = len(str(self._root / top)) - len(top)
        for place, folders, names in os.walk(self._root / top, onerror=unreadable.append):
            folders[:] = sorted(name for name in folders if self._is_read(Path(place, name)))
            for name in sorted(names):
                yield os.path.join(place, name)[length:], None
        for error in unreadable:
            yield os.fsdecode(error.filename)[length:], DropReason.UNREADABLE

    def _is_read(self, folder: Path) -> bool:
        return folder.name not in SKIPPED_FOLDERS and (not self._without or folder.resolve() not in self._without)

    def read(self, path: str, file: RawFile) -> RawFile:
        try:
            status = os.lstat(self._root / path)
            if not stat.S_ISREG(status.st_mode):
                file.fault = DropReason.NOT_A_FILE
            else:
                with open(self._root / path, "rb", buffering=0) as opened:
                    take(file, status.st_size, opened.read)
        except OSError:
            file.fault = DropReason.UNREADABLE
        return file

    def opened(self, path: str) -> AbstractContextManager[Path | DropReason]:
        return nullcontext(self._root / path)

    def head(self, path: str) -> bytes | None:
        try:
            with os.fdopen(os.open(self._root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                return file.read(MOST_BYTES + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
        except OSError:
            return None
