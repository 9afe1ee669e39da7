"""Duplicates among all files of a language at once, with the signatures on disk.

Always holds: files are judged in the order in which they are given, best first; each is dropped for an earlier one that is
kept, or that was itself dropped later for one that is; the same files in the same order give the same answer.

How: one pass over the signatures writes the band keys to disk, a column a band. Each column is sorted by itself; files with
equal keys are candidates, and only their signatures are read again. Of more than `MOST_PAIRED` files with one key the first
ones alone are compared with the rest, and what is kept then is looked at once more. In memory are some 50 bytes a file, and
8 bytes for each pair that was compared.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamer.likeness.near_duplicates import ROWS_IN_BAND, STRUCTURE_VALUES, Duplicates, Signatures, are_near, band_keys

MOST_PAIRED = 32
BLOCK_ROWS = 4096
Places = npt.NDArray[np.int64]


class SignatureFiles:
    """The rows of several files of signatures, as if they were one array."""

    def __init__(self, paths: Sequence[Path], rule: Duplicates) -> None:
        self.width = rule.permutations + STRUCTURE_VALUES
        self._paths = [path for path in paths if path.stat().st_size]
        sizes = [path.stat().st_size // (4 * self.width) for path in self._paths]
        self._ends = np.cumsum([0, *sizes])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def rows(self, places: Places) -> Signatures:
        """(places, width) the rows at some places. What is mapped for it is let go at once."""
        found = np.empty((len(places), self.width), np.uint32)
        files = np.searchsorted(self._ends, places, side="right") - 1
        for number in np.unique(files):
            here = files == number
            mapped = np.memmap(self._paths[number], np.uint32, "r").reshape(-1, self.width)
            found[here] = mapped[places[here] - self._ends[number]]
        return found


def find_duplicates(
    digests: Sequence[bytes], signatures: SignatureFiles, order: Places, language: str, rule: Duplicates, folder: Path
) -> tuple[Places, Places]:
    """(files,) for which file each one is dropped, -1 for none: among equal texts, and among near-duplicates.

    Args: digests, of each file's text; order, the places of the files, best first; folder, an existing one for band keys.
    """
    exact = np.full(len(digests), -1, np.int64)
    first: dict[bytes, int] = {}
    for place in order.tolist():
        kept = first.setdefault(digests[place], place)
        if kept != place:
            exact[place] = kept
    near = np.full(len(digests), -1, np.int64)
    left = order[exact[order] < 0]
    del first
    again = True
    while again:
        dropped_for, again = one_round(signatures, left, language, rule, folder)
        hit = dropped_for >= 0
        near[left[hit]] = left[dropped_for[hit]]
        left, again = left[~hit], again and bool(hit.any())
    return exact, near


def one_round(
    signatures: SignatureFiles, order: Places, language: str, rule: Duplicates, folder: Path
) -> tuple[Places, bool]:
    """(order,) the position for which each one is dropped or -1, and whether some pairs were left out."""
    keys = folder / "bands"
    bands = rule.permutations // ROWS_IN_BAND
    count = len(order)
    with keys.open("wb") as file:
        for begin in range(0, count, BLOCK_ROWS):
            block = band_keys(signatures.rows(order[begin : begin + BLOCK_ROWS]), language, rule)
            for band in range(bands):
                file.seek(8 * (band * count + begin))
                file.write(np.ascontiguousarray(block[:, band]).tobytes())
    seen, edges, was_cut = np.zeros(0, np.uint64), [], False
    for band in range(bands):
        found, cut = pairs_of(np.fromfile(keys, np.uint64, count, offset=8 * band * count))
        new = np.setdiff1d(found, seen)
        seen, was_cut = np.union1d(seen, new), was_cut or cut
        edges.append(new[near_pairs(new, signatures, order, rule)])
    keys.unlink()
    return choose(np.sort(np.concatenate(edges)) if edges else seen, count), was_cut


def pairs_of(keys: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint64], bool]:
    """Pairs (later << 32 | earlier) of places with equal keys, sorted; and whether some were left out."""
    sort = np.argsort(keys, kind="stable")
    ordered = keys[sort]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(keys) else np.zeros(0, np.int64)
    sizes = np.diff(np.append(begins, len(keys)))
    run = np.repeat(np.arange(len(begins)), sizes)
    inside = np.arange(len(keys)) - begins[run]
    found = []
    longest = int(sizes.max(initial=1))
    for leader in range(min(longest - 1, MOST_PAIRED)):
        later = np.flatnonzero(inside > leader)
        earlier = sort[begins[run[later]] + leader]
        found.append(sort[later].astype(np.uint64) << np.uint64(32) | earlier.astype(np.uint64))
    return np.unique(np.concatenate(found)) if found else np.zeros(0, np.uint64), longest - 1 > MOST_PAIRED


def near_pairs(
    pairs: npt.NDArray[np.uint64], signatures: SignatureFiles, order: Places, rule: Duplicates
) -> npt.NDArray[np.bool_]:
    """(pairs,) which of them are near-duplicates by their signatures."""
    found = np.zeros(len(pairs), np.bool_)
    for begin in range(0, len(pairs), BLOCK_ROWS):
        block = pairs[begin : begin + BLOCK_ROWS]
        later, earlier = (
            order[(block >> np.uint64(32)).astype(np.int64)],
            order[(block & np.uint64(0xFFFFFFFF)).astype(np.int64)],
        )
        found[begin : begin + BLOCK_ROWS] = are_near(signatures.rows(later), signatures.rows(earlier), rule)
    return found


def choose(edges: npt.NDArray[np.uint64], count: int) -> Places:
    """(count,) for which position each one is dropped, -1 for none: in order, each for its first neighbour that is kept."""
    dropped_for = np.full(count, -1, np.int64)
    for edge in edges.tolist():
        later, earlier = edge >> 32, edge & 0xFFFFFFFF
        if dropped_for[later] < 0 and dropped_for[earlier] < 0:
            dropped_for[later] = earlier
    return dropped_for
