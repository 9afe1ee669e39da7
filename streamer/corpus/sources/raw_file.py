"""A file as a source has it, and whether the recipe wants it."""

import fnmatch

import msgspec

from streamer.corpus.recipe import Source
from streamer.documents.text import DropReason


class RawFile(msgspec.Struct, kw_only=True):
    """A file as it was found. `fault` says why `data` is empty; `language` is what the source states, if it does."""

    path: str
    repository: str
    license: str
    data: bytes = b""
    fault: DropReason | None = None
    language: str | None = None


def is_wanted(path: str, source: Source) -> bool:
    """Whether a path matches the source's globs (`*` crosses `/`)."""
    return any(fnmatch.fnmatchcase(path, glob) for glob in source.include) and not any(
        fnmatch.fnmatchcase(path, glob) for glob in source.exclude
    )


def clean_name(name: str) -> str:
    """A path that can be written as UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()
