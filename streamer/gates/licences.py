"""The gate that refuses a file which holds a licence and nothing else."""

import re
from typing import ClassVar

from streamer.documents.text import DropReason
from streamer.gates.comments import split_comments
from streamer.gates.subject import Gate, Refusal, Subject

LICENCE = re.compile(
    r"\blicen[cs]ed?\b|\bcopyright\b|©|\bspdx-license|\brights reserved|\bpermission is hereby granted|\bredistribution\b",
    re.IGNORECASE,
)


class LicenceAlone(Gate, frozen=True):
    """A licence or copyright notice with hardly any code. What else the comments say counts for the file, not against it.

    Attributes:
        max_code_characters: How many characters of code a file may have and still be refused.
        max_other_characters: How many characters of comments that are no licence it may have.
        max_characters: Beyond how many characters a file is not looked at.
        on: Whether the gate is asked.
    """

    reason: ClassVar = DropReason.LICENCE_ALONE
    max_code_characters: int = 16
    max_other_characters: int = 60
    max_characters: int = 20_000

    def judge(self, subject: Subject) -> Refusal | None:
        if len(subject.text) > self.max_characters:
            return None
        code = other = 0
        in_licence = has_licence = False
        for words, is_comment in split_comments(subject.lines, subject.language):
            if not is_comment:
                code += len("".join(words.split()))
                in_licence = False
            else:
                in_licence = in_licence or LICENCE.search(words) is not None
                has_licence = has_licence or in_licence
                other += 0 if in_licence else len(words)
            if code > self.max_code_characters or other > self.max_other_characters:
                return None
        return self.refuse(code_characters=code, other_characters=other) if has_licence else None
