"""The gate that refuses a file which holds a licence and nothing else."""

import re
from typing import ClassVar

from streamer.documents.text import DropReason
from streamer.gates.comments import has_hash_comments, split_comments
from streamer.gates.subject import Gate, Refusal, Subject

LICENCE = re.compile(
    r"\blicen[cs]ed?\b|\bcopyright\b|©|\bspdx-license|\brights reserved|\bpermission is hereby granted|\bredistribution\b",
    re.IGNORECASE,
)


class LicenceAlone(Gate, frozen=True):
    """A licence or copyright notice with hardly any code. What else the comments say counts for the file, not against it."""

    reason: ClassVar = DropReason.LICENCE_ALONE
    max_code_characters: int = 40
    max_characters: int = 20_000

    def judge(self, subject: Subject) -> Refusal | None:
        if len(subject.text) > self.max_characters or not LICENCE.search(subject.text):
            return None
        code, other = 0, 0
        in_licence = False
        for words, is_comment in split_comments(subject.lines, hash_comments=has_hash_comments(subject.language)):
            if not is_comment:
                code += len("".join(words.split()))
            elif not words.strip():
                in_licence = in_licence and is_comment
            else:
                in_licence = in_licence or LICENCE.search(words) is not None
                other += 0 if in_licence else len(words)
        if code <= self.max_code_characters and other <= self.max_code_characters * 4:
            return self.refuse(code_characters=code, other_characters=other)
        return None
