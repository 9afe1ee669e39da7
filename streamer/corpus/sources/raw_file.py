"""A file as a source has it, and whether the recipe wants it."""

import fnmatch
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import msgspec
import xxhash

from streamer.corpus.recipe import Source
from streamer.documents.known_columns import UNKNOWN_STANDING, Standing
from streamer.documents.languages import may_be_source
from streamer.documents.text import MAX_BYTES, DropReason

HEAD_BYTES = 4096


class RawFile(msgspec.Struct, kw_only=True):
    """A file as it was found. `fault` says why `data` is empty; `language` is what the source states, if it does.

    `encoding`: what the bytes were written in, once they are text. `order`: its place in the source.
    `replaced`: what was private in the text, by kind. `standing`: what decides between its copies.
    """

    path: str
    repository: str
    license: str
    data: bytes = b""
    fault: DropReason | None = None
    language: str | None = None
    encoding: str = "utf-8"
    order: int = 0
    replaced: str = ""
    standing: Standing = UNKNOWN_STANDING


class Share(NamedTuple):
    """What one of several tasks takes: every `size`-th file, or archive, from `rank` on."""

    rank: int = 0
    size: int = 1

    def takes(self, number: int) -> bool:
        return number % self.size == self.rank

    def among(self, most: int, name: str) -> "Share | None":
        """The share of what at most so many of the tasks divide, which depends on its name; None for the other tasks."""
        size = min(most, self.size)
        rank = (self.rank - xxhash.xxh3_64_intdigest(name.encode("utf-8", "backslashreplace"))) % self.size
        return Share(rank, size) if rank < size else None


WHOLE = Share()


def numbered(files: Iterable[RawFile], share: Share, *, first: int = 0) -> Iterator[RawFile]:
    """The files of a share, with their places."""
    for place, file in enumerate(files, start=first):
        if share.takes(place):
            file.order = place
            yield file


def is_wanted(path: str, source: Source) -> bool:
    """Whether a path matches the source's globs (`*` crosses `/`)."""
    return any(fnmatch.fnmatchcase(path, glob) for glob in source.include) and not any(
        fnmatch.fnmatchcase(path, glob) for glob in source.exclude
    )


def clean_name(name: str) -> str:
    """A path that can be written as UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()


def take(file: RawFile, size_bytes: int, read: "Read") -> None:
    """Fills in a file's bytes, or why it is not taken; never more than the limit, whatever size is declared.

    Of a file whose ending is none of the languages' only the head is read.
    """
    if size_bytes > MAX_BYTES:
        file.fault = DropReason.TOO_LARGE
    elif may_be_source(file.path):
        file.data = read(MAX_BYTES + 1)
    else:
        file.fault = judge_head(read(HEAD_BYTES))


def most_taken(path: str, size_bytes: int) -> int:
    """How many bytes `take` reads at most of a file of that size."""
    return 0 if size_bytes > MAX_BYTES else min(size_bytes, MAX_BYTES if may_be_source(path) else HEAD_BYTES)


def judge_head(head: bytes) -> DropReason:
    """Why a file that is in none of the languages is dropped."""
    if not head.strip():
        return DropReason.EMPTY
    return DropReason.BINARY if b"\0" in head else DropReason.UNKNOWN_LANGUAGE


class Read(Protocol):
    """The read method of an opened file (for annotations)."""

    def __call__(self, size: int, /) -> bytes: ...
