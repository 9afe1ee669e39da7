"""The sections of a file, which a quality score is made from (DESIGN section 2)."""

from typing import NamedTuple

CHARACTERS_PER_TOKEN = 3


class Sections(NamedTuple):
    """How long the sections of a file are, and how many of them are read at most."""

    tokens: int
    most: int = 3

    def cut(self, text: str) -> list[str]:
        return cut_sections(text, section_tokens=self.tokens, count=self.most)


def cut_sections(text: str, *, section_tokens: int, count: int = 3) -> list[str]:
    """At most `count` sections, spread evenly from top to bottom, each of the characters that about `section_tokens` tokens
    take (3 characters a token).

    A shorter text has as few as cover it: of three sections one where a section holds it, and two, its top and its bottom,
    where two do.
    """
    size = section_tokens * CHARACTERS_PER_TOKEN
    count = min(count, -(-len(text) // size) or 1)
    if count == 1:
        return [text[:size]]
    free = len(text) - size
    return [text[free * place // (count - 1) :][:size] for place in range(count)]
