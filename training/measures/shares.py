"""Compares target and realised samples of each stream, counted from the batches that were trained on.

Always holds: the counts belong to the checkpoint, so a resumed run counts each trained step once.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from mixer import Runs


class StreamShare(msgspec.Struct, frozen=True, kw_only=True):
    """One stream's part of the trained steps. Shares sum to 1; a pass is one round over the stream's samples."""

    stream: str
    target_samples: float
    trained_samples: int
    target_share: float
    realised_share: float
    passes: float


class Shares:
    """Counts the samples of each stream. `write` appends one line with all of them."""

    def __init__(self, root: str, run: str, path: Path) -> None:
        self._root, self._run, self._path = root, run, path
        self._counts: list[int] = []

    @cached_property
    def _runs(self) -> Runs:
        return Runs(self._root)

    def count(self, streams: npt.NDArray[Any]) -> None:
        """Takes in the stream indices of a trained global batch."""
        found = np.bincount(streams, minlength=len(self._counts)).tolist()
        known = self._counts + [0] * (len(found) - len(self._counts))
        self._counts = [a + b for a, b in zip(known, found, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        return {"counts": list(self._counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._counts = list(state["counts"])

    def table(self, step: int) -> list[StreamShare]:
        """One row a stream, after `step` trained steps. Batches that the run skips are not among them."""
        use = self._runs.use(self._run, self._runs.step_behind(self._run, step))
        counts = self._counts + [0] * (len(use) - len(self._counts))
        target, trained = sum(row.target_samples for row in use) or 1.0, sum(counts) or 1
        return [
            StreamShare(
                stream=row.stream,
                target_samples=row.target_samples,
                trained_samples=count,
                target_share=row.target_samples / target,
                realised_share=count / trained,
                passes=row.passes,
            )
            for row, count in zip(use, counts, strict=True)
        ]

    def write(self, step: int) -> None:
        """Appends the table to the file."""
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode({"step": step, "streams": self.table(step)}) + b"\n")
