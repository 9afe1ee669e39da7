"""The kept results of an evaluation: of each benchmark a file with a line for each task.

Always holds: a line that is there is whole, so that an evaluation that was killed goes on behind it; the last line of a task
is its result; a file has results of one model by one way of answering and checking; a finished file has one line for each
task in the benchmark's order, and nothing in it depends on how often it was interrupted.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

import msgspec

from streamer.wording import listed
from training.errors import EvaluationError
from training.evaluation.checking import NOT_CHECKED, PASSED

FORMAT = "answers/1"


class Heading(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. `answers`: whose they are, such as a digest of weights; `digest`: of the benchmark's lines."""

    benchmark: str
    digest: str
    tasks: int
    answers: str
    writer: str
    max_new_tokens: int
    checker: str
    format: str = FORMAT


class Format(msgspec.Struct):
    """What every version says in its first line."""

    format: str


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One task: the answer as the model wrote it, how that ended, and the verdicts. `nats`: of the reference solution."""

    task: str
    end: str
    base: str
    plus: str
    answer: str
    nats: float | None = None
    text_bytes: int = 0

    @property
    def passed(self) -> bool:
        """Whether it counts for the benchmark with the added inputs."""
        return self.base == self.plus == PASSED

    @property
    def is_checked(self) -> bool:
        """Whether it counts at all. One that does not is checked again by the next evaluation."""
        return not self.plus.startswith(NOT_CHECKED)


class Results:
    """A file that is written to, by one process at a time.

    Args: order, the tasks of the benchmark. Raises: EvaluationError when the file has results of something else, or another
    process writes it.
    """

    def __init__(self, path: Path, heading: Heading, order: list[str]) -> None:
        self.path, self._heading, self._order = path, heading, order
        self.lines: dict[str, Line] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise EvaluationError(
                f"results cannot be kept in {path.parent}: {error.strerror}; name a folder with --results"
            ) from error
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        """Takes the file for itself and reads what it has."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EvaluationError(
                f"another evaluation writes to {self.path}; let it end, or name another --results"
            ) from error
        self._file.seek(0)
        data = self._file.read()
        if msgspec.json.encode(self._heading).startswith(data):  # new, or a full disk took a part of it
            self._file.truncate(0)
            self._write(self._heading)
            return
        whole = data[: data.rfind(b"\n") + 1]
        found, self.lines = decode(self.path, whole)
        if found != self._heading:
            names = [name for name in found.__struct_fields__ if getattr(found, name) != getattr(self._heading, name)]
            said = ", ".join(f"{name} {getattr(found, name)} and not {getattr(self._heading, name)}" for name in names)
            same = "give the same --sample as before, or " if names == ["tasks"] else ""
            raise EvaluationError(f"{self.path} has results of {said}; {same}name another folder with --results")
        if strange := self.lines.keys() - set(self._order):
            raise EvaluationError(
                f"{self.path} has results of {listed(sorted(strange))}, but {found.benchmark} has no such tasks; "
                "remove these lines, or name another folder with --results"
            )
        self._file.truncate(len(whole))  # a line that a killed evaluation left unfinished

    def append(self, line: Line) -> None:
        """Keeps a result, which outlives this process. Raises: EvaluationError when it cannot be written."""
        self._write(line)
        self.lines[line.task] = line

    def _write(self, line: Line | Heading) -> None:
        try:
            data = msgspec.json.encode(line) + b"\n"
            while data:  # a disk that becomes full takes a part
                data = data[self._file.write(data) :]
        except OSError as error:
            raise unwritable(self.path, error) from error

    def finish(self) -> list[Line]:
        """Puts the lines into the benchmark's order, one for each task."""
        ordered = [self.lines[task] for task in self._order]
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in (self._heading, *ordered))
        self._file.seek(0)
        if self._file.read() != data:
            aside = self.path.with_name(f".{self.path.name}")
            try:
                with aside.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                aside.replace(self.path)
            except OSError as error:
                aside.unlink(missing_ok=True)
                raise unwritable(self.path, error) from error
        return ordered

    def __enter__(self) -> Results:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


def unwritable(path: Path, error: OSError) -> EvaluationError:
    return EvaluationError(f"{path} cannot be written: {error.strerror}; make room, then type the same command again")


def decode(path: Path, data: bytes) -> tuple[Heading, dict[str, Line]]:
    """The heading and the lines by task. Raises: EvaluationError, which names the line that cannot be read."""
    first, *rest = data.split(b"\n")[:-1] or [b""]
    number = 1
    try:
        named = msgspec.json.decode(first, type=Format).format
        if named != FORMAT:
            raise EvaluationError(f"{path} has format {named}, this version reads {FORMAT}; update phasemix")
        heading, lines = msgspec.json.decode(first, type=Heading), dict[str, Line]()
        for text in rest:
            number += 1
            line = msgspec.json.decode(text, type=Line)
            lines[line.task] = line
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EvaluationError(
            f"{path}:{number} cannot be read as a kept result ({error}); name another folder with --results, or remove the "
            "file if it is of no use to you"
        ) from error
    return heading, lines


def read_folder(folder: Path) -> dict[str, tuple[Heading, dict[str, Line]]]:
    """All that a folder keeps, by benchmark. Raises: EvaluationError when there is nothing, or a file cannot be read."""
    found = {}
    for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else []:
        data = path.read_bytes()
        if (end := data.rfind(b"\n") + 1) > 0:
            heading, lines = decode(path, data[:end])
            found[heading.benchmark] = heading, lines
    if not found:
        raise EvaluationError(f"{folder} has no kept results; name the folder of an evaluation")
    return found
