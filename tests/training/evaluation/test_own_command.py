"""The verdicts are those of evalplus's own command on the same answers."""

import gzip
import json
import os
import random
import subprocess
from pathlib import Path

import pytest
from test_checking import PASSES, PYTHON, RELEASED, checker_of

from training.evaluation.tasks import Task, load_benchmark

COMMAND = """
import sys, types

def stand_in(name, **functions):  # for what evalplus needs to show its progress and to ask models
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(functions)

stand_in("termcolor", cprint=lambda text, color: print(text))
stand_in("tqdm", tqdm=lambda found, **_: found)
stand_in("datasets", load_dataset=None)
stand_in("evalplus.codegen", run_codegen=None)
from evalplus.evaluate import evaluate

evaluate(sys.argv[1], samples=sys.argv[2], parallel=2, min_time_limit=4.0)
"""


def answers_of(tasks: list[Task]) -> dict[str, str]:
    """By turns the reference solution, a wrong value, the reference solution with prints, and no Python."""
    found = {}
    for number, task in enumerate(tasks):
        wrong = f"def {task.fields['entry_point']}(*arguments):\n    return None\n"
        loud = f"print('checked')\n{task.solution}\nprint('defined')\n"
        found[task.id] = (task.solution, wrong, loud, f"{task.solution}\n)")[number % 4]
    return found


@pytest.mark.parametrize(("name", "dataset"), [("HumanEvalPlus", "humaneval"), ("MbppPlus", "mbpp")])
def test_verdicts_are_those_of_the_packages_own_command(name: str, dataset: str, tmp_path: Path) -> None:
    released = RELEASED / "evalplus" / f"{name}.jsonl.gz"
    if not released.exists():
        pytest.skip(f"{released} is missing")
    lines = gzip.decompress(released.read_bytes()).splitlines()
    chosen = tmp_path / f"{name}.jsonl"
    chosen.write_bytes(b"".join(line + b"\n" for line in random.Random(20_261_130).sample(lines, 12)))
    benchmark = load_benchmark(chosen)
    answers = answers_of(list(benchmark.tasks.values()))
    checker = checker_of(benchmark)
    ours = {name: checker.check(task, answers[name]) for name, task in benchmark.tasks.items()}
    samples = tmp_path / "samples.jsonl"
    samples.write_text("".join(json.dumps({"task_id": name, "solution": one}) + "\n" for name, one in answers.items()))
    subprocess.run(
        [str(PYTHON), "-I", "-c", COMMAND, dataset, str(samples)],
        check=True,
        timeout=600,
        env={
            **os.environ,
            "HUMANEVAL_OVERRIDE_PATH": str(chosen),
            "MBPP_OVERRIDE_PATH": str(chosen),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        },
    )
    said = json.loads((tmp_path / "samples_eval_results.json").read_text())["eval"]
    theirs = {name: (found[0]["base_status"], found[0]["plus_status"]) for name, found in said.items()}
    assert {name: tuple(one) for name, one in ours.items()} == theirs
    assert 0 < sum(one == PASSES for one in ours.values()) < len(ours)
