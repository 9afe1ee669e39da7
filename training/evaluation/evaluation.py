"""Has a benchmark's tasks answered and checked, several at once, and keeps each result.

Always holds: a task whose result is kept is neither answered nor checked again.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from training.errors import EvaluationError
from training.evaluation.answering import ENDED, TOO_LONG, Scored, Writer, Written, stops_of
from training.evaluation.checking import Checked, Checker
from training.evaluation.results import Line, Results
from training.evaluation.tasks import Benchmark, Task

Say = Callable[[str, int, int], None]  # step, done, total


class ReferenceWriter:
    """The reference solutions in place of a model's answers: what a perfect model would get."""

    name, concurrency = "reference solutions", 1024


class EmptyWriter:
    """Prompts alone: what a model that writes nothing would get."""

    name, concurrency = "empty answers", 1024


def evaluate(
    benchmark: Benchmark,
    results: Results,
    checker: Checker,
    writer: Writer | ReferenceWriter | EmptyWriter,
    *,
    max_new_tokens: int,
    say: Say,
) -> list[Line]:
    """The results of all tasks, in the benchmark's order. Raises: EvaluationError; what is done until then is kept."""
    checks = len(os.sched_getaffinity(0))
    writing, checking = threading.Semaphore(writer.concurrency), threading.Semaphore(checks)

    def answer(task: Task) -> Line:
        scored: Scored | None = None
        if isinstance(writer, ReferenceWriter | EmptyWriter):
            code = task.solution if isinstance(writer, ReferenceWriter) else task.prompt
            written = Written("", ENDED)
        else:
            with writing:
                written = writer.write(task.prompt, stops_of(task), max_new_tokens)
                scored = writer.score(task.prompt, task.continuation)
            code = task.prompt + written.text
        with checking:
            checked = Checked("fail", "fail") if written.end == TOO_LONG else checker.check(task, code)
        return Line(
            task=task.id,
            end=written.end,
            base=checked.base,
            plus=checked.plus,
            answer=written.text,
            nats=scored and scored.nats,
            text_bytes=scored.text_bytes if scored else 0,
        )

    remaining = [task for task in benchmark.tasks.values() if task.id not in results.lines]
    done, total = len(results.lines), len(benchmark.tasks)
    pool = ThreadPoolExecutor(min(writer.concurrency, 64) + checks)
    try:
        say(benchmark.name, done, total)
        for future in as_completed([pool.submit(answer, task) for task in remaining]):
            results.append(future.result())
            done += 1
            say(benchmark.name, done, total)
    finally:
        pool.shutdown(cancel_futures=True)
    return results.finish()


def digest_of(folder: Path) -> str:
    """The SHA-256 of a model's files, by their names. Raises: EvaluationError when there is no such folder."""
    paths = sorted(path for path in folder.glob("*") if path.suffix in (".json", ".safetensors") and path.is_file())
    if not any(path.suffix == ".safetensors" for path in paths):
        raise EvaluationError(f"{folder} has no safetensors; name a folder that phasemix export has written")
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            total.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()
