"""Tables fit the terminal: text is shortened in its middle, numbers never."""

import json

import pytest

from streamer.commands.table import print_table, shorten, table_lines

ROWS = [
    {"stream": f"scored/a-language-with-a-name-{number}/q95", "tokens": 10**number, "share": 0.25, "note": None}
    for number in range(12)
]


def test_a_table_that_fits_is_as_it_was() -> None:
    assert table_lines(ROWS) == table_lines(ROWS, 200)
    assert table_lines(ROWS)[1].startswith("scored/a-language-with-a-name-0/q95 ")
    assert table_lines([]) == ["none"]


@pytest.mark.parametrize("width", [40, 50, 60])
def test_text_is_shortened_to_the_width_and_numbers_stay_whole(width: int) -> None:
    lines = table_lines(ROWS, width)
    assert max(map(len, lines)) <= width
    assert len(lines) == len(ROWS) + 1
    for row, line in zip(ROWS, lines[1:], strict=True):
        assert f" {row['tokens']:,}  0.2500" in line
        assert "…" in line


def test_what_has_no_room_at_all_is_left_out_and_named() -> None:
    lines = table_lines(ROWS, 28)
    assert lines[-1] == "(no room for share, note; --json has all)"
    assert "100,000,000,000" in lines[-2]


def test_numbers_are_told_by_the_whole_column() -> None:
    first, second = table_lines([{"passes": None, "name": "a"}, {"passes": 1234, "name": "bb"}])[1:]
    assert (first, second) == ("        a", " 1,234  bb")


def test_shortening_keeps_both_ends() -> None:
    assert shorten("synthetic/python/q95", 11) == "synth…n/q95"
    assert shorten("short", 11) == "short"


def test_nothing_is_shortened_where_nobody_looks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    print_table(ROWS, False)
    assert "…" not in capsys.readouterr().out
    print_table(ROWS, True)
    assert json.loads(capsys.readouterr().out) == ROWS
