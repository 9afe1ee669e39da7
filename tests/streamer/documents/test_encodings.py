"""A file's encoding is told by its bytes, and its text comes out whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.documents.text import Decoded, DropReason, decode

JAPANESE = "# 設定ファイルを読み込んで、辞書にして返す。\nlimit = 3\n"
RUSSIAN = "# Функция читает файл настроек и возвращает словарь\nlimit = 3\n"
GERMAN = "# Größe der Fläche für ähnliche Fälle, über Straßen\nlimit = 3\n"


@pytest.mark.parametrize(
    ("text", "written", "encoding"),
    [
        (GERMAN, "utf-8", "utf-8"),
        (GERMAN, "utf-8-sig", "utf-8"),
        (GERMAN, "latin-1", "cp1252"),
        ("x = 'é'\n", "latin-1", "cp1252"),
        ("say('“quoted”')\n", "cp1252", "cp1252"),
        (JAPANESE, "shift-jis", "cp932"),
        (JAPANESE, "euc-jp", "euc_jp"),
        (RUSSIAN, "cp1251", "cp1251"),
        (RUSSIAN, "koi8-r", "koi8_r"),
        ("# 读取配置文件并返回一个字典，如果文件不存在则返回空\n", "gb18030", "gb18030"),
        (GERMAN, "utf-16", "utf-16-le"),
        (GERMAN, "utf-16-le", "utf-16-le"),
        (GERMAN, "utf-16-be", "utf-16-be"),
        (GERMAN, "utf-32", "utf-32-le"),
    ],
)
def test_a_text_comes_out_of_any_encoding(text: str, written: str, encoding: str) -> None:
    assert decode(text.encode(written)) == Decoded(text, encoding)


def test_long_files_are_told_by_the_lines_that_tell_something() -> None:
    text = "value = compute(1)\n" * 20_000 + JAPANESE
    assert decode(text.encode("shift-jis")) == Decoded(text, "cp932")


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1))
def test_whatever_is_utf8_is_read_as_utf8(text: str) -> None:
    found = decode(text.encode())
    assert found == (DropReason.EMPTY if not text.strip("\ufeff").strip() else Decoded(text.removeprefix("\ufeff"), "utf-8"))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_text_or_have_a_reason(data: bytes) -> None:
    found = decode(data)
    assert isinstance(found, DropReason) or (found.text.strip() and found.text.encode())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x7fELF\x02\x01\x01" + bytes(60), DropReason.BINARY),
        ("x = 1\n".encode("utf-16") + b"\x00\xd8", DropReason.LONE_SURROGATES),
        ("x = 1\n\0".encode("utf-16"), DropReason.NUL_BYTES),
        (b"x = 1 # \x81\x8d\x8f\n", DropReason.UNKNOWN_ENCODING),
    ],
)
def test_what_no_encoding_explains_has_a_reason(data: bytes, reason: DropReason) -> None:
    assert decode(data) == reason
