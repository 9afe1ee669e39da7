"""Compares target and realised samples of each stream, counted from the batches that were trained on.

Always holds: the counts belong to the checkpoint, so a resumed run counts each trained step once.

How: a step only notes its stream indices. They are counted once there are `NOTED` of them, or once a count is asked for,
since counting a step's own takes the longest part of all that is measured of it.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from mixer import Runs

NOTED = 1024  # batches


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
        self._noted: list[npt.NDArray[Any]] = []

    @cached_property
    def _runs(self) -> Runs:
        return Runs(self._root)

    def count(self, streams: npt.NDArray[Any]) -> None:
        """Takes in the stream indices of a trained global batch, an array that stays as it is."""
        self._noted.append(streams)
        if len(self._noted) >= NOTED:
            self._counted()

    def _counted(self) -> list[int]:
        """How many samples of each stream were trained on."""
        if self._noted:
            found = np.bincount(np.concatenate(self._noted), minlength=len(self._counts)).tolist()
            known = self._counts + [0] * (len(found) - len(self._counts))
            self._counts, self._noted = [a + b for a, b in zip(known, found, strict=True)], []
        return self._counts

    def state_dict(self) -> dict[str, Any]:
        return {"counts": list(self._counted())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._counts, self._noted = list(state["counts"]), []

    def table(self, step: int) -> list[StreamShare]:
        """One row a stream, after `step` trained steps. Batches that the run skips are not among them."""
        use = self._runs.use(self._run, self._runs.step_behind(self._run, step))
        counted = self._counted()
        counts = counted + [0] * (len(use) - len(counted))
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
