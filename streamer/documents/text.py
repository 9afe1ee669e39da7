"""The text of a file, or the named reason why it is not taken. Each reason says what is wrong and is counted by its name."""

from enum import StrEnum
from typing import NamedTuple

from streamer.documents.encodings import BYTE_ORDER_MARKS, guess_encoding, utf16_order

MAX_BYTES = 1_000_000
MAX_NUL_SHARE = 0.01


class DropReason(StrEnum):
    """The named reasons, in the order in which they are looked for."""

    UNREADABLE = "unreadable"
    NOT_A_FILE = "not_a_file"
    OVER_BUDGET = "over_budget"
    NO_CONTENT = "no_content"
    OPTED_OUT = "opted_out"
    LICENSE = "license"
    TOO_LARGE = "too_large"
    EMPTY = "empty"
    BINARY = "binary"
    NUL_BYTES = "nul_bytes"
    LONE_SURROGATES = "lone_surrogates"
    UNKNOWN_ENCODING = "unknown_encoding"
    NOT_UTF8 = "not_utf8"
    UNKNOWN_LANGUAGE = "unknown_language"
    BROKEN_NOTEBOOK = "broken_notebook"
    EMPTY_NOTEBOOK = "empty_notebook"
    VENDORED = "vendored"
    BUILD_OUTPUT = "build_output"
    GENERATED = "generated"
    TOO_MANY_LINES = "too_many_lines"
    LONG_LINES = "long_lines"
    FEW_LETTERS = "few_letters"
    ENCODED_DATA = "encoded_data"
    DATA = "data"
    LICENCE_ALONE = "licence_alone"
    DOES_NOT_PARSE = "does_not_parse"
    CONTAMINATED = "contaminated"
    EXACT_DUPLICATE = "exact_duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    REDACTED = "redacted"
    HELD_OUT = "held_out"


class Decoded(NamedTuple):
    """A text and the encoding that it came in."""

    text: str
    encoding: str


def decode(data: bytes) -> Decoded | DropReason:
    """The text of a file without a byte order mark, or why it has none.

    What is valid UTF-8 is UTF-8. Binary: NUL bytes where no UTF-16 has them, or mostly control characters at the start.
    """
    if len(data) > MAX_BYTES:
        return DropReason.TOO_LARGE
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return decode_as(data[len(mark) :], encoding)
    if (order := utf16_order(data)) is not None:
        return decode_as(data, order)
    if b"\0" in data:
        return DropReason.NUL_BYTES if is_text_but_for_nuls(data) else DropReason.BINARY
    if has_control_bytes(data[:4096]):
        return DropReason.BINARY
    try:
        return named_text(data.decode(), "utf-8")
    except UnicodeDecodeError:
        pass
    if has_surrogates(data):
        return DropReason.LONE_SURROGATES
    found = guess_encoding(data)
    return DropReason.UNKNOWN_ENCODING if found is None else decode_as(data, found)


def decode_as(data: bytes, encoding: str) -> Decoded | DropReason:
    """The text in an encoding that a mark or a guess names."""
    try:
        return named_text(data.decode(encoding), encoding)
    except UnicodeDecodeError:
        wide = encoding.startswith(("utf-16", "utf-32"))
        return DropReason.LONE_SURROGATES if wide and len(data) % 2 == 0 else DropReason.UNKNOWN_ENCODING


def named_text(text: str, encoding: str) -> Decoded | DropReason:
    if "\0" in text:
        return DropReason.NUL_BYTES
    return Decoded(text, encoding) if text.strip() else DropReason.EMPTY


def is_text_but_for_nuls(data: bytes) -> bool:
    """Whether a few NUL bytes stand in what is UTF-8 otherwise."""
    if data.count(b"\0") > MAX_NUL_SHARE * len(data) or has_control_bytes(data[:4096]):
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def has_surrogates(data: bytes) -> bool:
    """Whether bytes are UTF-8 but for halves of surrogate pairs, as a string of Java or JavaScript may have them."""
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def has_control_bytes(head: bytes) -> bool:
    """Whether more than 5 % of the bytes are control characters that no text has."""
    return len(head.translate(None, delete=bytes(range(1, 7)) + bytes(range(14, 27)) + b"\x1c\x1d\x1e\x1f")) < (
        0.95 * len(head)
    )
