"""Documents between two steps, in files of a working folder.

Always holds: a spool is written aside and renamed when complete, so a killed task leaves none that looks finished.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import msgspec

from streamer.documents.document import Document
from streamer.errors import CorpusError


class Kept(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A document with its place in the order of all sources and, while needed, its MinHash values."""

    order: int
    document: Document
    signature: bytes = b""


class SpoolWriter:
    """Writes documents to `path`, which appears on leaving the `with` block without an error."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._aside = path.with_name(f"{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "SpoolWriter":
        self._file = self._aside.open("wb")
        self._encode = msgspec.msgpack.Encoder().encode
        return self

    def write(self, kept: Kept) -> None:
        data = self._encode(kept)
        self._file.write(len(data).to_bytes(4, "little"))
        self._file.write(data)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        if kind is None:
            self._aside.replace(self.path)
        else:
            self._aside.unlink(missing_ok=True)


def read_spool(path: Path) -> Iterator[Kept]:
    """The documents in the order in which they were written. Raises: CorpusError for a torn file."""
    decode = msgspec.msgpack.Decoder(Kept).decode
    with path.open("rb") as file:
        while head := file.read(4):
            data = file.read(int.from_bytes(head, "little"))
            if len(head) < 4 or len(data) < int.from_bytes(head, "little"):
                raise CorpusError(f"{path} ends in the middle of a document; build the corpus again")
            yield decode(data)
