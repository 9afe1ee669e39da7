"""Contents by id: rows of The Stack v2 and of Stack-Edu name gzip objects in a folder or an object store.

Always holds: files keep their order; no more than the limit of one file is unpacked; a content that is missing or cannot be
unpacked is counted as that, and ends nothing.
"""

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from streamer.catalog.references import open_reference
from streamer.corpus.sources.objects import AT_ONCE, in_order
from streamer.corpus.sources.raw_file import RawFile
from streamer.documents.text import MAX_BYTES, DropReason
from streamer.errors import CorpusError, StoreError, StreamError

LONGEST_ID = 256
GZIP = 16 + zlib.MAX_WBITS


class Contents:
    """The contents at an address. Raises: CorpusError for an address that cannot be opened."""

    def __init__(self, address: str) -> None:
        try:
            self._store = open_reference(address)
        except (StoreError, StreamError, OSError) as error:
            raise CorpusError(f"contents {address} cannot be opened ({error}); correct the address in the recipe") from error
        self.address = address

    def fill(self, files: Iterable[tuple[RawFile, Any]]) -> Iterator[RawFile]:
        """The files with the contents of their ids. Raises: CorpusError when the store itself fails."""
        return in_order(lambda pair: self._filled(*pair), files, AT_ONCE)

    def _filled(self, file: RawFile, content_id: Any) -> RawFile:
        try:
            content = self.load(content_id)
        except StoreError as error:
            raise CorpusError(f"contents {self.address} cannot be read: {error}; run it again once they can be") from error
        if isinstance(content, DropReason):
            file.fault, file.data = content, b""
        else:
            file.fault, file.data = None, content
        return file

    def load(self, content_id: Any) -> bytes | DropReason:
        """The content of an id, or why there is none. Raises: StoreError."""
        name = content_id.decode("ascii", "replace") if isinstance(content_id, bytes) else content_id
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_ID or not name.isalnum() or not name.isascii():
            return DropReason.NO_CONTENT
        data = self._store.get(name)
        return DropReason.NO_CONTENT if data is None else unpack(data)


def unpack(data: bytes) -> bytes | DropReason:
    """The bytes of a gzip object, up to what a file may have."""
    unpacker = zlib.decompressobj(GZIP)
    try:
        found = unpacker.decompress(data, MAX_BYTES + 1)
    except zlib.error:
        return DropReason.UNREADABLE
    if len(found) > MAX_BYTES:
        return DropReason.TOO_LARGE
    return found if unpacker.eof else DropReason.UNREADABLE
