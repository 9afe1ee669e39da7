"""The pages of a Parquet file, by their own headers, without unpacking one.

Always holds: nothing is unpacked and no more than a header is read at once. What the file's footer says of sizes is not
relied on: a reader allocates what the headers of the pages say.

A header is a struct in Thrift's compact protocol: fields of a type, by number. Only the few numbers below are kept.
"""

from collections.abc import Iterator
from typing import IO, Any, NamedTuple

MOST_HEADER_BYTES = 1 << 16
MOST_NESTED = 8
DATA, DICTIONARY, DATA_V2 = 0, 2, 3  # types of pages
HEADERS = {DATA: (5, 2), DICTIONARY: (7, 2), DATA_V2: (8, 4)}  # field of the type's own struct, and of its encoding there


class PageError(ValueError):
    """Bytes that are no header of a page."""


class Page(NamedTuple):
    """What a page says of itself; sizes in bytes, `encoding` by its number in the format."""

    kind: int
    plain_bytes: int
    packed_bytes: int
    values: int
    encoding: int


def pages_of(file: IO[bytes], start: int, end: int, values: int) -> Iterator[Page]:
    """The pages of a column chunk that lies from `start` to `end` and has so many values. Raises: PageError, OSError."""
    while values > 0 and start < end:
        file.seek(start)
        page, header_bytes = read_header(file.read(min(MOST_HEADER_BYTES, end - start)))
        yield page
        if page.kind != DICTIONARY:
            values -= page.values
        start += header_bytes + page.packed_bytes


def read_header(data: bytes) -> tuple[Page, int]:
    """(page, bytes of its header). Raises: PageError."""
    reader = Compact(data)
    fields = reader.struct()
    kind = fields.get(1)
    if kind not in HEADERS:
        if kind == 1:  # an index page, which nobody writes
            return Page(1, sized(fields.get(2)), sized(fields.get(3)), 0, 0), reader.place
        raise PageError(f"a page of type {kind}")
    own, encoding = HEADERS[kind]
    inner = fields.get(own)
    if not isinstance(inner, dict):
        raise PageError("a page without a header of its type")
    sizes = sized(fields.get(2)), sized(fields.get(3)), sized(inner.get(1)), sized(inner.get(encoding))
    return Page(kind, *sizes), reader.place


def sized(value: Any) -> int:
    """A field that must be a number from 0 on. Raises: PageError."""
    if not isinstance(value, int) or value < 0:
        raise PageError(f"a size of {value}")
    return value


class Compact:
    """Reads values of Thrift's compact protocol one after the other. Raises: PageError."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def byte(self) -> int:
        if self.place >= len(self.data):
            raise PageError("a header that breaks off")
        self.place += 1
        return self.data[self.place - 1]

    def number(self) -> int:
        """An unsigned number of up to ten bytes, the lowest first."""
        found = 0
        for shift in range(0, 70, 7):
            byte = self.byte()
            found |= (byte & 127) << shift
            if byte < 128:
                return found
        raise PageError("a number without end")

    def signed(self) -> int:
        found = self.number()
        return found >> 1 ^ -(found & 1)

    def struct(self, depth: int = 0) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        field = 0
        while head := self.byte():
            field = field + (head >> 4) if head >> 4 else self.signed()
            fields[field] = self.value(head & 15, depth)
        return fields

    def value(self, kind: int, depth: int) -> Any:
        """Of lists, which no kept field is, only the end is found."""
        if depth > MOST_NESTED:
            raise PageError("a header that is nested too deep")
        match kind:
            case 1 | 2:
                return kind == 1
            case 3:
                return self.byte()
            case 4 | 5 | 6:
                return self.signed()
            case 7:
                self.skip(8)
            case 8:
                self.skip(self.number())
            case 9 | 10:
                head = self.byte()
                for _ in range(head >> 4 if head >> 4 < 15 else min(self.number(), len(self.data))):
                    self.value(head & 15, depth + 1)
            case 12:
                return self.struct(depth + 1)
            case _:
                raise PageError(f"a field of type {kind}")
        return None

    def skip(self, count: int) -> None:
        self.place += count
        if self.place > len(self.data):
            raise PageError("a header that breaks off")
