"""Progress: moves on a terminal, is logged every few seconds elsewhere, says rate and remaining time."""

import io

from hypothesis import given
from hypothesis import strategies as st

from streamer.commands.progress_line import Course, ProgressLine, Stage


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_than_on_a_terminal_a_line_comes_at_each_step_and_every_five_seconds() -> None:
    now_s, out = [0.0], io.StringIO()
    progress = ProgressLine(out, lambda: now_s[0])
    for tick in range(121):
        now_s[0] = tick / 10
        progress(*(("read", 10 * tick, 0) if tick < 60 else ("pack", 10 * (tick - 60), 1000)))
    progress.end()
    assert out.getvalue().splitlines() == [
        "read",
        "read 500, 100.0/s",
        "pack 0 of 1,000",
        "pack 500 of 1,000, 100.0/s, 5 s left",
    ]


def test_on_a_terminal_one_line_moves_and_says_what_is_left() -> None:
    now_s, out = [0.0], Terminal()
    progress = ProgressLine(out, lambda: now_s[0])
    progress("score", 0, 400)
    now_s[0] = 2.0
    progress("score", 100, 400)
    progress.end()
    assert out.getvalue() == "\r\033[Kscore 0 of 400\r\033[Kscore 100 of 400, 50.0/s, 6 s left\n"


STAGES = (Stage("read", 0.0, 1.0), Stage("learn", 50.0), Stage("pack", 0.0, 1.0))


def test_several_stages_are_one_bar_with_the_time_of_the_whole() -> None:
    now_s, out = [0.0], io.StringIO()
    progress = ProgressLine(out, lambda: now_s[0], stages=STAGES)
    for second, report in ((0, ("read", 0, 100)), (10, ("read", 50, 100)), (20, ("learn", 0, 0)), (60, ("pack", 50, 100))):
        now_s[0] = second
        progress(*report)
    assert out.getvalue().splitlines() == [
        "[--------------------]   0 %: read 0 of 100",
        "[####----------------]  20 %, 40 s left: read 50 of 100",
        "[########------------]  40 %, 30 s left: learn",
        "[################----]  80 %, 15 s left: pack 50 of 100",
    ]


@given(
    st.lists(st.tuples(st.sampled_from(["read", "learn", "pack", "unknown"]), st.integers(0, 99), st.integers(0, 99))),
)
def test_the_share_never_falls_and_stays_within_the_whole(reports: list[tuple[str, int, int]]) -> None:
    course = Course(STAGES)
    shares = [course.share(*report) for report in reports]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
