"""Files of strangers as archive readers see them: no read is larger, and no file longer, than is allowed.

Always holds: whatever a header inside the file says, a read beyond what was allowed raises TooMuch before a byte of it is
there. The archive libraries of Python ask for as many bytes as a header names, and keep them.
"""

import bz2
import gzip
import lzma
from pathlib import Path
from typing import IO, Any

SKIPPED_BYTES = 1 << 16
KEPT_BYTES = 512  # of what was read last, so that a reader may step back a little without unpacking all again
PACKED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open))


class TooMuch(Exception):
    """A read of more than an archive may have."""


class BoundedFile:
    """A file of which no read is larger than `most_at_once`."""

    def __init__(self, file: IO[bytes], most_at_once: int) -> None:
        self._file, self._most_at_once = file, most_at_once
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """Raises: TooMuch."""
        if size > self._most_at_once:
            raise TooMuch(f"a read of {size:,} bytes")
        found = self._file.read(size if size >= 0 else self._most_at_once + 1)
        if len(found) > self._most_at_once:
            raise TooMuch(f"a read of more than {self._most_at_once:,} bytes")
        return found

    def seekable(self) -> bool:
        return True


class Allowance:
    """How many bytes an archive, and those inside it, may still unpack to."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes

    def spend(self, count: int) -> None:
        """Raises: TooMuch when more was spent than there was."""
        self._left -= count
        if self._left < 0:
            raise TooMuch("more bytes than the archive may unpack to")


class ForwardFile:
    """The plain bytes of a file, compressed or not, read from the front to the back, as many as `allowance` has.

    Each step of its reader gets an allowance (`allow`), of which its reads are taken; what is skipped is not.
    """

    def __init__(self, file: IO[bytes], allowance: Allowance) -> None:
        self._file, self._allowance = file, allowance
        self._allowed, self._place, self._kept, self._again = 0, 0, b"", 0

    def allow(self, most_bytes: int) -> None:
        """Lets so many bytes be read, and no more, until this is called again."""
        self._allowed = most_bytes

    def read(self, size: int = -1) -> bytes:
        """Raises: TooMuch."""
        if not 0 <= size <= self._allowed:
            raise TooMuch(f"a read of {size:,} bytes where {self._allowed:,} are allowed")
        self._allowed -= size
        return self._take(size)

    def _take(self, size: int) -> bytes:
        again = self._kept[len(self._kept) - self._again :][:size]
        self._again -= len(again)
        fresh = self._file.read(size - len(again))
        self._allowance.spend(len(fresh))
        self._kept = (self._kept + fresh)[-KEPT_BYTES:] if len(fresh) < KEPT_BYTES else fresh[-KEPT_BYTES:]
        self._place += len(again) + len(fresh)
        return again + fresh

    def seek(self, place: int) -> int:
        """Skips forward, or steps back within what was read last. Raises: TooMuch."""
        if place < self._place:
            self._again += self._place - place
            if self._again > len(self._kept):
                raise TooMuch("a step back")
            self._place = place
        while self._place < place and self._take(min(SKIPPED_BYTES, place - self._place)):
            pass
        return self._place

    def tell(self) -> int:
        return self._place

    def seekable(self) -> bool:
        return True


def place_of(file: IO[bytes]) -> Path:
    """A path by which an open file can be opened again, also one without a name."""
    return Path(f"/proc/self/fd/{file.fileno()}")


def open_unpacked(path: Path) -> Any:
    """The file, unpacked as it is read where its first bytes say that it is compressed. Raises: OSError."""
    with path.open("rb") as file:
        head = file.read(6)
    opener = next((opener for magic, opener in PACKED if head.startswith(magic)), None)
    return path.open("rb") if opener is None else opener(path, "rb")
