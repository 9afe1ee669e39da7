"""Colour repeats what a word says: on a terminal that shows it, and nowhere else."""

import io
import re

import pytest

from streamer.commands.progress_line import remaining
from streamer.commands.table import has_colour, painted, table_lines

ROWS = [{"run": "open", "state": "open"}, {"run": "b", "state": "ended: enough"}, {"run": "c", "state": "paused by ana"}]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_coloured_table_is_the_plain_one_with_signs_between() -> None:
    plain, coloured = table_lines(ROWS), table_lines(ROWS, colour=True)
    assert [re.sub("\x1b\\[[0-9]+m", "", line).rstrip() for line in coloured] == plain
    assert coloured != plain
    assert coloured[1].startswith("open ")  # a name is no state


def test_states_have_tones_and_other_words_none() -> None:
    assert painted("paused by ana") != "paused by ana"
    assert painted("mend ") != "mend "
    assert painted("complete") == "complete"
    assert painted("") == ""


@pytest.mark.parametrize(
    ("variable", "value", "expected"), [("A", "", True), ("NO_COLOR", "1", False), ("TERM", "dumb", False)]
)
def test_a_terminal_may_refuse_colour(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: bool) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(variable, value)
    assert has_colour(Terminal()) is expected
    assert not has_colour(io.StringIO())


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (119, "119 s"), (600, "10 min"), (9000, "2.5 h")])
def test_remaining_time_is_said_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert remaining(seconds) == text
