"""The structures of solutions, as runs of words without names, and how much of one a file has in one place.

Always holds: a score is the share of a structure's weight that stands within a stretch of a file that is little longer than
the structure; a structure that stands in a file as a whole has the score 1.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamer.likeness.code_views import BETWEEN, Hashes, window_hashes
from streamer.likeness.slots import Places, Slots

RUN = 16
LEAST_KINDS = 6  # different words of a run; runs of fewer are tables and lists, which tell nothing
STRETCH = 1.3  # how much longer a copy may be than the structure, for what it has put in between
Weights = npt.NDArray[np.float64]


class Structures(NamedTuple):
    """The runs of all structures, ordered by their hashes.

    Attributes:
        runs: (rows,) Hashes of runs, each once for each structure that has it.
        owners: (rows,) The structure that a run is of.
        lengths: (structures,) How many words a structure has.
        tasks: (structures,) The task that a structure is of.
    """

    runs: Hashes
    owners: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int32]
    tasks: npt.NDArray[np.int32]


class Shared(NamedTuple):
    """How much of a structure a file has, by its place among the files: its share, and how many words that is."""

    file: int
    structure: int
    score: float
    words: float


def index_structures(codes: Sequence[bytes], tasks: Sequence[int]) -> Structures:
    """The index of structures, each of a task."""
    runs = [np.unique(telling_runs(own)) for own in codes]
    owners = np.repeat(np.arange(len(runs), dtype=np.int32), [len(own) for own in runs])
    all_runs = np.concatenate([*runs, np.zeros(0, np.uint64)])
    order = np.argsort(all_runs, kind="stable")
    return Structures(
        runs=all_runs[order],
        owners=owners[order],
        lengths=np.array([len(own) for own in codes], np.int32),
        tasks=np.array(tasks, np.int32),
    )


def telling_words(codes: bytes) -> int:
    """How many words a structure has, by its different runs that tell something; 0 for one without any."""
    count = len(np.unique(telling_runs(codes)))
    return count + RUN - 1 if count else 0


def telling_runs(codes: bytes) -> Hashes:
    """The hashes of the runs that have enough different words."""
    if len(codes) < RUN:
        return np.zeros(0, np.uint64)
    words = np.sort(np.lib.stride_tricks.sliding_window_view(np.frombuffer(codes, np.uint8), RUN), axis=1)
    kinds = 1 + (words[:, 1:] != words[:, :-1]).sum(axis=1)
    hashes: Hashes = window_hashes(codes, RUN)[kinds >= LEAST_KINDS]
    return hashes


class StructureFinder:
    """Finds structures in files. A run weighs by how few structures have it."""

    def __init__(self, structures: Structures) -> None:
        self._structures, self._slots = structures, Slots(structures.runs)
        count = len(structures.lengths)
        _, inverse, owners = np.unique(structures.runs, return_inverse=True, return_counts=True)
        self._weights: Weights = np.log(1 + count / owners)[inverse]
        self._totals = np.bincount(structures.owners, self._weights, count)
        self._words = np.bincount(structures.owners, minlength=count) + RUN - 1

    def find_all(self, codes: Sequence[bytes], *, min_overlap: float) -> Iterator[Shared]:
        """The structures of which files, given by their own structures, have at least that share."""
        places, first, after = self._slots.places(window_hashes(BETWEEN.join(codes), RUN))
        starts = np.cumsum([0, *(len(code) + 1 for code in codes)])
        bounds = np.searchsorted(places, starts)
        for file in np.flatnonzero(np.diff(bounds)).tolist():
            own = slice(bounds[file], bounds[file + 1])
            for structure, score in self._scores(places[own], first[own], after[own], min_overlap):
                yield Shared(file, structure, round(min(1.0, score), 4), score * self._words[structure])

    def _scores(self, places: Places, first: Places, after: Places, min_overlap: float) -> Iterator[tuple[int, float]]:
        """(structure, score) of one file, from where it has runs that are known, and the rows of these."""
        counts = after - first
        rows = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        at, owners, weights = np.repeat(places, counts), self._structures.owners[rows], self._weights[rows]
        sums = np.bincount(owners, weights, len(self._totals))
        for structure in np.flatnonzero((sums > 0) & (sums >= min_overlap * self._totals)).tolist():
            own = owners == structure
            stretch = STRETCH * self._structures.lengths[structure] + RUN
            score = densest(at[own], rows[own], weights[own], stretch) / float(self._totals[structure])
            if score >= min_overlap:
                yield structure, score


def densest(at: Places, rows: Places, weights: Weights, stretch: float) -> float:
    """The greatest weight of different runs within a stretch of words; `at` ascends."""
    start = np.searchsorted(at, at - stretch)
    sums = np.concatenate([[0.0], np.cumsum(weights)])
    end = int(np.argmax(sums[1:] - sums[start]))
    inside = slice(int(start[end]), end + 1)
    _, first = np.unique(rows[inside], return_index=True)
    return float(weights[inside][first].sum())
