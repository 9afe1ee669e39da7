"""Checks answers to the tasks of HumanEval+ and MBPP+ with evalplus, in the sandbox.

Always holds: no answer is run outside of the sandbox, one sandbox has one answer, and a check that does not come to its end
there, whatever the answer did, is a failure with the end's name.
"""

import gzip
import json
import zlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from streamer.sandbox.outcome import Limits
from streamer.sandbox.sandbox import Sandbox
from training.errors import EvaluationError
from training.evaluation.evalplus_check import CANNOT

FIELDS = ("task_id", "prompt", "entry_point", "canonical_solution", "base_input", "plus_input", "atol")
DATASETS = {"HumanEval/": "humaneval", "Mbpp/": "mbpp"}
PASSED = "pass"
LIMITS = Limits(wall_s=300, cpu_s=300, memory_bytes=4 << 30, processes=32)


class Task(NamedTuple):
    """One task: the line of its file, and what of it a prompt or a check needs."""

    line: bytes
    fields: Mapping[str, Any]

    @property
    def solution(self) -> str:
        """The whole code of the reference solution."""
        return str(self.fields["prompt"] + self.fields["canonical_solution"])


class Checked(NamedTuple):
    """What evalplus says of an answer on the inputs of the benchmark, and on those that it added: pass, fail or timeout.

    Where the check did not come to its end, both say how it ended.
    """

    base: str
    plus: str

    @property
    def passed(self) -> bool:
        """Whether an answer counts for the benchmark with the added inputs."""
        return self.base == self.plus == PASSED


def load_tasks(path: str | Path) -> dict[str, Task]:
    """The tasks of a released file, JSON lines, gzip'ed or not, by their ids. Raises: EvaluationError."""
    try:
        data = Path(path).read_bytes()
        lines = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).splitlines()
    except (OSError, EOFError, zlib.error) as error:
        raise EvaluationError(
            f"tasks {path} cannot be read ({error}); name the released JSON lines of a benchmark"
        ) from error
    found: dict[str, Task] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise EvaluationError(f"{path}:{number} must be a JSON object ({error}); fetch the file again") from error
        if not isinstance(fields, dict):
            raise EvaluationError(f"{path}:{number} must be a JSON object; fetch the file again")
        if missing := [name for name in FIELDS if name not in fields]:
            raise EvaluationError(f"{path}:{number} lacks {', '.join(missing)}; fetch the file of a release that has it")
        if not str(fields["task_id"]).startswith(tuple(DATASETS)):
            raise EvaluationError(f"{path}:{number}: task {fields['task_id']!r} must begin with {' or '.join(DATASETS)}")
        found[fields["task_id"]] = Task(line, fields)
    return found


class EvalPlus:
    """Checks answers by the Python of an environment that has evalplus. Any number of threads may use it.

    Args: python, that Python; least_time_s, what each input has at least. The 1 s that is evalplus's default fails right
    answers where the machine is busy.
    Raises: SandboxError when no sandbox can be made, EvaluationError when there is no such Python.
    """

    def __init__(self, python: str | Path, *, least_time_s: float = 4.0, limits: Limits = LIMITS) -> None:
        self._python, self._least_time_s = Path(python).absolute(), least_time_s
        if not self._python.exists():
            raise EvaluationError(f"{python} is missing; name the Python of an environment with evalplus")
        environment, base = self._python.parents[1], self._python.resolve().parents[1]
        self._sandbox = Sandbox(limits, readable=[environment, base])
        self._program = files("training.evaluation").joinpath("evalplus_check.py").read_bytes()

    def check(self, task: Task, answer: str) -> Checked:
        """Checks the whole code of an answer. Raises: EvaluationError when evalplus itself cannot check the task."""
        dataset = next(name for start, name in DATASETS.items() if task.fields["task_id"].startswith(start))
        outcome = self._sandbox.run(
            [str(self._python), "-I", "check.py", dataset, str(self._least_time_s)],
            files={"check.py": self._program, "task.jsonl": task.line, "answer.py": answer},
        )
        if outcome.exit_code == CANNOT:
            said = outcome.stderr.decode("utf-8", "replace").strip()
            raise EvaluationError(f"task {task.fields['task_id']} cannot be checked by evalplus of {self._python}: {said}")
        try:
            if outcome.succeeded:
                return Checked(**json.loads(outcome.stdout.rpartition(b"\n{")[2].join((b"{", b""))))
        except (ValueError, TypeError):  # something was written after it
            pass
        return Checked(str(outcome.end), str(outcome.end))
