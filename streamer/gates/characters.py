"""Gates over the characters of a file: too few letters, and data written as text.

Source of the limits: StarCoder2, section 3.1 (25 % of letters; encoded data of 1,024 characters, or of half the file).
"""

import re
from typing import ClassVar

from streamer.documents.text import DropReason
from streamer.gates.subject import Gate, Refusal, Subject

WHITE_SPACE = b" \t\n\r\v\f"
NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha() and code not in WHITE_SPACE)
LEAST_KINDS = 12  # of characters in a run: rulers made of = or / have few
ENCODED = (
    re.compile(r"[A-Za-z0-9+/\n\r=]{64,}+"),
    re.compile(r"(?:(?:0[xX]|\\x)?[0-9a-fA-F]{2}[\s,]*+){8,}+"),
    re.compile(r"(?:\\u[0-9a-fA-F]{4}){8,}+"),
)


class FewLetters(Gate, frozen=True):
    """Too small a share of letters among what is no white space. What lies beyond ASCII counts as letters of some script."""

    reason: ClassVar = DropReason.FEW_LETTERS
    min_share: float = 0.25

    def judge(self, subject: Subject) -> Refusal | None:
        share = letters_share(subject.text)
        return self.refuse(letters_share=round(share, 3)) if share < self.min_share else None


def letters_share(text: str) -> float:
    """The share of bytes that are ASCII letters or beyond ASCII, among those that are no white space."""
    data = text.encode("utf-8", "surrogatepass")
    return len(data.translate(None, NO_LETTERS + WHITE_SPACE)) / max(1, len(data.translate(None, WHITE_SPACE)))


class EncodedData(Gate, frozen=True):
    """Data in base64 (runs of 64 characters and more), in hex pairs or in \\u escapes (8 and more)."""

    reason: ClassVar = DropReason.ENCODED_DATA
    max_characters: int = 1024
    max_share: float = 0.5

    def judge(self, subject: Subject) -> Refusal | None:
        for pattern in ENCODED:
            runs = [len(run) for run in pattern.findall(subject.text) if len(set(run[:4096])) >= LEAST_KINDS]
            longest, share = max(runs, default=0), sum(runs) / max(1, len(subject.text))
            if longest > self.max_characters or share > self.max_share:
                return self.refuse(longest_characters=longest, share=round(share, 3))
        return None
