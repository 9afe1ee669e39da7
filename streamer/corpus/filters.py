"""Why a file is not taken into the corpus. Each reason says what is wrong and is counted by its name.

Always holds: the decisions are pure; the first reason in the order of the checks is the one given.
"""

import re

from streamer.documents.text import DropReason

MAX_LINE_CHARACTERS = 1000
MAX_MEAN_LINE_CHARACTERS = 100
MIN_ALPHANUMERIC_SHARE = 0.25
HEAD_CHARACTERS = 1500

GENERATED = re.compile(
    r"@generated|auto-?generated|automatically generated|generated (?:automatically|by|from|code)\b"
    r"|machine[- ]generated|do not (?:edit|modify) (?:this|by hand|manually)|code generator",
    re.IGNORECASE,
)
WHITE_SPACE = b" \t\n\r\v\f"
PUNCTUATION = bytes(code for code in range(128) if not chr(code).isalnum() and code not in WHITE_SPACE)
COMMENT = re.compile(r"^[^\S\n]*+(?://|/?\*|#|--|<!--|;|\"\"\"|''')", re.MULTILINE)


def judge(text: str, language: str) -> DropReason | None:
    """Why a readable file of a known language is not taken, or None.

    Source of the limits: StarCoder's basic filters (lines of 100 on average, 1000 at most, 25 % letters and digits).
    """
    head = text[:HEAD_CHARACTERS]
    if (found := GENERATED.search(head)) is not None and is_in_comment(head, found.start()):
        return DropReason.GENERATED
    if language == "jupyter-notebook":  # a notebook is JSON: outputs make its lines long
        return None
    lines = text.splitlines()
    if len(text) > MAX_MEAN_LINE_CHARACTERS * max(1, len(lines)) or max(map(len, lines)) > MAX_LINE_CHARACTERS:
        return DropReason.LONG_LINES
    return DropReason.FEW_LETTERS if letters_share(text) < MIN_ALPHANUMERIC_SHARE else None


def letters_share(text: str) -> float:
    """The share of bytes that are ASCII letters or digits or beyond ASCII, among those that are no white space."""
    data = text.encode("utf-8", "surrogatepass")
    return len(data.translate(None, PUNCTUATION + WHITE_SPACE)) / max(1, len(data.translate(None, WHITE_SPACE)))


def is_in_comment(head: str, place: int) -> bool:
    """Whether the line at `place` begins as a comment, so that code about generated files is no generated file."""
    start = head.rfind("\n", 0, place) + 1
    return COMMENT.match(head, start) is not None
