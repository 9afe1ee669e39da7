"""What an error says is whole sentences' English: it does not say that something "is no number", but what it must be."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from module_graph import PACKAGES, ROOT

CLIPPED = re.compile(r"(?<![Tt]here )\b(?:is|are) no (?!longer\b)\w+")


def raised(path: Path) -> Iterator[str]:
    """The texts of the errors that a module raises, `{}` where a value stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Raise) and node.exc is not None:
            for part in ast.walk(node.exc):
                if isinstance(part, ast.JoinedStr):
                    yield "".join(str(one.value) if isinstance(one, ast.Constant) else "{}" for one in part.values)
                elif isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


def test_no_error_says_that_something_is_no_something() -> None:
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    texts = [(path.relative_to(ROOT), text) for path in modules for text in raised(path)]
    assert len(texts) > 500
    assert [(str(path), text) for path, text in texts if CLIPPED.search(text)] == []
