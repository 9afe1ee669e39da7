"""The text of a file, or the named reason why it is not taken. Each reason says what is wrong and is counted by its name."""

from enum import StrEnum

MAX_BYTES = 1_000_000


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
    NOT_UTF8 = "not_utf8"
    UNKNOWN_LANGUAGE = "unknown_language"
    GENERATED = "generated"
    LONG_LINES = "long_lines"
    FEW_LETTERS = "few_letters"
    EXACT_DUPLICATE = "exact_duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    REDACTED = "redacted"
    HELD_OUT = "held_out"


def decode(data: bytes) -> str | DropReason:
    """The text of a file (without a byte order mark), or why it has none.

    Binary: a NUL byte anywhere (UTF-16 text has them too), or mostly control characters at the start.
    """
    if len(data) > MAX_BYTES:
        return DropReason.TOO_LARGE
    if b"\0" in data or has_control_bytes(data[:4096]):
        return DropReason.BINARY
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return DropReason.NOT_UTF8
    return text if text.strip() else DropReason.EMPTY


def has_control_bytes(head: bytes) -> bool:
    """Whether more than 5 % of the bytes are control characters that no text has."""
    return len(head.translate(None, delete=bytes(range(1, 7)) + bytes(range(14, 27)) + b"\x1c\x1d\x1e\x1f")) < (
        0.95 * len(head)
    )
