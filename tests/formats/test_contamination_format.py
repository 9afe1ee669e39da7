"""The index of benchmarks that an older version wrote still finds what it found, and today's is the same."""

import contaminations

from streamer.likeness.contamination import Contamination, Match
from streamer.likeness.contamination_file import decode_index, encode_index

RENAMED = "def f(x):\n" + contaminations.SOLUTION.replace("totals", "a").replace("name", "b").replace("entries", "x")


def test_the_committed_index_finds_what_it_found() -> None:
    committed = Contamination(decode_index(contaminations.COMMITTED.read_bytes(), "contamination_1"))
    assert committed.find(RENAMED, "python") == Match("small: Sum/0", 1.0, "structure")
    assert committed.find(contaminations.SOLUTION, "python") == Match("small: Sum/0", 1.0, "body")
    assert committed.find("func half(x int) int {\n\treturn (x / 2) // so\n}", "go") == Match(
        "small: Half/1", 1.0, "function"
    )
    assert committed.find("# add up the amounts of each name and\n# return the names with the greatest sums first", "python")
    assert committed.find(RENAMED.replace("for", "while").replace("+", "-"), "python") is None


def test_what_is_written_today_is_what_is_committed() -> None:
    assert encode_index(contaminations.today()) == contaminations.COMMITTED.read_bytes()
