"""Answers to HumanEval+ and MBPP+ are checked by evalplus in the sandbox, where it and the released files are there."""

import gzip
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from streamer.errors import SandboxError
from training.errors import EvaluationError
from training.evaluation.checking import Checked, EvalPlus, Task, load_tasks

REPOSITORY = Path(__file__).resolve().parents[3]
PYTHON = REPOSITORY / ".evalplus" / "bin" / "python"
RELEASED = REPOSITORY.parent / "shared" / "data" / "benchmarks" / "evalplus"
TWICE = {
    "task_id": "HumanEval/0",
    "prompt": 'def twice(number):\n    """Twice a number."""\n',
    "entry_point": "twice",
    "canonical_solution": "    return number * 2\n",
    "base_input": [[1], [2]],
    "plus_input": [[-1], [0.5]],
    "atol": 0,
}


@pytest.fixture(scope="module")
def evalplus() -> EvalPlus:
    if not PYTHON.exists() and "CI" not in os.environ:
        pytest.skip(f"{PYTHON} is missing; make benchmarks installs it")
    try:
        return EvalPlus(PYTHON)
    except SandboxError as error:
        pytest.skip(str(error))


@pytest.fixture
def twice(tmp_path: Path) -> Task:
    return load_tasks(write(tmp_path, TWICE))["HumanEval/0"]


def write(folder: Path, *rows: Any) -> Path:
    path = folder / "tasks.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


def test_the_reference_solution_passes(evalplus: EvalPlus, twice: Task) -> None:
    assert evalplus.check(twice, twice.solution) == Checked("pass", "pass")


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
    ],
)
def test_an_answer_is_judged_whatever_it_does(evalplus: EvalPlus, twice: Task, answer: str, checked: Checked) -> None:
    assert evalplus.check(twice, answer) == checked
    assert not checked.passed


def test_a_task_whose_own_solution_fails_is_no_answer_s_fault(evalplus: EvalPlus, tmp_path: Path) -> None:
    (task,) = load_tasks(write(tmp_path, {**TWICE, "canonical_solution": "    return number.no_such\n"})).values()
    with pytest.raises(EvaluationError, match="HumanEval/0 cannot be checked by evalplus.*no_such"):
        evalplus.check(task, "")


@pytest.mark.parametrize("name", ["HumanEvalPlus", "MbppPlus"])
def test_released_solutions_pass_and_empty_answers_do_not(evalplus: EvalPlus, name: str) -> None:
    path = RELEASED / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is missing")
    tasks = list(load_tasks(path).values())[::24]
    with ThreadPoolExecutor(2) as pool:
        solved = pool.map(evalplus.check, tasks, [task.solution for task in tasks])
        empty = pool.map(evalplus.check, tasks, [task.fields["prompt"] for task in tasks])
        assert {
            task.fields["task_id"]: checked for task, checked in zip(tasks, solved, strict=True) if not checked.passed
        } == {}
        assert [checked for checked in empty if checked.passed] == []


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{name: value for name, value in TWICE.items() if name != "plus_input"}], ":1 lacks plus_input"),
        ([TWICE, {**TWICE, "task_id": "Other/1"}], ":2: task 'Other/1' must begin with HumanEval/ or Mbpp/"),
        ([TWICE, 3], ":2 must be a JSON object"),
    ],
)
def test_a_file_that_is_no_benchmark_is_refused_by_its_line(tmp_path: Path, rows: list[Any], said: str) -> None:
    with pytest.raises(EvaluationError, match=said):
        load_tasks(write(tmp_path, *rows))


def test_files_and_environments_that_are_missing_or_broken_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(EvaluationError, match="cannot be read"):
            load_tasks(path)
    (tmp_path / "cut").write_bytes(write(tmp_path, TWICE).read_bytes()[:40])
    with pytest.raises(EvaluationError, match="cannot be read"):
        load_tasks(tmp_path / "cut")
    with pytest.raises(EvaluationError, match="name the Python of an environment with evalplus"):
        EvalPlus(tmp_path / "bin" / "python")
