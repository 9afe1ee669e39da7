"""Copies of source files as they turn up in corpora: other white space, order, comments, licence or names."""

import keyword
import random
import re
from collections.abc import Callable

from streamer.likeness.code_words import KEYWORDS, without_comments

NAME = re.compile(r"[A-Za-z_]\w+")
MARKS = {"python": "#", "ruby": "#", "shell": "#", "jupyter-notebook": "#", "sql": "--"}
BLOCKS = re.compile(r"\n\s*\n(?=\S)")  # what stands between pieces of a file that begin at the margin
HEADER_LINES, REMARKS = 25, 0.15
MARK_OF_BLOCK, TRIES = re.compile(r"/\*|\*/|\"\"\"|'''"), 20  # half of a comment would make the rest one
KEPT_NAMES = KEYWORDS | frozenset(keyword.kwlist)
Change = Callable[[str, str, random.Random], str]


def white_space(text: str, language: str, chance: random.Random) -> str:
    return "\n".join(line.rstrip().replace("    ", "\t") + "\n" * chance.randrange(2) for line in text.split("\n"))


def reordered(text: str, language: str, chance: random.Random) -> str:
    """With the pieces behind its first one in another order."""
    head, *pieces = BLOCKS.split(text)
    chance.shuffle(pieces)
    return "\n\n".join([head, *pieces])


def comments(text: str, language: str, chance: random.Random) -> str:
    """With other words in the comments that have a line of their own, and further ones between the lines."""
    mark, changed = MARKS.get(language, "//"), []
    for line in text.split("\n"):
        is_comment = line.lstrip().startswith(mark) and not line.startswith("#!")
        changed.append(f"{line.split(mark)[0]}{mark} said in other words {chance.random()}" if is_comment else line)
        if chance.random() < REMARKS and not line.endswith("\\") and is_comment:
            changed.append(f"{mark} a remark, number {chance.randrange(10**6)}, of whoever copied this")
    return "\n".join(changed)


def header(text: str, language: str, chance: random.Random) -> str:
    """With another licence in front."""
    mark = MARKS.get(language, "//")
    return "".join(f"{mark} line {line} of another licence, {chance.random()}\n" for line in range(HEADER_LINES)) + text


def renamed(share: float) -> Change:
    """The change that gives a share of a file's names other ones."""

    def change(text: str, language: str, chance: random.Random) -> str:
        names = sorted({word for word in NAME.findall(without_comments(text, language)) if word.lower() not in KEPT_NAMES})
        chosen = set(chance.sample(names, round(len(names) * share)))
        return NAME.sub(lambda found: f"{found[0]}_other" if found[0] in chosen else found[0], text)

    return change


def cut(text: str, language: str, chance: random.Random) -> str:
    """Without a twentieth of its lines, in one piece, as an older version may be."""
    lines = text.split("\n")
    less = max(1, len(lines) // 20)
    for _ in range(TRIES):
        start = chance.randrange(len(lines) - less + 1)
        if not MARK_OF_BLOCK.search("\n".join(lines[start : start + less])):
            break
    return "\n".join([*lines[:start], *lines[start + less :]])


COPIES: dict[str, Change] = {
    "white space": white_space,
    "reordered": reordered,
    "comments": comments,
    "licence header": header,
    "10 % of the names": renamed(0.1),
    "without a twentieth": cut,
}
FAR_COPIES: dict[str, Change] = {"20 % of the names": renamed(0.2), "30 % of the names": renamed(0.3)}
