"""Answers are checked by the benchmarks' own packages in the sandbox, where these and the released files are there."""

import gzip
import json
import os
import random
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from streamer.errors import SandboxError
from training.errors import EvaluationError
from training.evaluation.checking import Checked, Checker
from training.evaluation.tasks import Benchmark, Task, load_benchmark, load_benchmarks

REPOSITORY = Path(__file__).resolve().parents[3]
PYTHON = REPOSITORY / ".evalplus" / "bin" / "python"
RELEASED = REPOSITORY.parent / "shared" / "data" / "benchmarks"
PASSES_NOBODY = "HumanEval/32"  # in evoeval 0.1.0, which gives its oracle of that task the arguments in the wrong order
PASSES = Checked("pass", "pass")
TWICE = {
    "task_id": "HumanEval/0",
    "prompt": 'def twice(number):\n    """Twice a number."""\n',
    "entry_point": "twice",
    "canonical_solution": "    return number * 2\n",
    "base_input": [[1], [2]],
    "plus_input": [[-1], [0.5]],
    "atol": 0,
}

# An answer that leaves a process behind, which writes verdicts to all that it can open until it is killed.
WRITES_VERDICTS = """
import posix, time
if posix.fork() == 0:
    places = [1, 2]
    for pid in [name for name in posix.listdir("/proc") if name.isdecimal()]:
        for number in (1, 2):
            try:
                places.append(posix.open(f"/proc/{pid}/fd/{number}", posix.O_WRONLY))
            except OSError:
                pass
    while True:
        for place in places:
            try:
                posix.write(place, b'\\n{"base": "pass", "plus": "pass"}\\n')
            except OSError:
                pass
        time.sleep(0.001)
"""


def checker_of(benchmark: Benchmark) -> Checker:
    if not PYTHON.exists() and "CI" not in os.environ:
        pytest.skip(f"{PYTHON} is missing; make benchmarks installs it")
    try:
        return Checker(benchmark, PYTHON)
    except SandboxError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))


@pytest.fixture
def twice(tmp_path: Path) -> Task:
    return load_benchmark(write(tmp_path, TWICE)).tasks["HumanEval/0"]


@pytest.fixture
def evalplus(tmp_path: Path) -> Checker:
    return checker_of(load_benchmark(write(tmp_path, TWICE)))


def write(folder: Path, *rows: Any) -> Path:
    path = folder / "tasks.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


def test_the_reference_solution_passes(evalplus: Checker, twice: Task) -> None:
    assert evalplus.check(twice, twice.solution) == PASSES


@pytest.mark.parametrize(
    ("answer", "checked"),
    [
        ("", Checked("fail", "fail")),
        ("def twice(number):\n    pass", Checked("fail", "fail")),
        ("def twice(number):\n    return abs(number) * 2", Checked("pass", "fail")),
        ("def twice(number: return", Checked("fail", "fail")),
        ("\ud800 = \0", Checked("fail", "fail")),
        ("def twice(number):\n    while True: pass", Checked("fail", "fail")),
        ("def twice(number):\n    raise SystemExit(0)", Checked("fail", "fail")),
        ("import os\ndef twice(number):\n    os.kill(os.getppid(), 9)", Checked("fail", "fail")),
        ("import ctypes, os\nctypes.CDLL(None).kill(os.getppid(), 9)", Checked("signalled", "signalled")),
        ("import ctypes\nctypes.CDLL(None).kill(-1, 9)", Checked("signalled", "signalled")),
        ('print(\'{"base": "pass", "plus": "pass"}\')', Checked("fail", "fail")),
        (
            'import ctypes, os\nos.write(1, b\'\\n{"base": "pass", "plus": "pass"}\\n\')\n'
            "ctypes.CDLL(None).kill(os.getppid(), 9)",
            Checked("signalled", "signalled"),
        ),
        (WRITES_VERDICTS, Checked("fail", "fail")),
    ],
)
def test_an_answer_is_judged_whatever_it_does(evalplus: Checker, twice: Task, answer: str, checked: Checked) -> None:
    assert evalplus.check(twice, answer) == checked


