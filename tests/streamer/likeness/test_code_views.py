"""What two spellings of the same code have in common, and what tells different code apart."""

import numpy as np
import pytest

from streamer.likeness.code_views import (
    BLANK,
    CALLED,
    KEYWORDS,
    SLOT_KINDS,
    bare_code,
    letters,
    structure,
    structure_size,
    window_hashes,
)

CODE = b"""def f(values, *, limit=10):
    # keeps the small ones
    kept = [value for value in values if value < limit]
    return {"kept": kept, "count": len(kept)}
"""
SPELLINGS = {
    "names": CODE.replace(b"value", b"thing").replace(b"kept =", b"rest =").replace(b"limit", b"x9").replace(b"10", b"7000"),
    "comments": CODE.replace(b"# keeps the small ones", b"# other words, 'and' a quote"),
    "quotes": CODE.replace(b'"', b"'"),
    "docstring": CODE.replace(b"# keeps", b'r"""Says\n    "more" (than, code);"""\n    # keeps'),
    "parentheses": CODE.replace(b"value < limit", b"((value) < (limit))").replace(b"len(kept)", b"(len (kept))"),
    "trailing commas": CODE.replace(b"limit=10)", b"limit=10,\n)").replace(b"len(kept)}", b"len(kept,),}"),
    "lines": CODE.replace(b"if value", b"\\\n\tif value").replace(b"\n", b";\r\n"),
}


def view(code: bytes, language: str = "python") -> bytes:
    return structure(bare_code(code, language))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_structure_is_that_of_every_spelling(spelling: str) -> None:
    assert SPELLINGS[spelling] != CODE
    assert view(SPELLINGS[spelling]) == view(CODE)
    assert structure_size(bare_code(SPELLINGS[spelling], "python")) == len(view(CODE))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"a + b", b"a - b"),
        (b"for a in b", b"while a in b"),
        (b"a = 1", b"a = c"),
        (b"len(a)", b"max(a)"),
        (b"a.read()", b"a.write()"),
        (b"a[b]", b"a, b"),
        (b"interfaces a", b"interface a"),
    ],
)
def test_other_code_has_another_structure(one: bytes, other: bytes) -> None:
    assert view(one) != view(other)


@pytest.mark.parametrize("operator", [b"..", b"...", b"..=", b"..<"])
def test_the_end_of_a_range_is_a_name_and_no_member(operator: bytes) -> None:
    assert view(b"for i in 2" + operator + b"limit {", "rust") == view(b"for j in 2" + operator + b"count {", "rust")


def test_known_functions_are_known_where_they_are_called_alone() -> None:
    assert view(b"len = size") == view(b"a = b")
    assert view(b"len (a)") == view(b"len(a)") != view(b"name(a)")
    assert len(set(SLOT_KINDS.tolist()) - {0}) == len(KEYWORDS) + len(CALLED)


@pytest.mark.parametrize(
    ("language", "code", "bare"),
    [
        ("python", b"x = rb'a' f\"b\" 'c\\'d' # e", b"x = \1\1\1 \1\1 \1 \1"),
        ("python", b'"""a "b" \\""" c""" d', b"\1 d"),
        (
            "rust",
            b"fn f<'a>(x: &'a str, c: char) { c == '\\u{1F600}' } // 'no",
            b"fn f<'a>(x: &'a str, c: char) { c == \1 } \1",
        ),
        ("javascript", b"a(`b ${c} \\` d`) /* ` */ + 'e'", b"a(\1) \1 + \1"),
        ("sql", b"select 'a -- b' -- c\n/* d */ from t", b"select \1 \1\n\1 from t"),
        ("php", b"a # b\n// c\n'd'", b"a \1\n\1\n\1"),
    ],
)
def test_comments_and_strings_are_blank(language: str, code: bytes, bare: bytes) -> None:
    assert bare_code(code, language) == bare


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", b'"""\\' * 999), ("python", b"'''a\\" * 999), ("python", b'"' + b'\\"' * 999),
        ("dart", b'"""' + b"\\'" * 999),
        ("javascript", b"`\\" * 999), ("java", b"/*\n" * 999), ("go", b"`" + b"\\`" * 999),
    ],
)  # fmt: skip
def test_what_is_not_closed_goes_to_the_end_at_once(language: str, code: bytes) -> None:
    assert set(bare_code(code, language)) == {BLANK[0]}
    assert len(bare_code(code, language)) == 1


def test_letters_are_all_that_is_left_of_a_text() -> None:
    assert letters("// Größe, 3 mal\n# 'QUER'".encode()) == "größe3malquer".encode()


@pytest.mark.parametrize("text", [b"", b" ", b"#", b"(", b"a", b"\\", b"\xff\xfe", b"," * 9])
def test_the_smallest_texts_have_views_too(text: bytes) -> None:
    assert len(view(text)) <= len(text)
    assert len(window_hashes(view(text), 16)) == 0


def test_windows_are_told_apart_by_every_byte() -> None:
    data = bytes(range(32, 64))
    changed = [bytes([*data[:place], data[place] ^ 1, *data[place + 1 :]]) for place in range(32)]
    for width in (8, 16, 20, 32):
        hashes = np.concatenate([window_hashes(text, width)[:1] for text in (data, *changed)])
        assert len(np.unique(hashes)) == width + 1
        assert window_hashes(data * 2, width)[32] == window_hashes(data, width)[0]
