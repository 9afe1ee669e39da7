"""Which file an engine's answer holds.

Always holds: the file is one whole block of the answer, or all of an answer without blocks; what is ambiguous is refused by
a reason of its own, never guessed. Time is linear in the answer, and only a bounded number of texts is parsed.

How: fences are read by lines as CommonMark has them (section 4.5), so that a fence inside a line is none. A file may have
fences of its own, in a docstring say: they are paired by info strings, and where the file then does not parse, later
closing lines are tried.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from generators.gates.copies import shares_of_seed
from generators.queue.job import Reason, Verdict
from streamer.documents.languages import ENDINGS, key_of
from streamer.documents.notebooks import NOTEBOOK, as_script
from streamer.gates.syntax import parser, parses

FENCE = re.compile(r" {0,3}(`{3,}+|~{3,}+)[ \t]*+([^\n]*+)$")
INFO_WORD = re.compile(r"[\w#+-]+")
REASONING_START = re.compile(r"\s*+<(think|thinking|thought|reasoning)>")
REASONING_END = re.compile(r"^[ \t]*+</(?:think|thinking|thought|reasoning)>[ \t]*+$", re.MULTILINE)
MOST_CLOSINGS = 6  # closing lines that are tried for a block
REVISED = 0.3  # of the runs of five words of an earlier block, which the last one must have
MOST_BLOCKS = 24  # of an answer; one with more is several files
OF_NOTEBOOKS = frozenset({"python", "json"})
DEFINES = re.compile(
    "defin|declar|class|module|method|function|struct|enum|trait|impl|interface|protocol|object|extension|alias|assignment"
    "|_item|_spec|namespace|lexical|export|decorated|template|create|signature|statement$|program|typedef"
)
NO_DEFINITION = re.compile("import|include|using|package|use_|comment|expression|return|if_|for_|while|try_|echo|block")
NAMES = re.compile("identifier$|^constant$|^name$|^word$|^variable_name$|^object_reference$")


class Fence(NamedTuple):
    """A line that may open or close a block; `info` is empty for one that may close."""

    line: int
    mark: str
    info: str

    def closes(self, opening: "Fence") -> bool:
        return not self.info and self.mark[0] == opening.mark[0] and len(self.mark) >= len(opening.mark)


class Block(NamedTuple):
    """A fenced block: the language that it says it is of, None where it does not say, and its text."""

    info: str | None
    text: str


class File(NamedTuple):
    """The text of a file, and whether it was in a block or is all of the answer."""

    text: str
    is_fenced: bool


def find_file(text: str, language: str) -> File | Verdict:
    """The file that an answer without reasoning holds, or why there is none.

    Args: text, the answer; language, the one that was asked for, whose name a block's info string must have, if any.
    """
    if not text.strip():
        return Verdict(reason=Reason.EMPTY)
    blocks = list(find_blocks(text, language))
    if len(blocks) > MOST_BLOCKS:
        return Verdict(reason=Reason.SEVERAL_FILES, values={"blocks": len(blocks)})
    if not blocks:
        return File(ended(text), is_fenced=False)
    asked = [block.text for block in blocks if block.info == language] or [
        block.text for block in blocks if block.info is None
    ]
    if not asked:
        return Verdict(reason=Reason.WRONG_LANGUAGE, values={"info": str(blocks[-1].info)[:40]})
    filled = [one for one in asked if one.strip()]
    if not filled:
        return Verdict(reason=Reason.EMPTY)
    last = filled[-1]
    if any(not is_revised(earlier, last, language) for earlier in filled[:-1]):
        return Verdict(reason=Reason.SEVERAL_FILES, values={"blocks": len(filled)})
    return File(ended(last), is_fenced=True)


def without_reasoning(text: str) -> str | None:
    """An answer without what a model thought before it; None where the thinking does not end.

    A line `</think>` alone ends what a template began, unless the answer begins with a block, which may have such a line.
    """
    start, ends = REASONING_START.match(text), REASONING_END.search(text) if "</" in text else None
    if start is None:
        begins_with_block = FENCE.match(text.lstrip("\r\n").split("\n", 1)[0]) is not None
        return text if ends is None or begins_with_block else text[ends.end() :]
    if ends is not None:
        return text[ends.end() :]
    mark = f"</{start[1]}>"
    place = text.find(mark, start.end())
    return None if place < 0 else text[place + len(mark) :]


def find_blocks(text: str, language: str) -> Iterator[Block]:
    """The fenced blocks of an answer, at most one more than `MOST_BLOCKS`; one that is not closed goes to the end."""
    lines = text.splitlines()
    fences = [fence for number, line in enumerate(lines) if (fence := read_fence(number, line)) is not None]
    place, count = 0, 0
    while place < len(fences) and count <= MOST_BLOCKS:
        opening = fences[place]
        info = named_language(opening.info, language)
        closing = choose_closing(lines, fences, place, language if info in (language, None) else "")
        end = len(lines) if closing is None else fences[closing].line
        yield Block(info, "\n".join(lines[opening.line + 1 : end]))
        place = len(fences) if closing is None else closing + 1
        count += 1


def read_fence(number: int, line: str) -> Fence | None:
    found = FENCE.match(line) if "```" in line or "~~~" in line else None
    if found is None or (found[1][0] == "`" and "`" in found[2]):
        return None
    return Fence(number, found[1], found[2].rstrip())


def choose_closing(lines: Sequence[str], fences: Sequence[Fence], place: int, language: str) -> int | None:
    """The fence that closes the one at `place`; None where none does. Without a language nothing is parsed."""
    opening, open_inside = fences[place], list[Fence]()
    paired, closings = None, list[int]()
    for number in range(place + 1, len(fences)):
        fence = fences[number]
        if fence.closes(opening):
            closings.append(number)
        if paired is None:
            if open_inside and fence.closes(open_inside[-1]):
                open_inside.pop()
            elif fence.closes(opening):
                paired = number
            elif fence.info:
                open_inside.append(fence)
        if len(closings) >= MOST_CLOSINGS and paired is not None:
            break
    if not closings or not language:
        return paired if paired is not None else closings[-1] if closings else None
    candidates = ([paired] if paired is not None else []) + [one for one in closings[:MOST_CLOSINGS] if one != paired]
    if len(candidates) == 1:
        return candidates[0]
    start, grammar = opening.line + 1, "python" if language == NOTEBOOK else language
    whole = (one for one in candidates if parses("\n".join(lines[start : fences[one].line]), grammar))
    return next(whole, candidates[0])


def named_language(info: str, asked: str) -> str | None:
    """The key of the language that an info string names, its first word where it is none, None for an empty one."""
    found = INFO_WORD.search(info)
    if found is None:
        return None
    word = found[0].lower()
    named = key_of(word) or ENDINGS.get(word) or word
    return asked if asked == NOTEBOOK and named in OF_NOTEBOOKS else named


def is_revised(earlier: str, last: str, language: str) -> bool:
    """Whether a block defines all that an earlier one does, and has some of its code."""
    if language == NOTEBOOK:
        earlier, last, language = as_script(earlier), as_script(last), "python"
    defines_all = top_names(earlier, language) <= top_names(last, language)
    return defines_all and shares_of_seed(earlier, last, language).words >= REVISED


def top_names(text: str, language: str) -> set[str]:
    """The names that a text defines at its top, in namespaces and exports too."""
    data = text.encode("utf-8", "replace")
    waiting, found = [parser(language).parse(data).root_node], set[str]()
    while waiting:
        for node in waiting.pop().named_children:
            if NO_DEFINITION.search(node.type) or not DEFINES.search(node.type):
                continue
            if (name := name_of(node)) is not None:
                found.add(data[name.start_byte : name.end_byte].decode("utf-8", "replace"))
            else:
                waiting.append(node)
    return found


def name_of(node: Any) -> Any:
    """The node of the name that a definition gives, or None."""
    for field in ("name", "declarator", "left", "type"):
        child = node.child_by_field_name(field)
        if child is not None:
            return child if NAMES.search(child.type) or child.child_count == 0 else name_of(child) or child
    return next((child for child in node.named_children if NAMES.search(child.type)), None)


def ended(text: str) -> str:
    """A file's text with one line end, and no blank lines around it."""
    return text.strip("\r\n") + "\n"
