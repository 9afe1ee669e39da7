"""Where documents begin in samples, from the parts' sidecars.

Always holds: a row of boundaries begins with 0, never falls, and ends with `seq_len`; what pads a sample counts as one more
document; a sample of a part without a sidecar counts as one document.
"""

from collections import OrderedDict

import numpy as np
import numpy.typing as npt

from streamer.catalog.manifest import PartInfo
from streamer.catalog.sidecar import read_rows
from streamer.store.store import Store

Ints = npt.NDArray[np.int64]
Table = tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]
KEPT_BYTES = 256 << 20


class Boundaries:
    """The boundaries of a store's samples; the sidecars asked for last are kept, two columns of them, up to KEPT_BYTES."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[str, Table] = OrderedDict()

    def lengths(self, parts: list[PartInfo], which: Ints, rows: Ints, seq_len: int) -> npt.NDArray[np.int32]:
        """Cumulative lengths (n, width) of the documents in row `rows[n]` of `parts[which[n]]`, filled up with `seq_len`.

        Raises: PartError for a sidecar that is gone or cannot be read.
        """
        tables = [self._table(part) for part in parts]
        counts = np.zeros(len(rows), np.int64)
        for place, (first, _) in enumerate(tables):
            here = which == place
            counts[here] = first[rows[here] + 1].astype(np.int64) - first[rows[here]]
        out = np.full((len(rows), 2 + int(counts.max(initial=0))), seq_len, np.int32)
        out[:, 0] = 0
        for place, (first, ends) in enumerate(tables):
            here = np.flatnonzero(which == place)
            line = np.repeat(here, counts[here])
            column = np.arange(len(line)) - np.repeat(np.cumsum(counts[here]) - counts[here], counts[here])
            out[line, 1 + column] = ends[np.repeat(first[rows[here]], counts[here]) + column]
        return out

    def _table(self, part: PartInfo) -> Table:
        """(samples + 1,) where the ends of each sample's documents begin, and the ends."""
        found = self._kept.get(part.part_id)
        if found is None:
            table = read_rows(self._store, part, ["sample", "end"])
            if table is None:
                found = np.zeros(part.samples + 1, np.uint32), np.zeros(0, np.uint32)
            else:
                sample, end = (table[name].to_numpy() for name in ("sample", "end"))
                order = np.lexsort((end, sample))
                first = np.searchsorted(sample[order], np.arange(part.samples + 1, dtype=np.uint32))
                found = first.astype(np.uint32), end[order]
            self._kept[part.part_id] = found
            kept_bytes = sum(first.nbytes + ends.nbytes for first, ends in self._kept.values())
            while kept_bytes > KEPT_BYTES and len(self._kept) > 1:
                _, gone = self._kept.popitem(last=False)
                kept_bytes -= gone[0].nbytes + gone[1].nbytes
        self._kept.move_to_end(part.part_id)
        return found
