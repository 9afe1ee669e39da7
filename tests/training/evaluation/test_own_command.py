"""The verdicts are those of the packages' own commands on the same answers."""

import gzip
import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from test_checking import PASSES, PYTHON, RELEASED, REPOSITORY, checker_of

from training.evaluation.checking import Checked, Checker
from training.evaluation.tasks import Benchmark, Task, load_benchmark

BIG = REPOSITORY / ".bigcodebench" / "bin" / "python"
BIG_TASKS = ("BigCodeBench/0", "BigCodeBench/3", "BigCodeBench/7", "BigCodeBench/19", "BigCodeBench/23")
STAND_INS = """
import sys, types

def stand_in(name, **functions):  # for what the commands need to show their progress, and to ask models and servers
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(functions)

stand_in("termcolor", cprint=lambda text, color: print(text))
stand_in("tqdm", tqdm=lambda found, **_: found)
stand_in("datasets", load_dataset=None)
"""
EVALPLUS = """
stand_in("evalplus.codegen", run_codegen=None)
from evalplus.evaluate import evaluate

evaluate(sys.argv[1], samples=sys.argv[2], parallel=2, min_time_limit=4.0)
"""
EVOEVAL = """
from evoeval.evaluate import main

words = ["--parallel", "1", "--min-time-limit", "4"]
for dataset, samples in zip(sys.argv[1::2], sys.argv[2::2]):
    sys.argv = ["evoeval", "--dataset", dataset, "--samples", samples, *words]
    main()
"""
BIGCODEBENCH = """
import os

stand_in("gradio_client", Client=None, handle_file=None)
stand_in("e2b", Sandbox=None)
stand_in("httpx", ReadTimeout=None)
stand_in("wget")
stand_in("tempdir")
stand_in("appdirs", user_cache_dir=lambda name: os.path.join(os.environ["XDG_CACHE_HOME"], name))
stand_in("bigcodebench.generate", run_codegen=None)
from bigcodebench.evaluate import evaluate

tasks, samples = sys.argv[1:]
evaluate("complete", "full", samples, execution="local", selective_evaluate=tasks, pass_k="1", parallel=1, no_gt=True)
"""


def chosen(name: str, folder: Path, tasks: int) -> Benchmark:
    """Some tasks of a released file, as a file of their own in `folder`."""
    released = RELEASED / f"{name}.jsonl.gz"
    if not released.exists():
        pytest.skip(f"{released} is missing")
    path = folder / f"{Path(name).name}.jsonl"
    lines = gzip.decompress(released.read_bytes()).splitlines()
    path.write_bytes(b"".join(line + b"\n" for line in random.Random(20_261_130).sample(lines, tasks)))
    return load_benchmark(path)


def answers_of(tasks: list[Task]) -> dict[str, str]:
    """By turns the reference solution, a wrong value, the reference solution with prints, and no Python."""
    found = {}
    for number, task in enumerate(tasks):
        wrong = f"def {task.fields['entry_point']}(*arguments):\n    return None\n"
        loud = f"print('checked')\n{task.solution}\nprint('defined')\n"
        found[task.id] = (task.solution, wrong, loud, f"{task.solution}\n)")[number % 4]
    return found


def verdicts(checker: Checker, benchmark: Benchmark, answers: dict[str, str]) -> dict[str, Checked]:
    found = {name: checker.check(benchmark.tasks[name], answer) for name, answer in answers.items()}
    assert 0 < sum(one == PASSES for one in found.values()) < len(found)
    return found


def save(answers: dict[str, str], path: Path) -> Path:
    path.write_text("".join(json.dumps({"task_id": name, "solution": one}) + "\n" for name, one in answers.items()))
    return path


def run(python: Path, command: str, folder: Path, *words: str | Path, **changes: Path) -> None:
    subprocess.run(
        [str(python), "-I", "-c", STAND_INS + command, *map(str, words)],
        check=True,
        timeout=800,
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), **{name: str(path) for name, path in changes.items()}},
    )


