"""Checks answers to the tasks of a benchmark with its authors' own package, in the sandbox.

Always holds: no answer is run outside of the sandbox, unless a person has typed that they accept that; one sandbox has one
answer, which cannot write what its check says; a check that does not come to its end there, whatever the answer did, is a
failure with the end's name.
"""

import json
import secrets
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from streamer.sandbox.outcome import Limits
from streamer.sandbox.sandbox import Sandbox
from streamer.sandbox.ways import PYTHON_PARTS
from training.errors import EvaluationError
from training.evaluation.bigcodebench_check import LACKS
from training.evaluation.evalplus_check import CANNOT
from training.evaluation.tasks import BIGCODEBENCH, EVOEVAL, Benchmark, Task
from training.evaluation.verdict import WORD_BYTES, WORD_FILE

PASSED, NOT_CHECKED = "pass", "not_checked"
VERDICTS = {PASSED, "fail", "timeout"}  # of the packages
VERDICT_FILE = "training/evaluation/verdict.py"  # which a check program imports
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
    answers where the machine is busy; accept_unsandboxed, check without a sandbox where none can be made, which only a
    person who types it may decide.
    Raises: SandboxError when no sandbox can be made, EvaluationError when Python or package are missing there.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        python: str | Path,
        *,
        least_time_s: float = 4.0,
        limits: Limits | None = None,
        accept_unsandboxed: bool = False,
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
        limits = limits or (BIG_LIMITS if is_big else LIMITS)
        readable = [one / name for one in (environment, base) for name in PYTHON_PARTS if (one / name).exists()]
        self._sandbox = Sandbox(limits, readable=readable, accept_unsandboxed=accept_unsandboxed)
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
        here = files("training.evaluation")
        self._files = {name: here.joinpath(Path(name).name).read_bytes() for name in (program, VERDICT_FILE)}

    def check(self, task: Task, answer: str) -> Checked:
        """Checks the whole code of an answer."""
        word = secrets.token_hex(WORD_BYTES // 2)
        outcome = self._sandbox.run(
            [str(self._python), "-I", next(iter(self._files)), self._dataset, str(self._least_time_s)],
            files={**self._files, "task.jsonl": task.line, "answer.py": answer, WORD_FILE: word},
        )
        problem = outcome.stderr.decode("utf-8", "replace").strip()
        if outcome.exit_code in (CANNOT, LACKS):
            return Checked(*[f"{NOT_CHECKED}: {problem[-200:]}"] * 2)
        try:
            if outcome.succeeded:
                said = json.loads(outcome.stdout.rpartition(b"\n{")[2].join((b"{", b"")))
                if said["word"] == word and VERDICTS.issuperset(found := (said["base"], said["plus"])):
                    return Checked(*found)
        except (ValueError, TypeError, KeyError):  # something was written after it
            pass
        return Checked(str(outcome.end), str(outcome.end))
