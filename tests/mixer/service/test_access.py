"""Tokens: read from lines, refused where others could read them, never printed."""

from pathlib import Path

import pytest

from mixer.errors import AccessError
from mixer.service.access import Token, find_token, load_tokens, parse_tokens
from streamer.errors import PhasemixError

SECRET = "0123456789abcdef"


def test_lines_give_names_and_roles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = f"# who may\n\nann write {SECRET}\neve read {SECRET}x\n"
    file = tmp_path / "tokens"
    file.write_text(lines)
    file.chmod(0o600)
    found = load_tokens(file)
    assert found == (Token("ann", "write", SECRET), Token("eve", "read", f"{SECRET}x"))
    monkeypatch.setenv("PHASEMIX_TOKENS", lines)
    assert load_tokens() == found
    assert find_token(found, f"{SECRET}x") == found[1]
    assert find_token(found, "") is None


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"ann write {SECRET}")
    file.chmod(0o640)
    with pytest.raises(AccessError, match="chmod 600"):
        load_tokens(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"ann {SECRET}", "2 words"),
        (f"ann admin {SECRET}", "one of read, write"),
        ("ann write short", "16 to 512"),
        (f"ann write {SECRET}\nann read {SECRET}x", "twice"),
        (f"ann write {SECRET}\neve read {SECRET}", "twice"),
        (f"../ann write {SECRET}", "cannot be the name of a token"),
    ],
)
def test_a_bad_line_is_named_without_its_token(text: str, said: str) -> None:
    with pytest.raises(PhasemixError, match=said) as found:
        parse_tokens(text, "file")
    assert SECRET not in str(found.value)


def test_files_that_are_absent_or_empty_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="cannot be read"):
        load_tokens(tmp_path / "absent")
    (tmp_path / "empty").touch(mode=0o600)
    with pytest.raises(AccessError, match="has no tokens"):
        load_tokens(tmp_path / "empty")
