"""A header's language: the same as the obvious pattern says, in linear time."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generators.engines.rule_based import write_file
from generators.gates.answers import find_file, without_reasoning
from generators.gates.language import evidence
from generators.gates.substance import stub_share
from streamer.documents.languages import CPP_MARKS, OBJECTIVE_C_MARKS, detect
from streamer.documents.notebooks import read_notebook
from streamer.documents.text import MAX_BYTES, Decoded, DropReason, decode
from streamer.gates.filters import GATES, Filters
from streamer.gates.lines import Data
from streamer.gates.subject import Subject
from streamer.likeness.code_views import bare_code

# what the marks mean, in patterns that go back over blank lines and long words
OBVIOUS_CPP = re.compile(
    r"^\s*(?:template\s*<|(?:inline\s+)?namespace\s+\w|class\s+\w+[^;\n]*$|class\s+\w+(?:\s+final)?\s*[:{]"
    r"|enum\s+(?:class|struct)\s|using\s+(?:namespace\s|\w+\s*=)|(?:public|private|protected)\s*:"
    r"|virtual\s+[~\w]|explicit\s+\w+\s*\(|(?:(?:static|inline)\s+)*constexpr\s+\w)"
    r"|\bstd::|#\s*include\s*<[a-z_]+>|=\s*(?:delete|default)\s*;|\)\s*(?:const\s*)?(?:noexcept|override)\b|\bnullptr\b"
    r"|\bconst\s+\w+(?:::\w+)*\s*&|\boperator\s*[-=+*/<>!&|^~\[(]|\b(?:static|reinterpret|const|dynamic)_cast\s*<",
    re.MULTILINE,
)
OBVIOUS_OBJECTIVE_C = re.compile(r"^\s*(?:@interface|@protocol|@end|@class|#\s*import\s)", re.MULTILINE)
PIECES = [
    "\n", " ", "\t", "\r\n", ";", ":", "<", ">", "a", "X1", "{", "// ", "class", "class ", "namespace ", "template", "enum ",
    "using ", "namespace", "public", "private :", "protected", "std::", "#", "include", "<vector>", "<map>", "@end",
    "@interface", "import ", "const ", "&", "virtual ", "= delete;", ")", "noexcept", "constexpr ", "inline ", "operator",
    "=",
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
        ("  public :\n", "cpp"),
        ("#include <vector>\n", "cpp"),
        ("#include <stdint.h>\nint f(void);\n", "c"),
        ("\n \n@interface View\n", None),
        ("enum class Level { low, high };\n", "cpp"),
        ("bool is_low(const Level& level);\n", "cpp"),
        ("struct A { A(const A*) = delete; };\n", "cpp"),
        ("inline int f() { return g(nullptr); }\n", "cpp"),
        ("/* class of a thing\n   class Thing\n*/\nint f(void);\n", "c"),
        (
            '#ifdef __cplusplus\nextern "C" {\nnamespace a {}\n#endif\nint f(void);\nint g(void);\nint h(char *name);\n',
            "c",
        ),
        ("#ifdef __cplusplus\n#include <string>\nstd::string f();\nstd::string g(int);\n#endif\n", "cpp"),
        ("int const_of(int a) { return a & 1; }\nint x = a_const & b;\n", "c"),
    ],
)
def test_a_header_is_told_by_its_marks(text: str, language: str | None) -> None:
    assert detect("a.h", text) == language


@pytest.mark.parametrize(
    ("path", "text", "language"),
    [
        ("app_fr.ts", '<?xml version="1.0"?>\n<!DOCTYPE TS>\n<TS version="2.1">\n</TS>\n', None),
        ("app.ts", "export const a = 1\n", "typescript"),
        ("view.tsx", "export const View = () => <TS/>\n", "typescript"),
        ("schema.sql", "CREATE TABLE t (a int);\n", "sql"),
        ("model.sql", "{{ config(materialized='view') }}\n", "sql"),
        ("notes.sql", "These are the names of people.\n", None),
        ("page.php", "<html><body>plain</body></html>\n", None),
        ("page.php", "<html><?php echo 1; ?></html>\n", "php"),
        ("solve.m", "function y = f(x)\n", None),
        ("View.m", "#import <UIKit/UIKit.h>\n", None),
        ("vector", "// <vector> -*- C++ -*-\n#include <memory>\n", "cpp"),
        ("rules", "# -*- mode: Python; coding: utf-8 -*-\nx = 1\n", "python"),
        ("build", "# vim: set ft=ruby ts=2:\nputs 1\n", "ruby"),
        ("complete", "# completion for tar   -*- shell-script -*-\ncomplete -F _tar tar\n", "shell"),
        ("notes", "nothing that tells\n", None),
    ],
)
def test_where_an_ending_does_not_tell_the_text_does(path: str, text: str, language: str | None) -> None:
    assert detect(path, text) == language


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
    "letters of base64": lambda n: "a" * n,
    "hex pairs": lambda n: "0x1f, " * (n // 6),
    "open comments": lambda n: "/*" * (n // 2),
    "conditions": lambda n: "#ifdef __cplusplus\n" * (n // 19),
    "constants": lambda n: "const a" * (n // 7),
    "mode lines": lambda n: "-*- a" * (n // 5),
    "rows": lambda n: "(1, 'a'),\n" * (n // 10),
    "quotes": lambda n: "'\n" * (n // 2),
}


SIZES = (9_000, 18_000, 36_000)  # of all of them the first 8 KB are parsed, and then more
FILTERS = Filters(data=Data(max_lines=0))  # so that short texts are looked at as long ones are


def look(text: str) -> None:
    """Everything that is asked of a text before anybody trusts it."""
    found = decode(text.encode())
    assert isinstance(found, Decoded | DropReason)
    for path in ("a.h", "a.py", "a"):
        language = detect(path, text)
        for gate in GATES:
            getattr(FILTERS, gate).judge(Subject(text, language=language or "c", path=path, repository="r"))
    without_reasoning(text)
    find_file(text, "python")
    for language in ("python", "java", "shell", "sql", "typescript"):
        code = bare_code(text.encode(), language)
        evidence(text, code, language)
        stub_share(code, language)
    read_notebook(text)
    write_file(text)


@pytest.mark.parametrize("shape", HOSTILE)
def test_a_hostile_text_of_the_largest_size_is_looked_at(shape: str) -> None:
    look(HOSTILE[shape](MAX_BYTES))  # quadratic time would be hours


@pytest.mark.parametrize("shape", HOSTILE)
def test_work_grows_no_faster_than_the_text(shape: str, count_calls: Callable[..., int]) -> None:
    work = [count_calls(look, HOSTILE[shape](size)) for size in SIZES]
    assert work[1] <= 2.2 * work[0] + 200
    assert work[2] <= 2.2 * work[1] + 200
