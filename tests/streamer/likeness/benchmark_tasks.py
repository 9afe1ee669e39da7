"""Tasks of a small benchmark of our own, and rows of a JSONL file that has them."""

import gzip
import json
from pathlib import Path
from typing import Any

BODY = """    best, current = numbers[0], 0
    for number in numbers:
        current = max(number, current + number)
        if current > best:
            best = current
    steps = [value * 2 for value in numbers if value > best]
    return "sum: " + str(best + len(steps))
"""
ROWS: list[dict[str, Any]] = [
    {
        "task_id": "Own/0",
        "prompt": "def greatest_stretch(numbers: list[int]) -> str:\n"
        '    """Tell the greatest sum that neighbouring numbers of a list have between them, as words.\n'
        '    >>> greatest_stretch([1, -3, 4])\n    "sum: 4"\n    """\n',
        "entry_point": "greatest_stretch",
        "canonical_solution": BODY,
        "test": "assert greatest_stretch([1]) == 'sum: 1'",
    },
    {
        "task_id": 7,
        "text": "Write a function that turns degrees to gradians.",
        "code": "def grad(d):\r\n    return d / 0.9",
    },
    {
        "name": "Own_2_count",
        "language": "js",
        "prompt": "// Count how many words of a sentence begin with a capital letter of the alphabet\n"
        "function countCapitals(sentence){\n",
        "tests": "countCapitals('A b') === 1",
    },
    {
        "task_id": "JavaScript/3",
        "prompt": "/* Half.\n*/\nconst half = (x) => {\n",
        "canonical_solution": "  return x / 2;\n}\n",
    },
]
WHOLE = str(ROWS[0]["prompt"]) + BODY


def write_set(folder: Path, name: str = "own_set.jsonl.gz") -> Path:
    """The rows as a benchmark is published."""
    path = folder / name
    data = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
    return path
