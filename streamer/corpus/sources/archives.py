"""Files out of zip and tar archives that anyone packed.

Always holds: an archive takes no more memory than its bounds, whatever its headers say: names, members, and what all of it
unpacks to are bounded; one that breaks off or exceeds a bound gives its files up to there and one that says so.

Archives inside archives are opened as deep as a source says; what all of them unpack to counts for the outermost one.

A zip can be read at any member, so tasks divide its members. A tar, and a zip with archives inside, is unpacked whole by
each task that reads it: that is one task, and one more for every `SHARED_BYTES` of it, since what follows takes longer than
unpacking. What a member of a zip may unpack to counts by its header, whoever unpacks it, so the bounds end an archive at the
same member for any number of tasks.

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
from streamer.corpus.sources.bounded_file import Allowance, BoundedFile, ForwardFile, TooMuch, open_unpacked, place_of
from streamer.corpus.sources.raw_file import WHOLE, RawFile, Read, Share, clean_name, is_wanted, most_taken, numbered, take
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
SHARED_BYTES, MOST_READERS = 1 << 25, 8
PACKING = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack what they are given at once, however large
FAULTS = (
    OSError, EOFError, MemoryError, NotImplementedError, RuntimeError, ValueError, zlib.error, LZMAError, zipfile.BadZipFile,
    tarfile.TarError,
)  # fmt: skip


class Nest(NamedTuple):
    """Where an archive lies: in which source, and `inside` what (ending in a slash); how deep those inside it are opened.

    `share`: which of its files are read; the others are yielded without their bytes.
    """

    source: Source
    allowance: Allowance
    inside: str
    depth: int
    share: Share = WHOLE

    def opens(self, file: RawFile) -> bool:
        """Whether a member is an archive that is to be opened."""
        return self.depth > 0 and file.fault is None and file.path.lower().endswith((*ZIP_ENDINGS, *TAR_ENDINGS))


def read_archive(path: Path, lost: RawFile, source: Source, share: Share = WHOLE, *, first: int = 0) -> Iterator[RawFile]:
    """The share's wanted members of a zip or tar, and of those inside it, as deep as the source says.

    `lost` has the archive's own name, repository and licence; it says what ends the reading. `first` is the place of the
    first file.
    """
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        yield from numbered([msgspec.structs.replace(lost, fault=fault_of(error))], share, first=first)
        return
    unpacked = share
    if share != WHOLE and not is_divided(path, lost, source):
        few = share.among(readers_of(size_bytes), lost.path)
        if few is None:
            return
        share, unpacked = few, WHOLE
    allowance = Allowance(FREE_BYTES + MOST_UNPACKED * size_bytes)
    files = read_nested(path, lost, Nest(source, allowance, "", source.depth, unpacked))
    yield from numbered(files, share, first=first)


def readers_of(size_bytes: int) -> int:
    """How many tasks may unpack an archive that can only be unpacked whole, or fetch what is one object."""
    return min(MOST_READERS, 1 + size_bytes // SHARED_BYTES)


def is_divided(path: Path, lost: RawFile, source: Source) -> bool:
    """Whether tasks divide the members of an archive: of a zip whose members are all to be read as files."""
    if not lost.path.lower().endswith(ZIP_ENDINGS):
        return False
    nest = Nest(source, Allowance(0), "", source.depth)
    try:
        with path.open("rb") as opened:
            members = zipfile.ZipFile(BoundedFile(opened, MOST_LISTING_BYTES)).infolist()
    except (*FAULTS, TooMuch):
        return False
    return not any(nest.opens(named(lost, member.filename)) for member in members)


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
        place = 0
        for member in archive.infolist():
            file = named(lost, nest.inside + member.filename)
            if member.is_dir():
                continue
            if nest.opens(file) and member.compress_type in PACKING:
                with archive.open(member) as content:
                    yield from unfold(content.read, file, nest)
            elif is_wanted(file.path, nest.source):
                if member.compress_type not in PACKING:
                    file.fault = DropReason.UNREADABLE
                is_read = file.fault is None
                if is_read and nest.share.takes(place):
                    read_member(archive, member, file)
                yield file
                nest.allowance.spend(most_taken(file.path, member.file_size) if is_read else 0)
                place += 1


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: RawFile) -> None:
    """Fills in a member, or why it is not read."""

    def read(size: int) -> bytes:
        with archive.open(member) as opened:
            return opened.read(size)

    try:
        take(file, member.file_size, read)
    except (*FAULTS, TooMuch):
        file.fault = DropReason.UNREADABLE


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
    """The files of an archive inside another, which is copied to a file first, one without a name: a kill leaves none."""
    with tempfile.TemporaryFile() as aside:
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
        yield from read_nested(place_of(aside), file, inner)


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
