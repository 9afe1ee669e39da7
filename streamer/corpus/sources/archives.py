"""Files out of zip and tar archives that anyone packed.

Always holds: an archive takes no more memory than its bounds, whatever its headers say: names, members, and what all of it
unpacks to are bounded; one that breaks off or exceeds a bound gives its files up to there and one that says so.

Archives inside archives are opened as deep as a source says; what all of them unpack to counts for the outermost one.

A name of a tar may be as long as a file, a sparse map without end, a header may be packed 1,000 to 1, and members of a zip
may share their bytes; Python's readers keep every name and every member.
"""

import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streamer.corpus.recipe import Source
from streamer.corpus.sources.bounded_file import Allowance, BoundedFile, ForwardFile, TooMuch, open_unpacked
from streamer.corpus.sources.raw_file import RawFile, Read, clean_name, is_wanted, take
from streamer.documents.text import MAX_BYTES, DropReason

MOST_LISTING_BYTES = 1 << 25  # of a zip's list of members: some 300,000 with names of 60 characters
MOST_MEMBERS = 1 << 20
MOST_HEADER_BYTES = 1 << 20  # of all headers before one member of a tar
MOST_GLOBALS = 1000  # settings that a tar makes for all members behind them; each member copies them
LONGEST_NAME = 4096
MOST_NESTED_BYTES = 1 << 32
COPIED_BYTES = 1 << 18  # of an archive inside another, at once
ZIP_ENDINGS = (".zip", ".whl", ".jar")
TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz")
FREE_BYTES = 1 << 28  # an archive may unpack to so much, and to so many times its size
MOST_UNPACKED = 200
PACKING = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack what they are given at once, however large
FAULTS = (
    OSError, EOFError, MemoryError, NotImplementedError, RuntimeError, ValueError, zlib.error, LZMAError, zipfile.BadZipFile,
    tarfile.TarError,
)  # fmt: skip


class Nest(NamedTuple):
    """Where an archive lies: in which source, and `inside` what (ending in a slash); how deep those inside it are opened."""

    source: Source
    allowance: Allowance
    inside: str
    depth: int

    def opens(self, file: RawFile) -> bool:
        """Whether a member is an archive that is to be opened."""
        return self.depth > 0 and file.fault is None and file.path.lower().endswith((*ZIP_ENDINGS, *TAR_ENDINGS))


def read_archive(path: Path, lost: RawFile, source: Source) -> Iterator[RawFile]:
    """The wanted members of a zip or tar, and of those inside it, as deep as the source says.

    `lost` has the archive's own name, repository and licence; it says what ends the reading.
    """
    try:
        allowance = Allowance(FREE_BYTES + MOST_UNPACKED * path.stat().st_size)
    except OSError as error:
        yield msgspec.structs.replace(lost, fault=fault_of(error))
        return
    yield from read_nested(path, lost, Nest(source, allowance, "", source.depth))


def read_nested(path: Path, lost: RawFile, nest: Nest) -> Iterator[RawFile]:
    read = read_zip if lost.path.lower().endswith(ZIP_ENDINGS) else read_tar
    try:
        yield from read(path, lost, nest)
    except (*FAULTS, TooMuch) as error:
        yield msgspec.structs.replace(lost, fault=fault_of(error))


def read_zip(path: Path, lost: RawFile, nest: Nest) -> Iterator[RawFile]:
    """Raises: what is in FAULTS, TooMuch."""
    with path.open("rb") as opened:
        archive = zipfile.ZipFile(BoundedFile(opened, MOST_LISTING_BYTES))
        for member in archive.infolist():
            file = named(lost, nest.inside + member.filename)
            if member.is_dir():
                continue
            if nest.opens(file) and member.compress_type in PACKING:
                with archive.open(member) as content:
                    yield from unfold(content.read, file, nest)
            elif is_wanted(file.path, nest.source):
                if file.fault is None:
                    nest.allowance.spend(read_member(archive, member, file), late=True)
                yield file
                nest.allowance.check()


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: RawFile) -> int:
    """Fills in a member, or why it is not read; returns how many bytes were unpacked."""
    if member.compress_type not in PACKING:
        file.fault = DropReason.UNREADABLE
        return 0
    count = 0

    def read(size: int) -> bytes:
        nonlocal count
        with archive.open(member) as opened:
            found = opened.read(size)
        count = len(found)
        return found

    try:
        take(file, member.file_size, read)
    except (*FAULTS, TooMuch):
        file.fault = DropReason.UNREADABLE
    return count


def read_tar(path: Path, lost: RawFile, nest: Nest) -> Iterator[RawFile]:
    """Raises: what is in FAULTS, TooMuch."""
    with open_unpacked(path) as opened:
        stream = ForwardFile(opened, nest.allowance)
        for archive, member in members_of(stream):
            file = named(lost, nest.inside + member.name)
            if member.isdir():
                continue
            content: Any = archive.extractfile(member) if member.isreg() and file.fault is None else None
            if content is not None and nest.opens(file):
                yield from unfold(lambda size, content=content: allowed(stream, content, size), file, nest)
            elif is_wanted(file.path, nest.source):
                if not member.isreg():
                    file.fault = DropReason.NOT_A_FILE
                elif content is not None:
                    stream.allow(2 * MAX_BYTES)
                    take(file, member.size, content.read)
                yield file


def allowed(stream: ForwardFile, content: Any, size: int) -> bytes:
    stream.allow(2 * size)
    found: bytes = content.read(size)
    return found


def unfold(read: Read, file: RawFile, nest: Nest) -> Iterator[RawFile]:
    """The files of an archive inside another, which is copied to a file of its own first."""
    with tempfile.NamedTemporaryFile(prefix="phasemix-archive-") as aside:
        try:
            while block := read(COPIED_BYTES):
                nest.allowance.spend(len(block))
                aside.write(block)
                if aside.tell() > MOST_NESTED_BYTES:
                    raise TooMuch("a larger archive than is opened inside another")
            aside.flush()
        except (*FAULTS, TooMuch) as error:
            file.fault = fault_of(error)
            yield file
            return
        inner = Nest(nest.source, nest.allowance, f"{file.path}/", nest.depth - 1)
        yield from read_nested(Path(aside.name), file, inner)


def members_of(stream: ForwardFile) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The members one after the other; none is kept. Raises: tarfile.TarError, TooMuch."""
    stream.allow(MOST_HEADER_BYTES)
    with tarfile.open(fileobj=stream, mode="r:") as archive:  # type: ignore[call-overload]
        for _ in range(MOST_MEMBERS):
            stream.allow(MOST_HEADER_BYTES)
            member = archive.next()
            if member is None:
                return
            if len(archive.pax_headers) > MOST_GLOBALS:
                raise TooMuch(f"{len(archive.pax_headers)} settings for all members")
            archive.members.clear()
            yield archive, member
    raise TooMuch(f"more than {MOST_MEMBERS:,} members")


def named(lost: RawFile, name: str) -> RawFile:
    """A member by its name; one whose name no disk could hold is not read."""
    if len(name) > LONGEST_NAME:
        return msgspec.structs.replace(lost, path=clean_name(name[:LONGEST_NAME]), fault=DropReason.UNREADABLE)
    return msgspec.structs.replace(lost, path=clean_name(name))


def fault_of(error: Exception) -> DropReason:
    return DropReason.TOO_LARGE if isinstance(error, TooMuch | MemoryError) else DropReason.UNREADABLE
