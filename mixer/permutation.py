"""Keyed hashes and permutations without tables: integers alone, the same on every platform and library version."""

import numpy as np
import numpy.typing as npt

MASK = (1 << 64) - 1
PHI = 0x9E3779B97F4A7C15
SMALL = 256  # below, a Feistel network is uneven: the keyed hashes are sorted instead
ROUNDS = 6
POWERS = 1 << np.arange(63, dtype=np.int64)
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


def scramble(value: Words) -> Words:
    """The finaliser of splitmix64 on every element."""
    with np.errstate(over="ignore"):
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def fold(*words: int) -> int:
    """One 64-bit key from several integers."""
    key = 0x243F6A8885A308D3
    for word in words:
        key = int(scramble(np.array([(key ^ (word & MASK)) * PHI & MASK], np.uint64))[0])
    return key


def mix(keys: Words, words: Ints) -> Words:
    """A hash of each word under its key. The shapes broadcast."""
    with np.errstate(over="ignore"):
        return scramble(words.astype(np.uint64) * np.uint64(PHI) + keys)


def permute(keys: Words, sizes: Ints, places: Ints) -> Ints:
    """Where each place, in [0, size), goes in the permutation of range(size) that its key names.

    Args: three arrays (n,); sizes at least 1; elements with one key have one size.
    """
    out = np.empty(len(places), np.int64)
    small = sizes < SMALL
    if small.any():
        out[small] = sort_hashes(keys[small], sizes[small], places[small])
        large = np.flatnonzero(~small)
    else:
        large = np.arange(len(places))
    values, keys, sizes = places[large], keys[large], sizes[large]
    while len(large):
        values = feistel(keys, np.searchsorted(POWERS, sizes), values)
        outside = values >= sizes
        out[large] = values  # what lies outside is overwritten: the cycle is walked until it is inside
        large, values, keys, sizes = large[outside], values[outside], keys[outside], sizes[outside]
    return out


def sort_hashes(keys: Words, sizes: Ints, places: Ints) -> Ints:
    """`permute` by the order of the hashes of range(size), for sizes whose sum over the keys fits in memory."""
    each, first, which = np.unique(keys, return_index=True, return_inverse=True)
    lengths = sizes[first]
    starts = np.cumsum(lengths) - lengths
    block = np.repeat(np.arange(len(each)), lengths)
    index = np.arange(len(block)) - starts[block]
    order = np.lexsort((index, mix(each[block], index), block))
    found: Ints = index[order[starts[which] + places]]
    return found


def feistel(keys: Words, bits: Ints, values: Ints) -> Ints:
    """A permutation of range(2 ** bits): the low half of the bits and the high half change each other in turn."""
    low_bits = (bits - (bits >> 1)).astype(np.uint64)
    low_mask = (np.uint64(1) << low_bits) - np.uint64(1)
    high_mask = (np.uint64(1) << (bits.astype(np.uint64) - low_bits)) - np.uint64(1)
    word = values.astype(np.uint64)
    low, high = word & low_mask, word >> low_bits
    with np.errstate(over="ignore"):
        for number in range(0, ROUNDS, 2):
            high ^= round_hash(low, keys, number) & high_mask
            low ^= round_hash(high, keys, number + 1) & low_mask
    return ((high << low_bits) | low).astype(np.int64)


def round_hash(half: Words, keys: Words, number: int) -> Words:
    value = (half + keys + np.uint64(number * PHI & MASK)) * np.uint64(0xBF58476D1CE4E5B9)
    value ^= value >> np.uint64(32)
    value *= np.uint64(0x94D049BB133111EB)
    value >>= np.uint64(32)
    return value
