"""No regular expression of the packages can take more than linear time, whatever text it is given."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from regex_cost import find_fault

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("streamer", "mixer", "generators", "training", "deploy")
AT_ONE_PLACE = {"match", "fullmatch"}
FUNCTIONS = {*AT_ONE_PLACE, "search", "findall", "finditer", "sub", "split", "subn", "compile"}


def patterns(path: Path) -> Iterator[tuple[int, str | bytes, int, bool]]:
    """(line, pattern, flags, whether it is searched for) of every pattern that a file writes out."""
    tree = ast.parse(path.read_text())
    methods: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            methods.setdefault(node.value.id, set()).add(node.attr)
    names = {
        id(node.value): node.targets[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        for keyword in node.keywords:
            if keyword.arg == "pattern" and isinstance(keyword.value, ast.Constant):
                yield node.lineno, ast.literal_eval(keyword.value), 0, True
        called = node.func
        if not (isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "re"):
            continue
        if called.attr not in FUNCTIONS:
            continue
        try:
            pattern: Any = ast.literal_eval(node.args[0])
        except ValueError:  # made at run time: of the schema's own patterns, which are short
            continue
        flags = [
            getattr(re, inner.attr)
            for argument in node.args[1:]
            for inner in ast.walk(argument)
            if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id == "re"
        ]
        used = methods.get(names.get(id(node), ""), {"search"}) if called.attr == "compile" else {called.attr}
        yield node.lineno, pattern, sum(flags), not used <= AT_ONE_PLACE


FOUND = [
    pytest.param(pattern, flags, searched, id=f"{path.relative_to(ROOT)}:{line}")
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    for line, pattern, flags, searched in patterns(path)
]


@pytest.mark.parametrize(("pattern", "flags", "searched"), FOUND)
def test_a_pattern_is_linear(pattern: str | bytes, flags: int, searched: bool) -> None:
    fault = find_fault(pattern, searched=searched, flags=flags)
    assert fault is None, f"{pattern!r}: {fault}"


def test_the_packages_have_patterns() -> None:
    assert len(FOUND) > 25


@pytest.mark.parametrize(
    ("pattern", "searched"),
    [
        (r"^\s*class", True),  # blank lines: each line start scans all that follow
        (r"(?m)^\s*(?:@interface|@end)", True),
        (r"class\s+\w+[^;]*$", True),  # one long word
        (r"(a+)+b", False),
        (r"(a|b+)*c", False),
        (r"[a-z]+\d*[a-z]*;", False),
        (r"\w+;", True),
        (r"\s+$", True),
        (r"x.*y.*z", True),
        (r"(?s)<.*?>", True),
        (r"a*a*b", False),
        (r"(?:.*,){3}x", False),
    ],
)
def test_a_pattern_that_is_not_linear_is_found(pattern: str, searched: bool) -> None:
    flags = re.MULTILINE if pattern.startswith("^") else 0
    assert find_fault(pattern, searched=searched, flags=flags) is not None


@pytest.mark.parametrize(
    ("pattern", "searched"),
    [
        (r"(?m)^[^\S\n]*+class", True),
        (r"class\s++\w++", True),
        (r"\w+", True),
        (r"#\s*+include\s*+<", True),
        (r"(?s)```[^\n`]*\n(.*?)```", True),
        (r"[a-z]+", False),
        (r"[0-9]+(?:\.[0-9]+)?[KMB]?", False),
        (r"\A\s*x", True),
    ],
)
def test_a_pattern_that_is_linear_is_not_refused(pattern: str, searched: bool) -> None:
    assert find_fault(pattern, searched=searched) is None
