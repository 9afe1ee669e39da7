"""Where documents begin in samples, from the parts' sidecars.

Always holds: a row of boundaries begins with 0, never falls, and ends with `seq_len`; what pads a sample counts as one more
document.
"""

import numpy as np
import numpy.typing as npt

from streamer.manifest import PartInfo
from streamer.parts import read_sidecar
from streamer.store import Store

Ints = npt.NDArray[np.int64]


class Boundaries:
    """The boundaries of a store's samples; each sidecar is read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._found: dict[str, tuple[Ints, Ints]] = {}

    def lengths(self, parts: list[PartInfo], which: Ints, rows: Ints, seq_len: int) -> npt.NDArray[np.int32]:
        """Cumulative lengths (n, width) of the documents in row `rows[n]` of `parts[which[n]]`, filled up with `seq_len`.

        Raises: PartError for a part without a sidecar.
        """
        tables = [self._table(part) for part in parts]
        counts = np.zeros(len(rows), np.int64)
        for place, (first, _) in enumerate(tables):
            here = which == place
            counts[here] = first[rows[here] + 1] - first[rows[here]]
        out = np.full((len(rows), 2 + int(counts.max(initial=0))), seq_len, np.int32)
        out[:, 0] = 0
        for place, (first, ends) in enumerate(tables):
            here = np.flatnonzero(which == place)
            line = np.repeat(here, counts[here])
            column = np.arange(len(line)) - np.repeat(np.cumsum(counts[here]) - counts[here], counts[here])
            out[line, 1 + column] = ends[np.repeat(first[rows[here]], counts[here]) + column]
        return out

    def _table(self, part: PartInfo) -> tuple[Ints, Ints]:
        """(samples + 1,) where the ends of each sample's documents begin, and the ends."""
        if part.folder not in self._found:
            table = read_sidecar(self._store, part)
            sample, end = (table[name].to_numpy().astype(np.int64) for name in ("sample", "end"))
            order = np.lexsort((end, sample))
            first = np.searchsorted(sample[order], np.arange(part.samples + 1))
            self._found[part.folder] = first, end[order]
        return self._found[part.folder]
