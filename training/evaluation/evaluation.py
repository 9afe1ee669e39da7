"""Has a benchmark's tasks answered and checked, several at once, and keeps each result.

Always holds: a task that was answered is not answered again, and one that was checked is not checked again. However an
evaluation ends, short of a kill, what was answered is kept, and the next call checks what was not checked.

How: threads that ask the model hand their answers to threads that check them. An interruption waits for none of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import msgspec

from streamer import background
from training.errors import EvaluationError
from training.evaluation.answering import ENDED, TOO_LONG, Writer, Written, stops_of
from training.evaluation.checking import NOT_CHECKED, Checked, Checker
from training.evaluation.results import Line, Results
from training.evaluation.tasks import Benchmark, Task

Say = Callable[[str, int, int], None]  # step, done, total
INTERRUPTED = f"{NOT_CHECKED}: interrupted"


def evaluate(
    benchmark: Benchmark,
    results: Results,
    checker: Checker,
    writer: Writer | None,
    *,
    reference: bool = False,
    max_new_tokens: int,
    say: Say,
) -> list[Line]:
    """The results of all tasks, in the benchmark's order.

    Args: writer, what answers, where answers are not kept already; without it they are empty; reference, whether the
    solutions are checked in place of answers.
    Raises: EvaluationError; what was answered until then is kept.
    """
    to_answer, to_check, done = SimpleQueue[Any](), SimpleQueue[Any](), SimpleQueue[Any]()
    answered: dict[str, Line] = {}  # but not kept yet

    def answer(task: Task) -> None:
        assert writer is not None
        written = writer.write(task.prompt, stops_of(task), max_new_tokens)
        scored = writer.score(task.prompt, task.continuation)
        line = line_of(task, written)
        if scored is not None:
            line = msgspec.structs.replace(line, nats=scored.nats, text_bytes=scored.text_bytes)
        answered[task.id] = line
        to_check.put(line)

    def check(line: Line) -> None:
        task = benchmark.tasks[line.task]
        code = task.solution if reference else task.prompt + line.answer
        checked = Checked("fail", "fail") if line.end == TOO_LONG else checker.check(task, code)
        done.put(msgspec.structs.replace(line, base=checked.base, plus=checked.plus))

    def keep(line: Line) -> None:
        if line != results.lines.get(line.task):
            results.append(line)
        answered.pop(line.task, None)

    for task in benchmark.tasks.values():
        line = results.lines.get(task.id)
        if line is None and writer is not None:
            to_answer.put(task)
        elif line is None or not line.is_checked:
            to_check.put(line or line_of(task, Written("", ENDED)))
    answering, total = to_answer.qsize(), len(benchmark.tasks)
    left = answering + to_check.qsize()
    try:
        with (
            working(answer, to_answer, done, min(answering, writer.concurrency if writer else 0)),
            working(check, to_check, done, min(left, len(os.sched_getaffinity(0)))),
        ):
            say(benchmark.name, total - left, total)
            for number in range(total - left + 1, total + 1):
                found = done.get()
                if isinstance(found, Exception):
                    raise found
                keep(found)
                say(benchmark.name, number, total)
    finally:
        while not done.empty():
            if isinstance(found := done.get(), Line):
                keep(found)
        for line in list(answered.values()):
            keep(line)
    return results.finish()


def line_of(task: Task, written: Written) -> Line:
    """The result of a task whose answer was not checked yet."""
    return Line(task=task.id, end=written.end, base=INTERRUPTED, plus=INTERRUPTED, answer=written.text)


@contextlib.contextmanager
def working(step: Callable[[Any], None], given: SimpleQueue[Any], failed: SimpleQueue[Any], count: int) -> Iterator[None]:
    """Has threads do a step with all that is given, until this ends. The error of a step is handed on.

    Raises: EvaluationError when the system gives too few threads.
    """
    closing = threading.Event()

    def work() -> None:
        while (one := given.get()) is not None and not closing.is_set():
            try:
                step(one)
            except background.Stopped:
                raise
            except Exception as error:
                failed.put(error)

    try:
        for number in range(count):
            if background.start(work, name="phasemix-evaluation") is None:
                raise EvaluationError(f"this machine gives {number} of {count} threads; lower --concurrency")
        yield
    finally:
        closing.set()
        for _ in range(count):
            given.put(None)


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
