"""Files out of folders, archives and files of rows, here or in an object store, as bytes, with what is known about them.

Always holds: a file that cannot be read is yielded with the reason, never raised; no more than 1 MB of a file is read; the
order is the same on every machine, and the same for a folder and for a copy of it in a bucket.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from streamer.corpus.recipe import UNKNOWN, Source
from streamer.corpus.sources.archives import TAR_ENDINGS, ZIP_ENDINGS, read_archive, readers_of
from streamer.corpus.sources.folder import SKIPPED_FOLDERS, FolderTree, Tree
from streamer.corpus.sources.git_source import is_git, read_git
from streamer.corpus.sources.objects import ObjectTree, in_order, is_address, load_objects
from streamer.corpus.sources.raw_file import WHOLE, RawFile, Share, clean_name, is_wanted, numbered
from streamer.corpus.sources.row_source import ROW_ENDINGS, read_row_files
from streamer.corpus.sources.stated_licence import stated_licence
from streamer.documents.text import DropReason
from streamer.errors import CorpusError
from streamer.packing.grouping import random_key

ENTRY_SHIFT = 26  # room for so many bits of files in one entry of a folder


def read_source(
    source: Source, *, seed: int, share: Share = WHOLE, without: Sequence[Path | str] = (), work: Path | None = None
) -> Iterator[RawFile]:
    """The files of a source, or a task's share of them; `order` is the same whatever the share.

    Args: without, folders and addresses that are left out where they lie in the source, such as the root that is built into;
        work, the working folder of a build, with the listings of sources in object stores.

    Raises: CorpusError when the source itself is not there or is of no known kind.
    """
    if source.max_mb is not None:  # what lies within the budget is known only by reading all before it
        files = within_budget(source, read_all(source, seed, WHOLE, without, work))
        return (file for file in files if share.takes(file.order))
    return read_all(source, seed, share, without, work)


def find_source(source: Source) -> Path:
    """Where a source lies. Raises: CorpusError when it is not there."""
    path = Path(source.path).expanduser()
    if not path.exists():
        raise CorpusError(f"source {source.path} does not exist; correct its path in the recipe")
    return path


def read_all(source: Source, seed: int, share: Share, without: Sequence[Path | str], work: Path | None) -> Iterator[RawFile]:
    tree: Tree
    if is_address(source):
        tree = ObjectTree(source, load_objects(source, without, work), work)
        return read_one(tree, source, share) if tree.is_one else read_folder(tree, source, seed, share)
    path = find_source(source)
    if source.revision is not None or is_git(path):
        return read_git(path, source, share)
    if path.is_dir():
        return read_folder(FolderTree(path, without), source, seed, share)
    return read_container(path, path.name, source, share)


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


class Planned(NamedTuple):
    """A file of a share that is to be read; of an archive or a file of rows its own files are."""

    path: str
    file: RawFile
    is_container: bool = False


def read_folder(tree: Tree, source: Source, seed: int, share: Share) -> Iterator[RawFile]:
    """The files of a folder; archives, Parquet and JSON Lines files that lie at its top are opened, each by one task."""

    def read(planned: Planned) -> Planned:
        if not planned.is_container and planned.file.fault is None:
            tree.read(planned.path, planned.file)
        return planned

    for path, file, is_opened in in_order(read, plan_folder(tree, source, seed, share), tree.at_once):
        if not is_opened:
            yield file
            continue
        with tree.opened(path) as place:
            if isinstance(place, DropReason):
                file.fault = place
                yield file
            else:
                yield from read_container(place, path, source, WHOLE, first=file.order, nested=True)


def plan_folder(tree: Tree, source: Source, seed: int, share: Share) -> Iterator[Planned]:
    """What a task reads of a folder, with the places."""
    # the licence of the one repository, or of files beside others
    own = licence_of(tree, "", source) if source.repository else source.license
    entries = sorted(tree.entries(), key=lambda entry: (random_key(seed, entry.name), entry))
    for number, entry in enumerate(entries):
        name, first = clean_name(entry.name), number << ENTRY_SHIFT
        repository = source.repository or f"{tree.name}/{name}"
        file = RawFile(path=name, repository=repository, license=own, order=first)
        if entry.is_folder:
            yield from plan_tree(tree, entry.name, file, source, share)
        elif entry.is_file and is_container(entry.name):
            if share.takes(number):
                yield Planned(entry.name, file, is_container=True)
        elif is_wanted(name, source) and share.takes(number):
            yield Planned(entry.name, file)


def licence_of(tree: Tree, folder: str, source: Source) -> str:
    """The licence of a repository: what the recipe says, else what a description of a package in the folder states."""
    if source.license != UNKNOWN:
        return source.license
    return stated_licence(lambda name: tree.head(folder + name)) or UNKNOWN


def plan_tree(tree: Tree, top: str, above: RawFile, source: Source, share: Share) -> Iterator[Planned]:
    """The wanted files below a folder, of which `above` says what they share; an unreadable folder is one file."""
    order, is_known = above.order, source.repository is not None
    behind = (above.order >> ENTRY_SHIFT) - above.order  # so that not all folders begin with the same task
    for place, fault in tree.walk(top):
        path = clean_name(place)
        if fault is not None or is_wanted(path, source):
            if share.takes(order + behind):
                if not is_known:  # a repository of which this task reads something
                    is_known, above.license = True, licence_of(tree, f"{top}/", source)
                yield Planned(place, msgspec.structs.replace(above, path=path, order=order, fault=fault))
            order += 1


# archives and files of rows


def is_container(name: str) -> bool:
    return name.lower().endswith((*ZIP_ENDINGS, *TAR_ENDINGS, *ROW_ENDINGS))


def read_one(tree: ObjectTree, source: Source, share: Share) -> Iterator[RawFile]:
    """A share of the one object that a source is, which few of the tasks fetch and divide."""
    name = clean_name(tree.name)
    ending_of(name, source)  # before anything is fetched
    few = share.among(readers_of(tree.size_bytes), name)
    if few is None:
        return
    with tree.opened(tree.name) as place:
        if isinstance(place, DropReason):
            yield from numbered([lost_file(name, source, place)], few)
        else:
            yield from read_container(place, tree.name, source, few)


def read_container(
    path: Path, name: str, source: Source, share: Share, *, first: int = 0, nested: bool = False
) -> Iterator[RawFile]:
    """A share of the files of the archive or file of rows at `path`, which is called `name` in its source.

    `nested`: one found in a folder, whose faults are counted, not raised.
    """
    lost = lost_file(clean_name(name), source)
    if ending_of(name, source) in ROW_ENDINGS:
        return read_row_files(path, lost, source, share, first=first, nested=nested)
    return read_archive(path, lost, source, share, first=first)


def lost_file(name: str, source: Source, fault: DropReason | None = None) -> RawFile:
    """An archive or file of rows itself, which says what ends its reading."""
    repository = source.repository or name[: -len(ending_of(name, source))]
    return RawFile(path=name, repository=repository, license=source.license, fault=fault)


def ending_of(name: str, source: Source) -> str:
    """Raises: CorpusError for a name that is none of an archive or a file of rows."""
    endings = (*ZIP_ENDINGS, *TAR_ENDINGS, *ROW_ENDINGS)
    found = next((ending for ending in endings if name.lower().endswith(ending)), None)
    if found is None:
        raise CorpusError(
            f"source {source.path} is a file whose name ends in none of {', '.join(endings)}; give a folder or one of these"
        )
    return found
