"""The tasks of HumanEval+, MBPP+, EvoEval and BigCodeBench, as their authors released them.

Always holds: all tasks of a file are of one benchmark and have every field that a prompt or a check reads. A file of
EvoEval is known by its name, because its tasks are numbered alike in all parts.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from streamer.wording import listed
from training.errors import EvaluationError

HUMANEVAL, MBPP, EVOEVAL, BIGCODEBENCH = "humaneval", "mbpp", "evoeval", "bigcodebench"
BY_ID = {"HumanEval/": HUMANEVAL, "Mbpp/": MBPP, "BigCodeBench/": BIGCODEBENCH}
EVOEVAL_IDS = {"verbose": "HumanEval/", "concise": "HumanEval/"} | dict.fromkeys(
    ("difficult", "creative", "subtle", "combine", "tool_use"), "EvoEval/"
)
TEXTS = ("task_id", "prompt", "entry_point", "canonical_solution")
PLUS = (*TEXTS, "base_input", "plus_input", "atol")
BIG = ("task_id", "complete_prompt", "code_prompt", "entry_point", "canonical_solution", "test", "libs")


class Task(NamedTuple):
    """One task: the line of its file, and what of it a prompt or a check needs."""

    kind: str
    line: bytes
    fields: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.fields["task_id"])

    @property
    def prompt(self) -> str:
        """What a base model continues."""
        return str(self.fields["complete_prompt" if self.kind == BIGCODEBENCH else "prompt"]).strip() + "\n"

    @property
    def continuation(self) -> str:
        """How the reference solution continues the prompt."""
        return str(self.fields["canonical_solution"])

    @property
    def solution(self) -> str:
        """The whole code of the reference solution."""
        return f"{self.prompt}{'' if self.kind in (HUMANEVAL, MBPP) else chr(10)}{self.continuation}"


class Benchmark(NamedTuple):
    """A released file. `digest`: the SHA-256 of its lines, gzip'ed or not; `part`: of EvoEval, such as difficult."""

    name: str
    kind: str
    part: str
    digest: str
    tasks: dict[str, Task]

    @property
    def has_base(self) -> bool:
        """Whether its answers are checked on the inputs of an older benchmark first."""
        return "base_input" in next(iter(self.tasks.values())).fields


def load_benchmark(path: str | Path) -> Benchmark:
    """The tasks of a released file, JSON lines, gzip'ed or not. Raises: EvaluationError, which names the line."""
    try:
        data = Path(path).read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise EvaluationError(
            f"tasks {path} cannot be read ({error}); name the released JSON lines of a benchmark"
        ) from error
    name = Path(path).name.removesuffix(".gz").removesuffix(".jsonl")
    part = name.removeprefix("EvoEval_") if name.startswith("EvoEval_") else ""
    if part and part not in EVOEVAL_IDS:
        raise EvaluationError(f"{path}: EvoEval has no part {part!r}; its parts are {', '.join(EVOEVAL_IDS)}")
    start, tasks = EVOEVAL_IDS.get(part, ""), dict[str, Task]()
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise EvaluationError(f"{path}:{number} must be a JSON object ({error}); fetch the file again") from error
        if not isinstance(fields, dict):
            raise EvaluationError(f"{path}:{number} must be a JSON object; fetch the file again")
        start = start or next((one for one in BY_ID if str(fields.get("task_id")).startswith(one)), "")
        if not start or not str(fields.get("task_id")).startswith(start):
            raise EvaluationError(
                f"{path}:{number}: task {fields.get('task_id')!r} must begin with {start or ' or '.join(BY_ID)}; files of "
                f"EvoEval keep their names, such as EvoEval_subtle.jsonl.gz"
            )
        kind = EVOEVAL if part else BY_ID[start]
        needed = BIG if kind == BIGCODEBENCH else (*TEXTS, "inputs") if start == "EvoEval/" else PLUS
        if missing := [field for field in needed if field not in fields]:
            raise EvaluationError(f"{path}:{number} lacks {', '.join(missing)}; fetch the file of a release that has it")
        if wrong := [field for field in (*TEXTS, *BIG) if not isinstance(fields.get(field, ""), str)]:
            raise EvaluationError(f"{path}:{number}: {', '.join(wrong)} must be text; fetch the file again")
        if fields["task_id"] in tasks:
            raise EvaluationError(f"{path}:{number}: task {fields['task_id']} is there twice; fetch the file again")
        tasks[fields["task_id"]] = Task(kind, line, fields)
    if not tasks:
        raise EvaluationError(f"{path} has no tasks; name the released JSON lines of a benchmark")
    return Benchmark(name, next(iter(tasks.values())).kind, part, hashlib.sha256(data).hexdigest(), tasks)


def load_benchmarks(paths: list[Path]) -> list[Benchmark]:
    """Several files, in their order. Raises: EvaluationError, also when two have one name."""
    found = [load_benchmark(path) for path in paths]
    names = [one.name for one in found]
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        raise EvaluationError(f"several files are named {listed(doubles)}; name each benchmark once")
    return found
