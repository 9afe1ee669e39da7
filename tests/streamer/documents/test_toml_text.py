"""TOML of strangers is bounded before it is parsed, in length, words, dotted keys and depth."""

import contextlib
import tomllib
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.documents import toml_text
from streamer.documents.toml_text import MOST_CHARACTERS, MOST_DOTTED, MOST_NESTED, MOST_WORDS, parse_toml, parse_value
from streamer.errors import TomlError

# hostile shapes of about n characters; some parse, some are refused, none may cost more than its length
SHAPES: dict[str, Callable[[int], str]] = {
    "one long dotted key": lambda n: "a." * (n // 2) + "b = 1",
    "a dotted header": lambda n: "[" + "a." * (n // 2) + "b]",
    "dots with blanks": lambda n: "a . " * (n // 4) + "b = 1",
    "quoted words": lambda n: '"a".' * (n // 4) + "b = 1",
    "a dotted key in a table": lambda n: "x = { " + "a." * (n // 2) + "b = 1 }",
    "many dotted keys": lambda n: "\n".join(f"k{i}.a.b.c.d = 1" for i in range(n // 18)),
    "many headers": lambda n: "\n".join(f"[a.b.c.d{i}]" for i in range(n // 14)),
    "many tables of a list": lambda n: "[[a]]\n" * (n // 6),
    "nested lists": lambda n: "a = " + "[" * n,
    "closed nested lists": lambda n: "a = " + "[" * (n // 2) + "]" * (n // 2),
    "nested tables": lambda n: "a = " + "{a = " * (n // 5),
    "a long list": lambda n: "a = [" + "1, " * (n // 3) + "]",
    "a long word": lambda n: "a" * n + " = 1",
    "a long number": lambda n: "a = " + "9" * n,
    "a long hexadecimal number": lambda n: "a = 0x" + "f" * n,
    "underscores": lambda n: "a = 1" + "_1" * (n // 2),
    "escapes": lambda n: 'a = "' + "\\n" * (n // 2) + '"',
    "an open string": lambda n: 'a = "' + "x" * n,
    "an open long string": lambda n: 'a = """' + '""x' * (n // 3),
    "quotes in a long string": lambda n: "a = '''" + "''x" * (n // 3) + "'''",
    "backslashes": lambda n: 'a = "' + "\\" * n,
    "blank lines": lambda n: "\n" * n,
    "blanks": lambda n: " " * n,
    "a comment": lambda n: "#" * n,
    "quotes": lambda n: '"' * n,
    "equals signs": lambda n: "=" * n,
}


def read(text: str) -> None:
    with contextlib.suppress(TomlError):
        parse_toml(text)


@pytest.mark.parametrize("shape", SHAPES)
def test_work_grows_no_faster_than_the_text(shape: str, count_calls: Callable[..., int]) -> None:
    make = SHAPES[shape]
    work = [count_calls(read, make(size)) for size in (2_000, 4_000, 8_000, 16_000)]
    for smaller, larger in zip(work, work[1:], strict=False):
        assert larger <= 2.2 * smaller + 100, work


@pytest.mark.parametrize("shape", SHAPES)
def test_memory_is_bounded_for_the_longest_text(shape: str) -> None:
    text = SHAPES[shape](MOST_CHARACTERS - 100)
    tracemalloc.start()
    try:
        read(text)
        assert tracemalloc.get_traced_memory()[1] < 150 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("x = 1\n" + ".".join("a" * (MOST_DOTTED + 1)) + " = 1", 2, "dotted key"),
        ("\n\n[" + ".".join("a" * (MOST_DOTTED + 1)) + "]", 3, "dotted key"),
        ("x = " + "[" * (MOST_NESTED + 1), 1, "nested too deep"),
        ("\nx = " + "{a = [" * MOST_NESTED, 2, "nested too deep"),
        ("x = 1\n" * (MOST_WORDS // 2 + 1), MOST_WORDS // 2 + 1, "keys and values"),
        ("#" * (MOST_CHARACTERS + 1), 1, "characters"),
        ("\nx = '\ud800'", 2, "surrogate"),
        ("x = " + "9" * 5000, 1, "digits"),
        ("x = 1\ny = ", 2, "Invalid value"),
    ],
)
def test_what_is_refused_is_named_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(TomlError, match=said) as refused:
        parse_toml(text)
    assert refused.value.line == line


@pytest.mark.parametrize(
    "text",
    [
        ".".join("a" * MOST_DOTTED) + " = 1",
        "x = " + "[" * MOST_NESTED + "]" * MOST_NESTED,
        "x = '[[[[[[[[[[[['  # {{{{{{{{{{{{{",
        'x = """\n[[[[[[[[[[ a.b.c.d.e.f.g.h.i.j \\""" "" """',
        "x = '''[[[[[[[[[[ ''''' \ny = \"\"\"a.b.c.d.e.f.g.h.i\"\"\"\"",
        '"a.b.c.d.e.f.g.h.i.j" = "[[[[[[[[[[[["',
        "x = [1.5, 2.5, 1979-05-27T07:32:00.999-07:00]\ny.z = { w.v = 1e3 }",
        '"" = 1\n\'b\' .a = ""',
    ],
)
def test_what_is_within_the_limits_means_what_tomllib_says(text: str) -> None:
    assert parse_toml(text) == tomllib.loads(text)


@given(st.text(alphabet="a1.=[]{}'\"\\\n #,_-", max_size=60))
def test_the_limits_refuse_no_small_text_that_is_toml(text: str) -> None:
    try:
        expected = tomllib.loads(text)
    except ValueError:
        with pytest.raises(TomlError):
            parse_toml(text)
    else:
        shallow = all(text.count(sign) <= MOST_NESTED for sign in "[.")
        if shallow and text.count("[") + text.count("{") <= MOST_NESTED:
            assert parse_toml(text) == expected


@given(st.text(alphabet="a.=[]{}'\"\\\n #,", max_size=80))
def test_tomllib_sees_no_dotted_key_or_nesting_beyond_the_limits(text: str) -> None:
    """The scan reads a text as tomllib does, as far as tomllib reads it: what it lets through is within the limits."""
    original = toml_text.MOST_DOTTED, toml_text.MOST_NESTED
    toml_text.MOST_DOTTED = toml_text.MOST_NESTED = 2
    try:
        found = parse_toml(text)
    except TomlError:
        return
    finally:
        toml_text.MOST_DOTTED, toml_text.MOST_NESTED = original

    def depth(value: object) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return bool(isinstance(value, dict | list)) + max(map(depth, inner), default=0)

    # a header of two words, a key of two, in two levels of lists or tables with two words each
    assert depth(found) <= 1 + 2 + 2 + 2 * 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        (" 0.5 ", 0.5),
        ("word", "word"),
        ("a b", "a b"),
        ("'a'", "a"),
        ("{a = 1}", {"a": 1}),
        ("1\nb = 2", "1\nb = 2"),
    ],
)
def test_a_value_on_the_command_line_is_toml_or_a_bare_word(text: str, value: object) -> None:
    assert parse_value(text) == value


def test_a_value_beyond_the_limits_is_refused_and_no_bare_word() -> None:
    with pytest.raises(TomlError, match="nested too deep"):
        parse_value("[" * 100)
    with pytest.raises(TomlError, match="dotted key"):
        parse_value("{" + "a." * 50_000 + "b = 1}")


def test_a_file_is_read_no_further_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "endless.toml"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a sparse file: reading it whole would take all memory
    with pytest.raises(TomlError, match="shorten"):
        toml_text.read_text(path)
    path.write_bytes(b"\xef\xbb\xbfa = 1\r\n")
    assert parse_toml(toml_text.read_text(path)) == {"a": 1}