def said_of(samples: Path) -> dict[str, dict[str, Any]]:
    """What a command says of the only answer to each task."""
    said = json.loads(samples.with_name(f"{samples.stem}_eval_results.json").read_text())["eval"]
    return {task: found for task, (found,) in said.items()}


@pytest.mark.parametrize(("name", "dataset"), [("HumanEvalPlus", "humaneval"), ("MbppPlus", "mbpp")])
def test_verdicts_are_those_of_evalplus(name: str, dataset: str, tmp_path: Path) -> None:
    benchmark = chosen(f"evalplus/{name}", tmp_path, 12)
    answers = answers_of(list(benchmark.tasks.values()))
    ours = verdicts(checker_of(benchmark), benchmark, answers)
    samples, override = save(answers, tmp_path / "samples.jsonl"), tmp_path / f"{name}.jsonl"
    run(PYTHON, EVALPLUS, tmp_path, dataset, samples, HUMANEVAL_OVERRIDE_PATH=override, MBPP_OVERRIDE_PATH=override)
    theirs = {task: Checked(said["base_status"], said["plus_status"]) for task, said in said_of(samples).items()}
    assert ours == theirs


def test_verdicts_are_those_of_evoeval(tmp_path: Path) -> None:
    ours, words = {}, list[str | Path]()
    for part in ("difficult", "creative", "subtle", "combine", "tool_use", "concise"):
        benchmark = chosen(f"evoeval/EvoEval_{part}", tmp_path, 4)
        answers = answers_of(list(benchmark.tasks.values()))
        ours[part] = verdicts(checker_of(benchmark), benchmark, answers)
        words += [f"EvoEval_{part}", save(answers, tmp_path / f"{part}.jsonl")]
    run(PYTHON, EVOEVAL, tmp_path, *words, EVOEVAL_OVERRIDE_PATH=tmp_path)
    for part, found in ours.items():
        said = said_of(tmp_path / f"{part}.jsonl")
        assert found == {
            task: Checked(one["base_status"], one["plus_status"] or one["base_status"]) for task, one in said.items()
        }, part


@pytest.fixture
def released() -> Path:
    if not BIG.exists():
        pytest.skip(f"{BIG} is missing; make bigcodebench installs it")
    found = RELEASED / "bigcodebench" / "BigCodeBench.jsonl.gz"
    if not found.exists():
        pytest.skip(f"{found} is missing")
    return found


@pytest.mark.parametrize(("task", "needs"), [("1038", "bind((SERVER_ADDRESS"), ("1101", "['python', py_script]")])
def test_what_every_machine_has_is_there_for_bigcodebench(released: Path, task: str, needs: str) -> None:
    """The name `localhost`, and a `python` among the programs."""
    benchmark = load_benchmark(released)
    asked = benchmark.tasks[f"BigCodeBench/{task}"]
    assert needs.encode() in asked.line
    assert Checker(benchmark, BIG).check(asked, asked.solution) == Checked("pass", "pass")


def test_verdicts_are_those_of_bigcodebench(released: Path, tmp_path: Path) -> None:
    benchmark = load_benchmark(released)
    answers = answers_of([benchmark.tasks[name] for name in BIG_TASKS])
    ours = verdicts(Checker(benchmark, BIG), benchmark, answers)
    whole = tmp_path / "whole.jsonl"  # which the command wants, whatever it is to check
    whole.write_bytes(gzip.decompress(released.read_bytes()))
    samples = save(answers, tmp_path / "samples.jsonl")
    run(BIG, BIGCODEBENCH, tmp_path, ",".join(answers), samples, BIGCODEBENCH_OVERRIDE_PATH=whole)
    assert {task: one.plus for task, one in ours.items()} == {task: one["status"] for task, one in said_of(samples).items()}
