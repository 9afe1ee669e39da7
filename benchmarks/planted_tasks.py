"""Solutions of benchmarks as they turn up in corpora: as published, renamed, reformatted, and inside of larger files."""

import ast
import builtins
import io
import keyword
import random
import re
import sysconfig
import tokenize
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

KEPT_NAMES = frozenset(keyword.kwlist) | frozenset(dir(builtins))
QUOTED = re.compile(r"""(?<!['"\w])'([^'"\\\n{}]*)'(?!['"])""")
LEAST_HOST_LINES, MOST_HOST_LINES = 200, 2000


class Planted(NamedTuple):
    """A task and the text of a file that has it."""

    task: str
    text: str


def whole_text(row: dict[str, object]) -> str:
    """Prompt and solution of a row of a benchmark in Python, as its authors run them."""
    return str(row.get("complete_prompt") or row["prompt"]) + str(row["canonical_solution"])


def without_words(text: str) -> str:
    """The code alone: without docstrings and comments."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def renamed(text: str) -> str:
    """With another name for every function, argument and variable; docstrings as they are."""
    tree = ast.parse(text)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    others = {name: f"thing_{number}" for number, name in enumerate(sorted(names - KEPT_NAMES))}
    lines, before = text.splitlines(keepends=True), ""
    places = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and token.string in others and before != ".":
            places.append((token.start, token.end, others[token.string]))
        before = token.string
    for (row, start), (_, end), other in reversed(places):
        lines[row - 1] = lines[row - 1][:start] + other + lines[row - 1][end:]
    return "".join(lines)


def reformatted(text: str, chance: random.Random) -> str:
    """As Python's own printer writes it, or with tabs, other quotes, empty lines and line ends of Windows."""
    if chance.random() < 0.5:
        return ast.unparse(ast.parse(text))
    lines = []
    for line in QUOTED.sub(r'"\1"', text).split("\n"):
        bare = line.lstrip(" ")
        lines.append("\t" * ((len(line) - len(bare)) // 2) + bare)
    return "\r\n".join(each for line in lines for each in ((line, "") if chance.random() < 0.2 else (line,)))


def inside(text: str, host: str, chance: random.Random) -> str:
    """The text between two statements of a larger file."""
    place = chance.choice(ast.parse(host).body).lineno - 1
    lines = host.splitlines()
    while place and lines[place - 1].startswith("@"):
        place -= 1
    return "\n".join([*lines[:place], "", text, "", *lines[place:]])


def hosts() -> list[str]:
    """Larger files of Python's standard library."""
    texts = [path.read_text() for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))]
    return [text for text in texts if LEAST_HOST_LINES <= text.count("\n") <= MOST_HOST_LINES]


def plant(texts: dict[str, str], chance: random.Random, count: int) -> dict[str, list[Planted]]:
    """`count` tasks of each kind, different ones, of texts by the names of tasks."""
    larger, chosen = hosts(), chance.sample(sorted(texts), 4 * count)
    changes: dict[str, Callable[[str], str]] = {
        "verbatim": lambda text: text,
        "renamed": renamed,
        "reformatted": lambda text: reformatted(text, chance),
        "inside a larger file": lambda text: inside(text, chance.choice(larger), chance),
    }
    return {
        kind: [Planted(name, change(texts[name])) for name in chosen[number::4]]
        for number, (kind, change) in enumerate(changes.items())
    }
