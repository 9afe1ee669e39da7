"""The objects of a bucket as a source: listed once for a build, then fetched by the tasks whose share they are.

Always holds: nothing is fetched that is larger than is read of it; an object that is not as it was listed is counted as
unreadable; what is fetched to the disk has no name there, so a killed task leaves nothing.

The order is that of the same files in a folder, so the same corpus comes out of either.
"""

import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
import xxhash

from streamer.corpus.recipe import Source
from streamer.corpus.sources.bounded_file import place_of
from streamer.corpus.sources.folder import SKIPPED_FOLDERS, Entry
from streamer.corpus.sources.raw_file import RawFile, take
from streamer.corpus.sources.stated_licence import MOST_BYTES
from streamer.documents.text import DropReason
from streamer.errors import CorpusError, StoreError
from streamer.store.faults import clean
from streamer.store.object_store import ObjectStore, StoredObject
from streamer.store.roots import SCHEMES, refuse_secrets

AT_ONCE = 32  # objects that are under way together
BLOCK_BYTES = 1 << 24
MOST_OBJECTS = 1 << 20
MOST_OBJECT_BYTES = 1 << 36
Item = TypeVar("Item")
Result = TypeVar("Result")


def is_address(source: Source) -> bool:
    """Whether a source lies in an object store."""
    return source.path.startswith(SCHEMES)


def open_bucket(source: Source) -> tuple[ObjectStore, str]:
    """The store of a source's whole bucket, and the source's key or prefix in it. Raises: CorpusError."""
    try:
        refuse_secrets(source.path)
        found = urlsplit(source.path)
        bucket = f"{found.scheme}://{found.netloc}"
        return ObjectStore(bucket, noun="source"), source.path[len(bucket) :].strip("/")
    except (StoreError, ValueError) as error:
        raise CorpusError(f"source {clean(source.path)} cannot be opened: {error}") from error


def list_objects(source: Source, without: Iterable[Path | str] = ()) -> list[StoredObject]:
    """The objects of a source by key, without those below an address that `without` has, such as the root.

    Raises: CorpusError for a bucket or prefix that there is not or that may not be listed, and for a git repository.
    """
    store, prefix = open_bucket(source)
    inside = f"{source.path.rstrip('/')}/"
    left_out = tuple(
        f"{place[len(store.url) :].strip('/')}/" for place in without if isinstance(place, str) and place.startswith(inside)
    )
    try:
        found = store.list_objects(prefix, MOST_OBJECTS + 1)
        if len(found) > MOST_OBJECTS:
            raise CorpusError(
                f"source {source.path} has more than {MOST_OBJECTS:,} objects; name several sources with longer prefixes, "
                "or pack the files into archives or Parquet"
            )
        found = [one for one in drop_markers(found) if one.key != prefix and not one.key.startswith(left_out)]
        if not found and prefix and (single := store.find_object(prefix)) is not None:
            return [single]
    except StoreError as error:
        raise CorpusError(str(error)) from error
    if not found:
        raise CorpusError(f"source {source.path} has no object; correct its bucket or prefix in the recipe")
    names = {one.key[len(prefix) :].lstrip("/").partition("/")[0] for one in found}
    if source.revision is not None or ({"HEAD", "objects"} <= names and names & {"refs", "packed-refs"}):
        raise CorpusError(
            f"source {source.path} is read as a git repository, which git reads from a disk alone; copy it into a folder "
            "and name that, or leave out `revision`"
        )
    return found


def drop_markers(found: list[StoredObject]) -> list[StoredObject]:
    """The objects by key, without the empty ones that stand for folders."""
    folders = {one.key[:place] for one in found for place, letter in enumerate(one.key) if letter == "/"}
    return sorted((one for one in found if one.size_bytes or one.key not in folders), key=lambda one: one.key)


def listing_place(work: Path, source: Source) -> Path:
    """Where a build keeps the listing of a source."""
    return work / f"listing-{xxhash.xxh3_64_hexdigest(source.path.encode('utf-8', 'surrogateescape'))}"


