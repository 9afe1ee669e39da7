"""Which of many hashes are known: by a table of bits first, which lets hardly anything else through."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from streamer.likeness.code_views import Hashes

SLOTS_A_HASH = 16
LEAST_BITS, MOST_BITS = 12, 22
Places = npt.NDArray[np.int64]


class Slots:
    """Sorted hashes, of which some may be equal."""

    def __init__(self, known: Hashes) -> None:
        bits = min(MOST_BITS, max(LEAST_BITS, (len(known) * SLOTS_A_HASH).bit_length()))
        self._known, self._shift = known, np.uint64(64 - bits)
        self._is_used = np.zeros(1 << bits, np.bool_)
        self._is_used[known >> self._shift] = True

    def places(self, hashes: Hashes) -> tuple[Places, Places, Places]:
        """The places of the hashes that are known, and for each the first of its rows and the one after its last."""
        places = np.flatnonzero(self._is_used[(hashes >> self._shift).view(np.int64)])  # slow by unsigned numbers
        candidates = hashes[places]
        first = np.searchsorted(self._known, candidates)
        is_known = self._known.take(first, mode="clip") == candidates if len(self._known) else np.zeros(len(first), np.bool_)
        places, first = places[is_known], first[is_known]
        return places, first, np.searchsorted(self._known, candidates[is_known], "right")

    def find(self, hashes: Hashes) -> Iterator[tuple[int, int]]:
        """(place, row) of each hash that is known."""
        for place, first, after in zip(*map(np.ndarray.tolist, self.places(hashes)), strict=True):
            for row in range(first, after):
                yield place, row
