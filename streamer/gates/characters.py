"""Gates over the characters of a file: too few letters, and data written as text.

Source of the limits: StarCoder2, section 3.1 (25 % of letters in all of a file, which is about 20 %
of what is no white space; encoded data of 1,024 characters, or of half the file).
"""

import re
import string
from typing import ClassVar

from streamer.documents.text import DropReason
from streamer.gates.subject import Gate, Refusal, Subject

WHITE_SPACE = b" \t\n\r\v\f"
NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha() and code not in WHITE_SPACE)
LEAST_KINDS = 12  # of characters in a run: rulers made of = or / have few
BASE64 = re.compile(r"\b(?:[A-Za-z0-9+/]{30,}+={0,2}+[\r\n]{0,2}+)++")
ESCAPES = re.compile(r"(?:\\u[0-9a-fA-F]{4}){8,}+")
HEX_PAIRS = re.compile(r"(?<![0-9A-Za-z\\])(?:(?:0[xX]|\\x)?[0-9a-fA-F]{2}[\s,]*+){8,}+")
LEAST_BASE64 = 64
LEAST_HEX = 16  # characters that stand together in hex pairs, but for commas and white space
IS_HEX = bytes(code >= 128 or code < 32 or chr(code) in "0123456789abcdefABCDEFxX\\" for code in range(256))
LEAST_ITSELF = 60  # characters of base64 that each such run has, its last signs and ends of lines not counted
IS_BASE64 = bytes(chr(code).isascii() and (chr(code).isalnum() or chr(code) in "+/") for code in range(256))
OF_HEX = b"0123456789abcdefABCDEFxX\\, \t\r\n"
DIGITS, LOWER, UPPER = frozenset(string.digits), frozenset(string.ascii_lowercase), frozenset(string.ascii_uppercase)


class FewLetters(Gate, frozen=True):
    """Too small a share of letters among what is no white space. What lies beyond ASCII counts as letters of some script.

    Attributes:
        min_share: Which share of the visible characters has to be letters.
        on: Whether the gate is asked.
    """

    reason: ClassVar = DropReason.FEW_LETTERS
    min_share: float = 0.2

    def judge(self, subject: Subject) -> Refusal | None:
        share = letters_share(subject.text)
        return self.refuse(letters_share=round(share, 3)) if share < self.min_share else None


def letters_share(text: str) -> float:
    """The share of bytes that are ASCII letters or beyond ASCII, among those that are no white space."""
    data = text.encode("utf-8", "surrogatepass")
    return len(data.translate(None, NO_LETTERS + WHITE_SPACE)) / max(1, len(data.translate(None, WHITE_SPACE)))


class EncodedData(Gate, frozen=True):
    """Data in base64 (runs of 64 characters and more), in \\u escapes or in hex pairs (8 and more).

    A table of hex pairs is a part of good code where it is not most of the file, so that its length alone says nothing.

    Attributes:
        max_characters: How many characters of encoded data any file may have.
        max_share: Which share of a file encoded data may be, if it is longer; one run of base64 or escapes half of that.
        on: Whether the gate is asked.
    """

    reason: ClassVar = DropReason.ENCODED_DATA
    max_characters: int = 1024
    max_share: float = 0.5

    def judge(self, subject: Subject) -> Refusal | None:
        base64 = [len(run) for run in base64_runs(subject.text) if is_base64(run)]
        escapes = [len(run) for run in ESCAPES.findall(subject.text)] if "\\u" in subject.text else []
        pairs = [len(run) for run in hex_pairs(subject.text, self.max_share) if len(set(run[:4096])) >= LEAST_KINDS]
        longest = max([*base64, *escapes], default=0)
        most = max(sum(base64), sum(escapes), sum(pairs))
        share = most / max(1, len(subject.text))
        is_one_run = longest > self.max_characters and longest > self.max_share / 2 * len(subject.text)
        if is_one_run or (share > self.max_share and most > self.max_characters):
            return self.refuse(longest_characters=longest, share=round(share, 3))
        return None


def base64_runs(text: str) -> list[str]:
    """The runs of base64, which are looked for only where enough of its characters stand together at all."""
    is_possible = b"\1" * LEAST_ITSELF in text.encode("utf-8", "surrogatepass").translate(IS_BASE64, b"=\r\n")
    return BASE64.findall(text) if is_possible else []


def hex_pairs(text: str, share: float) -> list[str]:
    """The runs of hex pairs, where their characters are more than a share of the text at all."""
    data = text.encode("utf-8", "surrogatepass")
    is_possible = len(data.translate(None, OF_HEX)) <= (1 - share) * len(text)
    return HEX_PAIRS.findall(text) if is_possible and b"\1" * LEAST_HEX in data.translate(IS_HEX, b", \t\r\n") else []


def is_base64(run: str) -> bool:
    """Whether a run of its characters has letters in both cases and digits, as words and rulers do not."""
    kinds = set(run[:4096])
    return len(run) >= LEAST_BASE64 and len(kinds) >= LEAST_KINDS and all(kinds & one for one in (DIGITS, LOWER, UPPER))
