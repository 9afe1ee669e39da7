"""`steps.jsonl`: one line a step, so that the order and the losses of two runs can be compared.

Always holds: lines 0 to n-1 are steps 0 to n-1, whatever was killed and resumed in between.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import xxhash


class StepLine(msgspec.Struct, frozen=True, kw_only=True):
    """`step`: a trained step, from 0; `batch`: its number in the run, which skipped batches count in (None in old files).

    `origin`: xxh3 of where each row of the global batch came from; `loss` in nats a token.
    """

    step: int
    loss: float
    learning_rate: float
    origin: str
    batch: int | None = None


class StepsLog:
    """The file of a run. Opening it at a step cuts off the lines from this step on."""

    def __init__(self, path: Path, *, start_step: int) -> None:
        kept = [line for line in read_steps(path) if line.step < start_step]
        self.last = kept[-1] if kept else None  # of the steps before
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}")
        aside.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in kept))
        aside.replace(path)
        self._file = path.open("ab")

    def append(self, line: StepLine) -> None:
        """Writes a whole line, which outlives this process."""
        self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_steps(path: Path) -> list[StepLine]:
    """The whole lines of a file; none where there is no file."""
    if not path.exists():
        return []
    return [msgspec.json.decode(line, type=StepLine) for line in path.read_bytes().split(b"\n")[:-1]]


def cut_lines(path: Path, step: int) -> None:
    """Drops what a file of a line for some of the steps, each with its `step`, says of later ones and of half a line."""
    if path.exists():
        lines = path.read_bytes().split(b"\n")[:-1]
        aside = path.with_name(f".{path.name}")
        aside.write_bytes(b"".join(line + b"\n" for line in lines if msgspec.json.decode(line)["step"] <= step))
        aside.replace(path)


def digest_origin(rows: list[bytes]) -> str:
    """xxh3 of the origins of a global batch, the ranks' rows in their order."""
    return xxhash.xxh3_64_hexdigest(b"".join(rows))
