"""Keyed permutations and hashes: integers alone, the same on every platform and library version."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

MASK = (1 << 64) - 1


def scramble(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64 on every element."""
    with np.errstate(over="ignore"):
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def fold(*words: int) -> int:
    """One 64-bit key from several integers."""
    key = 0x243F6A8885A308D3
    for word in words:
        mixed = scramble(np.array([(key ^ (word & MASK)) * 0x9E3779B97F4A7C15 & MASK], np.uint64))
        key = int(mixed[0])
    return key


def mix(*words: object) -> npt.NDArray[np.uint64]:
    """Hashes of an index array (the last argument) under a key of integers (those before)."""
    *key, index = words
    base = np.uint64(fold(*(int(str(word)) for word in key)))
    with np.errstate(over="ignore"):
        return scramble(np.asarray(index).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + base)


@lru_cache(maxsize=4096)
def permutation(key: int, size: int) -> npt.NDArray[np.int64]:
    """A permutation of range(size): indices in the order of their hashes. Read-only, cached."""
    order = np.argsort(mix(key, np.arange(size)), kind="stable")
    order.flags.writeable = False
    return order
