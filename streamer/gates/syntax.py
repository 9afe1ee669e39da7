"""Whether a text is a file of its language, by tree-sitter's parsers.

Always holds: of a long text the first part is parsed, and eight times as much only where that fails; trees are walked
where they have errors, and nowhere else.
"""

from functools import cache
from typing import Any, ClassVar, cast

from streamer.documents.notebooks import NOTEBOOK
from streamer.documents.text import DropReason
from streamer.errors import CorpusError
from streamer.gates.subject import Gate, Refusal, Subject

PARSERS = {"shell": "bash"}
DIALECTS = {"javascript": ("tsx",), "typescript": ("tsx",), "c": ("cpp",)}  # tried where the language's own parser fails

WHOLE = 8


class DoesNotParse(Gate, frozen=True):
    """Too large a share of bytes that the language's grammar has no place for, in the best of its dialects.

    Languages differ in how much of good files their parsers refuse: macros, templates and dialects are no part of a grammar.

    Attributes:
        max_error_share: Which share of a file's bytes the grammar may have no place for.
        max_bytes: How many of the first bytes are looked at; eight times as many where these are refused.
        on: Whether the gate is asked.
    """

    reason: ClassVar = DropReason.DOES_NOT_PARSE
    max_error_share: float = 0.15
    max_bytes: int = 1 << 13

    def judge(self, subject: Subject) -> Refusal | None:
        if subject.language == NOTEBOOK:
            return None
        data = subject.text.encode("utf-8", "replace")
        head = data[: data.rfind(b"\n", 0, self.max_bytes) + 1] if len(data) > self.max_bytes else data
        share = 1.0
        more = data[: WHOLE * self.max_bytes]
        for part in (head, more) if len(head) < len(more) else (more,):  # a cut may break what is whole
            for language in (subject.language, *DIALECTS.get(subject.language, ())):
                share = min(share, error_share(part, language)) if part else share
                if share <= self.max_error_share:
                    return None
        return self.refuse(error_share=round(share, 4))


def parses(text: str, language: str) -> bool:
    """Whether the whole text parses without an error and says something. Raises: CorpusError for an unknown language."""
    tree = parser(language).parse(text.encode())
    return not tree.root_node.has_error and tree.root_node.named_child_count > 0


def error_share(data: bytes, language: str) -> float:
    """The share of bytes that are part of nothing: words directly under an error node; what is missing counts as one byte.

    An error at the top often has the whole file under it, whose functions are understood all the same.
    """
    root = parser(language).parse(data).root_node
    if not root.has_error:
        return 0.0
    wrong, waiting = 0, [root]
    while waiting:
        node = waiting.pop()
        if node.is_missing:
            wrong += 1
        elif node.type == "ERROR":
            if node.child_count == 0:
                wrong += node.end_byte - node.start_byte
            for child in node.children:
                if child.child_count == 0 and not child.is_extra:
                    wrong += child.end_byte - child.start_byte
                elif child.has_error:
                    waiting.append(child)
        elif node.has_error:
            waiting += node.children
    return min(1.0, wrong / max(1, len(data)))


@cache
def parser(language: str) -> Any:
    from tree_sitter_language_pack import get_parser

    try:
        return get_parser(cast("Any", PARSERS.get(language, language)))
    except LookupError as error:
        raise CorpusError(f"no parser for language {language}; use one of the 18 languages") from error