def test_a_task_whose_own_solution_fails_is_no_answer_s_fault(evalplus: Checker, tmp_path: Path) -> None:
    broken = load_benchmark(write(tmp_path, {**TWICE, "canonical_solution": "    return number.no_such\n"}))
    (task,) = broken.tasks.values()
    found = evalplus.check(task, "")
    assert found.base == found.plus
    assert re.fullmatch("not_checked: AttributeError: .*no_such.*", found.plus)


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("evalplus/HumanEvalPlus", 1),
        ("evalplus/MbppPlus", 2),
        ("evoeval/EvoEval_difficult", 3),
        ("evoeval/EvoEval_creative", 4),
        ("evoeval/EvoEval_subtle", 5),
        ("evoeval/EvoEval_combine", 6),
        ("evoeval/EvoEval_tool_use", 7),
        ("evoeval/EvoEval_concise", 8),
    ],
)
def test_released_solutions_pass_and_empty_answers_do_not(name: str, seed: int) -> None:
    path = RELEASED / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is missing")
    benchmark = load_benchmark(path)
    checker = checker_of(benchmark)
    in_order = [task for task in benchmark.tasks.values() if (benchmark.part, task.id) != ("concise", PASSES_NOBODY)]
    tasks = random.Random(seed).sample(in_order, 5)
    with ThreadPoolExecutor(2) as pool:
        solved = pool.map(checker.check, tasks, [task.solution for task in tasks])
        empty = pool.map(checker.check, tasks, [task.prompt for task in tasks])
        assert {task.id: checked for task, checked in zip(tasks, solved, strict=True) if checked != PASSES} == {}
        assert PASSES not in list(empty)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{name: value for name, value in TWICE.items() if name != "plus_input"}], ":1 lacks plus_input"),
        ([TWICE, {**TWICE, "task_id": "Other/1"}], ":2: task 'Other/1' must begin with HumanEval/"),
        ([{**TWICE, "task_id": "Other/1"}], ":1: task 'Other/1' must begin with HumanEval/ or Mbpp/"),
        ([TWICE, 3], ":2 must be a JSON object"),
        ([TWICE, TWICE], ":2: task HumanEval/0 is there twice"),
        ([{**TWICE, "prompt": 3}], ":1: prompt must be text"),
        ([], "has no tasks"),
    ],
)
def test_a_file_that_is_no_benchmark_is_refused_by_its_line(tmp_path: Path, rows: list[Any], said: str) -> None:
    with pytest.raises(EvaluationError, match=said):
        load_benchmark(write(tmp_path, *rows))


def test_files_and_environments_that_are_missing_or_broken_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(EvaluationError, match="cannot be read"):
            load_benchmark(path)
    (tmp_path / "cut").write_bytes(write(tmp_path, TWICE).read_bytes()[:40])
    with pytest.raises(EvaluationError, match="cannot be read"):
        load_benchmark(tmp_path / "cut")
    with pytest.raises(EvaluationError, match="name the Python of an environment with evalplus"):
        Checker(load_benchmark(write(tmp_path, TWICE)), tmp_path / "bin" / "python")
    with pytest.raises(EvaluationError, match="lacks evalplus, which tasks is checked by"):
        Checker(load_benchmark(write(tmp_path, TWICE)), sys.executable)
    python = tmp_path / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.write_text("#!/bin/sh\necho evalplus 0.3.1\n")
    for words, said in ((f'exec {outside} "$@"', "outside"), ("exit 3", "exited")):
        python.write_text(f"#!/bin/sh\n{words}\n")
        for path in (python, outside):
            path.chmod(0o755)
        with pytest.raises(EvaluationError, match=rf"cannot be run in the sandbox \(.*{said}.*name the Python of an"):
            Checker(load_benchmark(write(tmp_path, TWICE)), python)
    with pytest.raises(EvaluationError, match="EvoEval has no part 'easy'"):
        load_benchmark(write(tmp_path, TWICE).rename(tmp_path / "EvoEval_easy.jsonl.gz"))
    with pytest.raises(EvaluationError, match="several files are named tasks"):
        load_benchmarks([write(tmp_path, TWICE)] * 2)
