"""Progress: moves on a terminal, is logged every few seconds elsewhere, says rate and remaining time."""

import io

from streamer.commands.progress_line import ProgressLine


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
