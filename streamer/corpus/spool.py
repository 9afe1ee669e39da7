"""Records between two steps, in files of a working folder.

Always holds: a spool is written aside and renamed when complete, so a killed task leaves none that looks finished; two
processes never write the same file.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from streamer.documents.document import Document
from streamer.documents.known_columns import UNKNOWN_STANDING, Standing
from streamer.errors import CorpusError

SPOOL, SIGNATURES = ".spool", ".signatures"
Record = TypeVar("Record", bound=msgspec.Struct)


class Kept(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A document with its place in the order of all sources, and what decides between its copies."""

    order: int
    document: Document
    standing: Standing = UNKNOWN_STANDING


def end_file(file: BinaryIO, *, is_whole: bool) -> None:
    """Closes a file; one that is whole is on the disk before its name says so."""
    with file:
        if is_whole:
            file.flush()
            os.fsync(file.fileno())


def write_through(path: Path, data: bytes) -> None:
    """Writes a file that is on the disk when this returns."""
    file = path.open("wb")
    try:
        file.write(data)
    finally:
        end_file(file, is_whole=True)


class SpoolWriter:
    """Writes records to `path`, which appears on leaving the `with` block without an error."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._aside = path.with_name(f"{path.name}.{os.getpid()}.part")
        path.parent.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "SpoolWriter":
        self._file = self._aside.open("wb")
        self._encode = msgspec.msgpack.Encoder().encode
        return self

    def write(self, record: msgspec.Struct) -> None:
        data = self._encode(record)
        self._file.write(len(data).to_bytes(4, "little"))
        self._file.write(data)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        end_file(self._file, is_whole=kind is None)
        if kind is None:
            self._aside.replace(self.path)
        else:
            self._aside.unlink(missing_ok=True)


class SignedWriter:
    """Writes documents to `path.spool`, and their MinHash values, row by row, to `path.signatures`."""

    def __init__(self, path: Path) -> None:
        self._spool = SpoolWriter(path.with_suffix(SPOOL))
        self._path = path.with_suffix(SIGNATURES)
        self._aside = path.with_name(f"{self._path.name}.{os.getpid()}.part")

    def __enter__(self) -> "SignedWriter":
        self._file = self._aside.open("wb")
        self._spool.__enter__()
        return self

    def write(self, kept: Kept, signature: npt.NDArray[np.uint32]) -> None:
        self._spool.write(kept)
        self._file.write(signature.tobytes())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        end_file(self._file, is_whole=kind is None)
        if kind is None:
            self._aside.replace(self._path)
        else:
            self._aside.unlink(missing_ok=True)
        self._spool.__exit__(kind, error, trace)


def read_records(path: Path, kind: type[Record]) -> Iterator[Record]:
    """The records in the order in which they were written. Raises: CorpusError for a torn file."""
    return (record for record, _ in sized_records(path, kind))


def sized_records(path: Path, kind: type[Record]) -> Iterator[tuple[Record, int]]:
    """The records, each with how many bytes of the file it takes. Raises: CorpusError for a torn file."""
    decode = msgspec.msgpack.Decoder(kind).decode
    with path.open("rb") as file:
        while head := file.read(4):
            data = file.read(int.from_bytes(head, "little"))
            if len(head) < 4 or len(data) < int.from_bytes(head, "little"):
                raise CorpusError(f"{path} ends in the middle of a record; build the corpus again")
            yield decode(data), len(head) + len(data)


def read_places(path: Path) -> Iterator[tuple[int, Kept]]:
    """The documents of a spool, each with its place in the file, for `read_at`."""
    place = 0
    for kept, size in sized_records(path, Kept):
        yield place, kept
        place += size


def read_at(file: BinaryIO, place: int) -> Kept:
    """The document at a place in an open spool."""
    file.seek(place)
    size = int.from_bytes(file.read(4), "little")
    return msgspec.msgpack.decode(file.read(size), type=Kept)


def read_spool(path: Path) -> Iterator[Kept]:
    """The documents of a spool. Raises: CorpusError for a torn file."""
    return read_records(path, Kept)
