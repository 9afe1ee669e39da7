"""What lies in a folder of source files, by language.

Always holds: a file is opened only where its name does not decide (a script without an ending, a header), and then its first
`HEAD_BYTES` alone are read; links are not followed; the look ends after `MOST_FILES` files, however many there are.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from deploy.quickstart.errors import QuickstartError
from streamer.corpus.sources.folder import SKIPPED_FOLDERS
from streamer.corpus.sources.ingest import is_container
from streamer.corpus.sources.raw_file import clean_name
from streamer.documents.languages import depends_on_text, detect
from streamer.documents.text import MAX_BYTES

MOST_FILES = 200_000
HEAD_BYTES = 8192  # a script names its interpreter in the first 200 characters; a header of C++ mostly shows it this early


class Folder(msgspec.Struct, frozen=True, kw_only=True):
    """`languages`: files and bytes by language, the largest first; `repositories`: bytes of source by entry of the folder.

    `places`: the entries in which each language lies; `others`: files of no language that the corpus knows, or too large for
    it; `unreadable`: folders that may not be entered. `is_whole`: whether all of the folder was looked at.
    """

    path: Path
    languages: dict[str, tuple[int, int]]
    repositories: dict[str, int]
    places: dict[str, set[str]]
    others: int
    unreadable: int
    is_whole: bool

    @property
    def files(self) -> int:
        return sum(files for files, _ in self.languages.values())

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.languages.values())


def look(path: Path) -> Folder:
    """Looks through a resolved path. Raises: QuickstartError when it is no folder, or holds no source that may be read."""
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise QuickstartError(
            f"{path} {what}; name a folder of source files, or give archives and Parquet files to phasemix corpus ingest"
        )
    languages: dict[str, list[int]] = {}
    repositories: dict[str, int] = {}
    places: dict[str, set[str]] = {}
    unreadable: list[OSError] = []
    others = containers = seen = 0
    for place, folders, names in os.walk(path, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
        for name in sorted(names):
            seen += 1
            file = Path(place, name)
            containers += is_container(name)
            size = size_of(file)
            language = language_of(file) if 0 < size <= MAX_BYTES else None
            if language is None:
                others += 1
                continue
            found = languages.setdefault(language, [0, 0])
            found[0] += 1
            found[1] += size
            repository = f"{path.name}/{clean_name(file.relative_to(path).parts[0])}"  # as the corpus calls it
            repositories[repository] = repositories.get(repository, 0) + size
            places.setdefault(language, set()).add(repository)
        if seen >= MOST_FILES:
            break
    if not languages:
        raise QuickstartError(nothing_found(path, others, containers, unreadable))
    return Folder(
        path=path,
        languages={name: (files, size) for name, (files, size) in sorted(languages.items(), key=lambda item: -item[1][1])},
        repositories=repositories,
        places=places,
        others=others,
        unreadable=len(unreadable),
        is_whole=seen < MOST_FILES,
    )


def language_of(file: Path) -> str | None:
    """As the corpus tells it, from the name or, where that is not enough, the head; None also for an unreadable file."""
    if not depends_on_text(file.name):
        return detect(file.name, "")
    try:
        with file.open("rb") as opened:
            head = opened.read(HEAD_BYTES)
    except OSError:
        return None
    return detect(file.name, head.decode("utf-8", "replace"))


def size_of(file: Path) -> int:
    """In bytes; 0 for what is no plain file or cannot be asked."""
    try:
        return 0 if file.is_symlink() or not file.is_file() else file.stat().st_size
    except OSError:
        return 0


def nothing_found(path: Path, others: int, containers: int, unreadable: list[OSError]) -> str:
    """Why a folder gives no source file, and what to do."""
    if unreadable and not others:
        return (
            f"{path} may not be read ({unreadable[0].strerror}); give yourself the right to read it, or name another folder"
        )
    if containers:
        return (
            f"{path} holds {containers:,} archives or Parquet files and no source files of its own; "
            f"read them with phasemix corpus ingest {path}"
        )
    return f"{path} holds no source file of a language that is known ({others:,} other files); name another folder"
