"""Gates over the lines of a file: how many, how long, and of what.

Source of the limits: StarCoder2, section 3.1 (100,000 lines; 100 characters a line on average, 1,000 at most). There one
long line, or the mean alone, is enough, which refuses good files with one long table.
"""

import re
from typing import ClassVar

from streamer.documents.text import DropReason
from streamer.gates.subject import Gate, Refusal, Subject

VALUES = re.compile(r"""[\s\[\](){}<>,;:"'`=|*_+\-./\\&#0-9xXa-fA-FuUlL]*+""")
STRINGS = re.compile(r'"(?:[^"\\\n]|\\.)*+"|\'(?:[^\'\\\n]|\\.)*+\'')
SQL_ROW = re.compile(
    r"\s*+(?:insert\s++(?:ignore\s++)?into\b|replace\s++into\b|values\s*+\(|\(.*+\)?[,;]?\s*+$|[^\t]*+\t)", re.I
)
LETTER_OR_DIGIT = re.compile("[0-9A-Za-z]")


class TooManyLines(Gate, frozen=True):
    """More lines than a person writes.

    Attributes:
        max_lines: How many lines a file may have.
        on: Whether the gate is asked.
    """

    reason: ClassVar = DropReason.TOO_MANY_LINES
    max_lines: int = 100_000

    def judge(self, subject: Subject) -> Refusal | None:
        lines = len(subject.lines)
        return self.refuse(lines=lines) if lines > self.max_lines else None


class LongLines(Gate, frozen=True):
    """Long lines that are most of a file: minified code, and data.

    Attributes:
        max_mean_characters: How many characters lines may have on average. A file of more is refused when its longest line
            has four times as many.
        max_characters: From how many characters on a line is long.
        max_long_share: Which share of a file long lines may hold.
        on: Whether the gate is asked.
    """

    reason: ClassVar = DropReason.LONG_LINES
    max_mean_characters: float = 100
    max_characters: int = 1000
    max_long_share: float = 0.5

    def judge(self, subject: Subject) -> Refusal | None:
        lengths = list(map(len, subject.lines))
        longest, mean = max(lengths, default=0), len(subject.text) / max(1, len(lengths))
        long_share = sum(length for length in lengths if length > self.max_characters) / max(1, len(subject.text))
        if long_share > self.max_long_share or (mean > self.max_mean_characters and longest >= 4 * self.max_mean_characters):
            return self.refuse(mean_characters=round(mean, 1), longest_characters=longest, long_share=round(long_share, 3))
        return None


class Data(Gate, frozen=True):
    """A long file whose lines are nearly all values: tables of numbers or strings, and dumps of databases.

    Source: StarCoder2 drops data files of more than 512 lines; these here are data in a language of code.

    Attributes:
        max_lines: Up to how many lines a file is not looked at.
        max_share: Which share of the lines may be values alone.
        on: Whether the gate is asked.
    """

    reason: ClassVar = DropReason.DATA
    max_lines: int = 512
    max_share: float = 0.95

    def judge(self, subject: Subject) -> Refusal | None:
        if len(subject.lines) <= self.max_lines:
            return None
        others, most_others = 0, (1 - self.max_share) * len(subject.lines)
        for line in subject.lines:
            others += bool(line.strip()) and not is_row(line, subject.language)
            if others > most_others:  # of code already after its first lines
                return None
        share = 1 - others / max(1, sum(not line.isspace() and line != "" for line in subject.lines))
        return self.refuse(lines=len(subject.lines), row_share=round(share, 3)) if share > self.max_share else None


def is_row(line: str, language: str) -> bool:
    """Whether a line has values alone; of SQL also whether it inserts, or continues, a row."""
    if LETTER_OR_DIGIT.search(line) is None:
        return False
    if language == "sql" and SQL_ROW.match(line) is not None:
        return True
    if VALUES.fullmatch(line) is not None:
        return True
    bare = STRINGS.sub("", line)
    return bare != line and VALUES.fullmatch(bare) is not None
