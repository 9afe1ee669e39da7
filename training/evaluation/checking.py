"""Checks answers to the tasks of a benchmark with its authors' own package, in the sandbox.

Always holds: no answer is run outside of the sandbox, one sandbox has one answer, and a check that does not come to its end
there, whatever the answer did, is a failure with the end's name.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from streamer.sandbox.outcome import Limits
from streamer.sandbox.sandbox import Sandbox
from training.errors import EvaluationError
from training.evaluation.bigcodebench_check import LACKS
from training.evaluation.evalplus_check import CANNOT
from training.evaluation.tasks import BIGCODEBENCH, EVOEVAL, Benchmark, Task

PASSED, NOT_CHECKED = "pass", "not_checked"
LIMITS = Limits(wall_s=300, cpu_s=300, memory_bytes=4 << 30, processes=32)
BIG_LIMITS = Limits(wall_s=300, cpu_s=300, memory_bytes=6 << 30, processes=256, disk_bytes=512 << 20)
ENVIRONMENTS = {EVOEVAL: ("evalplus", "evoeval"), BIGCODEBENCH: ("bigcodebench",)}
VERSIONS = "import importlib.metadata as m, sys; print(*(f'{name} {m.version(name)}' for name in sys.argv[1:]), sep=', ')"


class Checked(NamedTuple):
    """What the package says of an answer on the inputs of an older benchmark, and on those that were added: pass, fail or
    timeout; the same twice where there is one kind of inputs.

    Where the check did not come to its end, both say how it ended; where it cannot be made here, `not_checked` and why.
    """

    base: str
    plus: str


class Checker:
    """Checks answers by the Python of an environment that has the package. Any number of threads may use it.

    Args: python, that Python; least_time_s, what each input has at least. The 1 s that is evalplus's default fails right
    answers where the machine is busy.
    Raises: SandboxError when no sandbox can be made, EvaluationError when Python or package are missing there.
    """

    def __init__(
        self, benchmark: Benchmark, python: str | Path, *, least_time_s: float = 4.0, limits: Limits | None = None
    ) -> None:
        self._python, self._dataset = Path(python).absolute(), benchmark.part or benchmark.kind
        self._least_time_s, is_big = least_time_s, benchmark.kind == BIGCODEBENCH
        packages = ENVIRONMENTS.get(benchmark.kind, ("evalplus",))
        if not self._python.exists():
            raise EvaluationError(
                f"{benchmark.name} is checked by {' and '.join(packages)}, and {python} is missing; make "
                f"{'bigcodebench' if is_big else 'benchmarks'} installs it, or name the Python of an environment with "
                f"{' and '.join(packages)} with --{packages[0]}"
            )
        environment, base = self._python.parents[1], self._python.resolve().parents[1]
        self._sandbox = Sandbox(limits or (BIG_LIMITS if is_big else LIMITS), readable=[environment, base])
        said = self._sandbox.run([str(self._python), "-I", "-c", VERSIONS, *packages])
        problem = said.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        if "PackageNotFoundError" in problem:
            raise EvaluationError(
                f"{python} lacks {' or '.join(packages)}, which {benchmark.name} is checked by; install it there, or name "
                f"another Python with --{packages[0]}"
            )
        if not said.succeeded:
            raise EvaluationError(
                f"{python} cannot be run in the sandbox ({problem[-200:] or said.end}), which may read its environment "
                f"{environment} and {base} alone; name the Python of an environment with {' and '.join(packages)} with "
                f"--{packages[0]}"
            )
        self.versions = said.stdout.decode("utf-8", "replace").strip()
        program = "bigcodebench_check.py" if is_big else "evalplus_check.py"
        self._program = files("training.evaluation").joinpath(program).read_bytes()

    def check(self, task: Task, answer: str) -> Checked:
        """Checks the whole code of an answer. Raises: EvaluationError when the package itself cannot check the task."""
        outcome = self._sandbox.run(
            [str(self._python), "-I", "check.py", self._dataset, str(self._least_time_s)],
            files={"check.py": self._program, "task.jsonl": task.line, "answer.py": answer},
        )
        said = outcome.stderr.decode("utf-8", "replace").strip()
        if outcome.exit_code == CANNOT:
            raise EvaluationError(f"task {task.id} cannot be checked by {self.versions} of {self._python}: {said}")
        if outcome.exit_code == LACKS:
            return Checked(*[f"{NOT_CHECKED}: {said[-200:]}"] * 2)
        try:
            if outcome.succeeded:
                return Checked(**json.loads(outcome.stdout.rpartition(b"\n{")[2].join((b"{", b""))))
        except (ValueError, TypeError):  # something was written after it
            pass
        return Checked(str(outcome.end), str(outcome.end))
