"""What a gate judges, and what it answers.

Always holds: a gate is pure; the same subject and thresholds give the same answer. A refusal's reason is the gate's name.
"""

from functools import cached_property
from typing import ClassVar

import msgspec

from streamer.documents.text import DropReason


class Subject:
    """A file as gates see it: its text, language and path, and the repository that it is of. Its lines are cut once."""

    def __init__(self, text: str, *, language: str, path: str = "", repository: str = "") -> None:
        self.text, self.language, self.path, self.repository = text, language, path, repository

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def name(self) -> str:
        """The last word of the path."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def folders(self) -> list[str]:
        """The words of the path before the name, in lower case."""
        return self.path.lower().split("/")[:-1]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a file is refused: the reason, and what was measured or found, by name."""

    reason: DropReason
    values: dict[str, float | str] = {}


class Gate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One reason to refuse a file, with its thresholds. The reason's name is the gate's."""

    reason: ClassVar[DropReason]
    on: bool = True

    def judge(self, subject: Subject) -> Refusal | None:
        """The refusal of a file, or None for one that passes."""
        raise NotImplementedError

    def refuse(self, **values: float | str) -> Refusal:
        return Refusal(reason=self.reason, values=values)
