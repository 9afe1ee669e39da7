"""The structures of solutions, as runs of words without names, and how much of one a file has in one place.

Always holds: a score is the share of a structure's weight that stands within a stretch of a file that is little longer than
the structure; a structure that stands in a file as a whole has 1.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamer.likeness.code_views import Codes, Hashes, window_hashes
from streamer.likeness.slots import Places, Slots

RUN = 20
LEAST_KINDS = 6  # different words of a run; runs of fewer are tables and lists, which mean nothing
STRETCH = 1.3  # how long what is found may be, for what a copy has put in between


class Structures(NamedTuple):
    """`runs`: (postings,) the hashes of runs, sorted; `owners`: which structure each is of; `weights`: what each weighs.

    Of each structure: `totals`: what all its runs weigh; `words`: how long it is; `tasks`: of which task it is.
    """

    runs: Hashes
    owners: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    totals: npt.NDArray[np.float64]
    words: npt.NDArray[np.int32]
    tasks: npt.NDArray[np.int32]


def index_structures(codes: Sequence[Codes], tasks: Sequence[int]) -> Structures:
    """The structures of solutions, each with its task. A run weighs by how few structures have it."""
    runs = [np.unique(telling_runs(own)) for own in codes]
    owners = np.repeat(np.arange(len(runs), dtype=np.int32), [len(own) for own in runs])
    all_runs = np.concatenate([*runs, np.zeros(0, np.uint64)])
    _, inverse, counts = np.unique(all_runs, return_inverse=True, return_counts=True)
    weights = np.log(1 + len(runs) / counts)[inverse].astype(np.float32)
    order = np.argsort(all_runs, kind="stable")
    return Structures(
        runs=all_runs[order],
        owners=owners[order],
        weights=weights[order],
        totals=np.bincount(owners, weights, len(runs)),
        words=np.array([len(own) for own in codes], np.int32),
        tasks=np.array(tasks, np.int32),
    )


def telling_runs(codes: Codes) -> Hashes:
    """The hashes of the runs that have enough different words."""
    if len(codes) < RUN:
        return np.zeros(0, np.uint64)
    words = np.sort(np.lib.stride_tricks.sliding_window_view(codes, RUN), axis=1)
    kinds = 1 + (words[:, 1:] != words[:, :-1]).sum(axis=1)
    hashes: Hashes = window_hashes(codes.tobytes(), RUN)[kinds >= LEAST_KINDS]
    return hashes


class StructureFinder:
    """Finds structures in files."""

    def __init__(self, structures: Structures) -> None:
        self._structures, self._slots = structures, Slots(structures.runs)

    def find(self, codes: Codes, min_overlap: float) -> Iterator[tuple[int, float]]:
        """(structure, score) of the structures of which a file has at least a share."""
        found = self._structures
        places, first, after = self._slots.places(window_hashes(codes.tobytes(), RUN))
        if not len(places):
            return
        counts = after - first
        rows = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        at, owners, weights = np.repeat(places, counts), found.owners[rows], found.weights[rows]
        sums = np.bincount(owners, weights, len(found.totals))
        for structure in np.flatnonzero(sums >= min_overlap * found.totals).tolist():
            if not found.totals[structure]:
                continue
            own = owners == structure
            weight = densest(at[own], rows[own], weights[own], STRETCH * found.words[structure] + RUN)
            score = weight / found.totals[structure]
            if score >= min_overlap:
                yield structure, round(float(score), 4)


def densest(at: Places, rows: Places, weights: npt.NDArray[np.float32], stretch: float) -> float:
    """The greatest weight of different runs within a stretch of words; places ascend."""
    start = np.searchsorted(at, at - stretch)
    sums = np.concatenate([[0.0], np.cumsum(weights, dtype=np.float64)])
    end = int(np.argmax(sums[1:] - sums[start]))
    inside = slice(int(start[end]), end + 1)
    _, first = np.unique(rows[inside], return_index=True)
    return float(weights[inside][first].sum())
