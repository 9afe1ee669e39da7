"""A header's language: the same as the obvious pattern says, in linear time."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generators.engines.rule_based import write_file
from generators.gates.gates import strip_chatter
from streamer.gates.syntax import is_notebook
from streamer.corpus.filters import judge
from streamer.documents.languages import CPP_MARKS, OBJECTIVE_C_MARKS, detect
from streamer.documents.text import MAX_BYTES, DropReason, decode

# what the marks mean, in patterns that go back over blank lines and long words
OBVIOUS_CPP = re.compile(
    r"^\s*(?:template\s*<|namespace\s+\w|class\s+\w+[^;]*$|using\s+namespace|(?:public|private|protected)\s*:)"
    r"|\bstd::|#\s*include\s*<(?:vector|string|memory|iostream|map|utility|type_traits|algorithm)>",
    re.MULTILINE,
)
OBVIOUS_OBJECTIVE_C = re.compile(r"^\s*(?:@interface|@protocol|@end|@class|#\s*import\s)", re.MULTILINE)
PIECES = [
    "\n", " ", "\t", "\r\n", ";", ":", "<", ">", "a", "X1", "{", "// ", "class", "class ", "namespace ", "template",
    "using ", "namespace", "public", "private :", "protected", "std::", "#", "include", "<vector>", "<map>", "@end",
    "@interface", "import ",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_the_marks_find_what_the_obvious_patterns_find(text: str) -> None:
    assert bool(CPP_MARKS.search(text)) == bool(OBVIOUS_CPP.search(text))
    assert bool(OBJECTIVE_C_MARKS.search(text)) == bool(OBVIOUS_OBJECTIVE_C.search(text))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("int f(void);\n", "c"),
        ("\n\n\n  class Shape {\n};\n", "cpp"),
        ("class Shape;\n", "c"),
        ("class\nShape\n{", "cpp"),
        ("  public :\n", "cpp"),
        ("#include <vector>\n", "cpp"),
        ("\n \n@interface View\n", None),
    ],
)
def test_a_header_is_told_by_its_marks(text: str, language: str | None) -> None:
    assert detect("a.h", text) == language


HOSTILE: dict[str, Callable[[int], str]] = {
    "blank lines": lambda n: "\n" * n + "x",
    "lines of blanks": lambda n: " \t\n" * (n // 3),
    "carriage returns": lambda n: "\r" * n + "\n",
    "one long word": lambda n: "class " + "a" * n + ";",
    "a class without an end": lambda n: "class " * (n // 6) + ";",
    "blanks behind a mark": lambda n: "namespace" + " " * n + ";",
    "marks and blanks": lambda n: "#\t" * (n // 2),
    "colons": lambda n: "public  " * (n // 8),
    "fences": lambda n: "`" * n,
    "fences of one line": lambda n: "```a" * (n // 4),
    "open fences": lambda n: "```a\n" * (n // 5),
    "nested lists": lambda n: "[" * n,
    "seed headers": lambda n: "Seed file (python):\n```\n" * (n // 24),
    "generated": lambda n: "do not " * (n // 7),
}


def look(text: str) -> None:
    """Everything that is asked of a text before anybody trusts it."""
    found = decode(text.encode())
    assert isinstance(found, str | DropReason)
    for path in ("a.h", "a.py", "a"):
        language = detect(path, text)
        judge(text, language or "c")
    strip_chatter(text)
    is_notebook(text)
    write_file(text)


@pytest.mark.parametrize("shape", HOSTILE)
def test_a_hostile_text_of_the_largest_size_is_looked_at(shape: str) -> None:
    look(HOSTILE[shape](MAX_BYTES))  # quadratic time would be hours


@pytest.mark.parametrize("shape", HOSTILE)
def test_work_grows_no_faster_than_the_text(shape: str, count_calls: Callable[..., int]) -> None:
    work = [count_calls(look, HOSTILE[shape](size)) for size in (3_000, 6_000, 12_000)]
    assert work[1] <= 2.2 * work[0] + 200
    assert work[2] <= 2.2 * work[1] + 200
