"""A set of many identities in little memory: 16 bytes each, and some more for the newest ones.

Always holds: an identity that was added is in it. That it has one that was not added has a chance of 1 in 10^23 for ten
million identities, since it keeps 128 bits of each.
"""

from collections.abc import Iterable

import numpy as np
import xxhash

LEAST_NEW, NEW_PART = 1 << 16, 16  # so many new ones, or this part of the others, are sorted in at once


class Identities:
    """Strings that can be added and asked for, and not taken out."""

    def __init__(self) -> None:
        self._sorted = np.zeros(0, "S16")
        self._new: set[bytes] = set()

    def add(self, identities: Iterable[str]) -> None:
        """Adds those that are not in it."""
        keys = {key_of(identity) for identity in identities}
        self._new |= keys - self._among(keys)
        if len(self._new) > max(LEAST_NEW, len(self._sorted) // NEW_PART):
            together = np.concatenate([self._sorted, np.array(sorted(self._new), "S16")])
            together.sort(kind="stable")  # two sorted runs are merged
            self._sorted, self._new = together, set()

    def among(self, identities: Iterable[str]) -> set[str]:
        """Those of some identities that are in it."""
        keys = {identity: key_of(identity) for identity in identities}
        found = self._among(set(keys.values()))
        return {identity for identity, key in keys.items() if key in found}

    def __len__(self) -> int:
        return len(self._sorted) + len(self._new)

    def _among(self, keys: set[bytes]) -> set[bytes]:
        found = keys & self._new
        if len(self._sorted) and keys:
            asked = np.array(list(keys), "S16")
            places = np.minimum(np.searchsorted(self._sorted, asked), len(self._sorted) - 1)
            found |= {key.ljust(16, b"\0") for key in asked[self._sorted[places] == asked].tolist()}
        return found


def key_of(identity: str) -> bytes:
    return xxhash.xxh3_128_digest(identity.encode())