def load_objects(source: Source, without: Iterable[Path | str], work: Path | None) -> list[StoredObject]:
    """The listing that a build keeps, else one that is made now. Raises: CorpusError."""
    place = None if work is None else listing_place(work, source)
    if place is None or not place.exists():
        return list_objects(source, without)
    return msgspec.msgpack.decode(place.read_bytes(), type=list[StoredObject])


class ObjectTree:
    """The listed objects of a source, at least one. `is_one`: it is an object, of `size_bytes`, and no folder.

    `aside`: the folder on whose disk large ones are put while they are read.
    """

    at_once = AT_ONCE

    def __init__(self, source: Source, objects: Sequence[StoredObject], aside: Path | None) -> None:
        self._source, self._aside = source, aside
        self._store, prefix = open_bucket(source)
        self.name = (prefix or urlsplit(source.path).netloc).rpartition("/")[2]
        self.is_one, self.size_bytes = len(objects) == 1 and objects[0].key == prefix, objects[0].size_bytes
        start = len(prefix) - len(self.name) if self.is_one else len(prefix) + bool(prefix)
        self._objects = {one.key[start:]: one for one in objects}
        self._below: dict[str, list[str]] = {}
        for path in self._objects:
            top, slash, _ = path.partition("/")
            if slash and SKIPPED_FOLDERS.isdisjoint(path.split("/")[:-1]):
                self._below.setdefault(top, []).append(path)

    def entries(self) -> list[Entry]:
        files = [Entry(path, False, True) for path in self._objects if "/" not in path]
        return files + [Entry(top, True, False) for top in self._below]

    def walk(self, top: str) -> Iterator[tuple[str, DropReason | None]]:
        for path in sorted(self._below[top], key=place_in_walk):
            yield path, None

    def read(self, path: str, file: RawFile) -> RawFile:
        found = self._objects[path]
        try:
            take(file, found.size_bytes, lambda size: self._range(found, 0, size))
        except Changed:
            file.fault = DropReason.UNREADABLE
        return file

    @contextmanager
    def opened(self, path: str) -> Iterator[Path | DropReason]:
        found = self._objects[path]
        if found.size_bytes > MOST_OBJECT_BYTES:
            yield DropReason.TOO_LARGE
            return
        with tempfile.TemporaryFile(dir=self._aside) as file:
            try:
                for start in range(0, found.size_bytes, BLOCK_BYTES):
                    file.write(self._range(found, start, BLOCK_BYTES))
                file.flush()
            except Changed:
                yield DropReason.UNREADABLE
            else:
                yield place_of(file)

    def head(self, path: str) -> bytes | None:
        found = self._objects.get(path)
        try:
            return None if found is None else self._range(found, 0, MOST_BYTES + 1)
        except Changed:
            return None

    def _range(self, found: StoredObject, start: int, size: int) -> bytes:
        """Raises: Changed, CorpusError when the store itself fails."""
        size = min(size, found.size_bytes - start)
        try:
            data = self._store.read_range(found, start, size) if size else b""
        except StoreError as error:
            raise CorpusError(f"source {self._source.path} cannot be read: {error}") from error
        if data is None:
            raise Changed
        return data


class Changed(Exception):
    """An object is not what was listed, or is no longer there."""


def place_in_walk(path: str) -> list[tuple[bool, str]]:
    """Sorts paths as folders are walked: the files of each by name, then its folders by name."""
    *folders, name = path.split("/")
    return [*((True, folder) for folder in folders), (False, name)]


def in_order(function: Callable[[Item], Result], items: Iterable[Item], at_once: int) -> Iterator[Result]:
    """What the function returns for each item, in their order, of several at once."""
    if at_once == 1:
        yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(at_once) as threads:
        for item in items:
            waiting.append(threads.submit(function, item))
            if len(waiting) == 2 * at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
