"""Files out of folders, archives and Parquet files, as bytes, with what is known about them.

Always holds: a file that cannot be read is yielded with the reason, never raised; links are not followed and nothing
but plain files is opened; no more than 1 MB of a file is read; the order is the same on every machine.
"""

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from streamer.corpus.recipe import UNKNOWN, Source
from streamer.corpus.sources.archives import TAR_ENDINGS, ZIP_ENDINGS, read_archive
from streamer.corpus.sources.git_source import is_git, read_git
from streamer.corpus.sources.parquet_source import read_parquet
from streamer.corpus.sources.raw_file import WHOLE, RawFile, Share, clean_name, is_wanted, numbered, take
from streamer.corpus.sources.stated_licence import MOST_BYTES, stated_licence
from streamer.documents.text import DropReason
from streamer.errors import CorpusError
from streamer.packing.grouping import random_key

SKIPPED_FOLDERS = frozenset({".git", ".hg", ".svn", "__pycache__"})
PARQUET_ENDINGS = (".parquet",)
ENTRY_SHIFT = 26  # room for so many bits of files in one entry of a folder


def read_source(source: Source, *, seed: int, share: Share = WHOLE, without: Sequence[Path] = ()) -> Iterator[RawFile]:
    """The files of a source, or a task's share of them; `order` is the same whatever the share.

    Args: without, folders that are left out where they lie in the source, such as the root that is built into.

    Raises: CorpusError when the source itself is not there or is of no known kind.
    """
    path = find_source(source)
    if source.max_mb is not None:  # what lies within the budget is known only by reading all before it
        files = within_budget(source, read_all(path, source, seed, WHOLE, without))
        return (file for file in files if share.takes(file.order))
    return read_all(path, source, seed, share, without)


def find_source(source: Source) -> Path:
    """Where a source lies. Raises: CorpusError when it is not there."""
    path = Path(source.path).expanduser()
    if not path.exists():
        raise CorpusError(f"source {source.path} does not exist; correct its path in the recipe")
    return path


def read_all(path: Path, source: Source, seed: int, share: Share, without: Sequence[Path]) -> Iterator[RawFile]:
    if source.revision is not None or is_git(path):
        return read_git(path, source, share)
    if path.is_dir():
        return read_folder(path, source, seed, share, {place.resolve() for place in without})
    return read_container(path, source, share)


def count_files(sources: Iterable[Source]) -> int:
    """How many files the sources have, to say how far reading is; 0 where only reading tells (archives, budgets, globs)."""
    count = 0
    for source in sources:
        path = Path(source.path).expanduser()
        is_all = (source.include, source.exclude, source.max_mb, source.revision) == (("*",), (), None, None)
        if not is_all or not path.is_dir() or is_git(path):
            return 0
        for _, folders, names in os.walk(path):
            folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS]
            if any(is_container(name) for name in names):
                return 0
            count += len(names)
    return count


def within_budget(source: Source, files: Iterable[RawFile]) -> Iterator[RawFile]:
    """The files up to the first that the source's `max_mb` have no room for; what lies beyond is not looked at."""
    left = float("inf") if source.max_mb is None else source.max_mb * 1e6
    for file in files:
        if len(file.data) > left:
            file.fault, file.data = DropReason.OVER_BUDGET, b""
            yield file
            return
        left -= len(file.data)
        yield file


# folders


def read_folder(root: Path, source: Source, seed: int, share: Share, without: Collection[Path]) -> Iterator[RawFile]:
    """The files below a folder; Parquet files and archives that lie at its top are opened, each by one task."""
    entries = sorted(os.scandir(root), key=lambda entry: (random_key(seed, entry.name), entry.name))
    own = (
        licence_of(root, source) if source.repository else source.license
    )  # of the one repository, or of files beside others
    for number, entry in enumerate(entries):
        name, first = clean_name(entry.name), number << ENTRY_SHIFT
        repository = source.repository or f"{root.name}/{name}"
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in SKIPPED_FOLDERS and Path(entry.path).resolve() not in without:
                licence = own if source.repository else licence_of(Path(entry.path), source)
                file = RawFile(path=name, repository=repository, license=licence, order=first)
                yield from read_tree(entry.path, file, source, share, without)
        elif entry.is_file(follow_symlinks=False) and is_container(entry.name):
            if share.takes(number):
                yield from read_container(Path(entry.path), source, WHOLE, first=first, nested=True)
        elif is_wanted(name, source) and share.takes(number):
            yield read_file(entry.path, RawFile(path=name, repository=repository, license=own, order=first))


def licence_of(folder: Path, source: Source) -> str:
    """The licence of a repository: what the recipe says, else what a description of a package in the folder states."""

    def read(name: str) -> bytes | None:
        try:
            with os.fdopen(os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                return file.read(MOST_BYTES + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
        except OSError:
            return None

    if source.license != UNKNOWN:
        return source.license
    return stated_licence(read) or UNKNOWN


def read_tree(folder: str, above: RawFile, source: Source, share: Share, without: Collection[Path]) -> Iterator[RawFile]:
    """The wanted files below `folder`, of which `above` says what they share; an unreadable folder is one file."""
    unreadable: list[OSError] = []
    order, top = above.order, above.path
    for place, folders, names in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
        if without:
            folders[:] = [name for name in folders if Path(place, name).resolve() not in without]
        inside = top + clean_name(place[len(folder) :]).replace(os.sep, "/")
        for name in sorted(names):
            path = f"{inside}/{clean_name(name)}"
            if is_wanted(path, source):
                if share.takes(order):
                    file = msgspec.structs.replace(above, path=path, order=order)
                    yield read_file(os.path.join(place, name), file)
                order += 1
    for error in unreadable:
        lost = top + clean_name(os.fsdecode(error.filename)[len(folder) :])
        file = msgspec.structs.replace(above, path=lost, fault=DropReason.UNREADABLE)
        yield from numbered([file], share, first=order)
        order += 1


def read_file(place: str, file: RawFile) -> RawFile:
    """Reads one file; of one whose ending is none of the languages' only the head."""
    try:
        status = os.lstat(place)
        if not stat.S_ISREG(status.st_mode):
            file.fault = DropReason.NOT_A_FILE
        else:
            with open(place, "rb", buffering=0) as opened:
                take(file, status.st_size, opened.read)
    except OSError:
        file.fault = DropReason.UNREADABLE
    return file


# archives and Parquet


def is_container(name: str) -> bool:
    return name.lower().endswith((*ZIP_ENDINGS, *TAR_ENDINGS, *PARQUET_ENDINGS))


def read_container(path: Path, source: Source, share: Share, *, first: int = 0, nested: bool = False) -> Iterator[RawFile]:
    """A share of the files of an archive or Parquet file.

    `nested`: one found in a folder, whose faults are counted, not raised.
    """
    name = path.name.lower()
    if name.endswith(PARQUET_ENDINGS):
        return read_parquet(path, source, share, first=first, nested=nested)
    ending = next((ending for ending in (*ZIP_ENDINGS, *TAR_ENDINGS) if name.endswith(ending)), None)
    if ending is None:
        known = ", ".join((*ZIP_ENDINGS, *TAR_ENDINGS, *PARQUET_ENDINGS))
        raise CorpusError(
            f"source {source.path} is a file whose name ends in none of {known}; give a folder or one of these"
        )
    repository = source.repository or clean_name(path.name[: -len(ending)])
    lost = RawFile(path=clean_name(path.name), repository=repository, license=source.license)
    return read_archive(path, lost, source, share, first=first)
