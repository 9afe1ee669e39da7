"""Where in a mixture file something stands: its line, its component and key. Only asked when an error is said.

Always holds: a line is found by the grammar of TOML, not by the look of the text, so a key inside a string is no key.
"""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mixer.errors import MixtureError
from mixer.faults import Fault, Path
from mixer.mixture.mixture import say

DEEPEST = 8  # words of a path; what a mixture may say has five


class Places:
    """The places of one mixture. `name` is the file's, or what stands for it; without a `text` there are no lines.

    `moved`: what stands elsewhere in the text than in the document, as what a [set] line says.
    """

    def __init__(
        self, name: str, document: Mapping[str, Any], text: str | None = None, moved: Mapping[Path, Path] | None = None
    ) -> None:
        self.name, self.document, self.text, self.moved = name, document, text, moved

    @contextmanager
    def named(self) -> Iterator[None]:
        """Where a fault is raised as what people read: `file.toml:12: component synthetic, pin.python = 2: ...`."""
        try:
            yield
        except Fault as fault:
            raise MixtureError(f"{self.where(fault.path)}: {say(fault, self.document)}") from fault

    def where(self, path: Path) -> str:
        """`file.toml:12`."""
        if self.text is None:
            return self.name
        if self.moved is not None:
            inside = [moved for moved in self.moved if moved[: len(path)] == path]
            while path and path not in self.moved:
                path = path[:-1]
            path = self.moved.get(path or next(iter(inside), ()), ("extends",))
        return f"{self.name}:{line_of(self.text, path)}"


def line_of(text: str, path: Path) -> int:
    """The line, from 1, on which a path of a valid text, or else the longest part of it, begins."""
    lines = lines_by_path(text)
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def lines_by_path(text: str) -> dict[Path, int]:
    import tree_sitter_toml
    from tree_sitter import Language, Parser

    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}

    def note(path: Path, node: Any) -> None:
        for end in range(1, len(path) + 1):
            found.setdefault(path[:end], node.start_point.row + 1)

    def pairs(node: Any, base: Path) -> None:
        for child in node.children:
            if child.type == "pair":
                path = base + key_of(child.children[0])
                note(path, child)
                value(child.children[-1], path)

    def value(node: Any, path: Path) -> None:
        if len(path) > DEEPEST:
            return
        if node.type == "inline_table":
            pairs(node, path)
        elif node.type == "array":
            items = [child for child in node.children if child.is_named and child.type != "comment"]
            for place, item in enumerate(items):
                note((*path, place), item)
                value(item, (*path, place))

    root = Parser(Language(tree_sitter_toml.language())).parse(text.encode()).root_node
    pairs(root, ())
    for node in root.children:
        if node.type not in ("table", "table_array_element"):
            continue
        *outer, last = key_of(node.children[1])
        path: Path = ()
        for word in outer:  # a table array that a header goes into means its last table
            path = (*path, word)
            path = (*path, counts[path] - 1) if path in counts else path
        path = (*path, last)
        if node.type == "table_array_element":
            counts[path] = counts.get(path, 0) + 1
            note(path, node)
            path = (*path, counts[path] - 1)
        note(path, node)
        pairs(node, path)
    return found


def key_of(node: Any) -> Path:
    """The words of a bare, quoted or dotted key."""
    found: Any = tomllib.loads(f"{node.text.decode()} = 0")
    words: list[str] = []
    while found:
        (word,) = found
        words.append(word)
        found = found[word]
    return tuple(words)
