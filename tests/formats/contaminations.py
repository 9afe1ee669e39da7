"""A small index of benchmark tasks as the first version that had one wrote it: `python tests/formats/contaminations.py`."""

from pathlib import Path

from streamer.likeness.contamination import Index, Rule, index_tasks
from streamer.likeness.contamination_file import encode_index
from streamer.likeness.tasks import Task

COMMITTED = Path(__file__).resolve().parent / "contamination_1"
SOLUTION = """    totals = {}
    for name, amount in entries:
        totals[name] = totals.get(name, 0) + amount
    return sorted(totals.items(), key=lambda pair: -pair[1])
"""
TASKS = (
    Task(
        name="small: Sum/0",
        language="python",
        words="Add up the amounts of each name and return the names with the greatest sums first.",
        head="def add_up(entries):",
        solution=SOLUTION,
    ),
    Task(
        name="small: Half/1",
        language="go",
        words="Return one half of it.",
        head="",
        solution="func half(x int) int { return x / 2 }",
    ),
)


def today() -> Index:
    return index_tasks(TASKS, Rule())


if __name__ == "__main__":
    COMMITTED.write_bytes(encode_index(today()))
