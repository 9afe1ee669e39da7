"""Keyed hashes and permutations without tables: integers alone, the same on every platform and library version."""

import numpy as np
import numpy.typing as npt

MASK = (1 << 64) - 1
PHI = 0x9E3779B97F4A7C15
SMALL = 256  # below, a Feistel network is uneven: the keyed hashes are sorted instead
LEAST_TABLES, TABLES = 1 << 10, 1 << 17
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


class Tables:
    """The permutations of small blocks that were asked for last: `permute` of sizes below SMALL, by looking up.

    A block stands where the low bits of its key say, and a newer one takes its place. There is room for four times as many
    blocks as were asked for at once, up to 32 MB: a small run would spend more on so much new memory than on sorting. A
    block that was planned beyond the ledger's end may come to have another size under the same key.
    """

    def __init__(self) -> None:
        self._make_room(LEAST_TABLES)

    def _make_room(self, slots: int) -> None:
        """Begins with nothing in so many slots, a power of two."""
        self._keys = ~np.arange(slots, dtype=np.uint64)  # no key has such low bits at its own place
        self._sizes = np.zeros(slots, np.uint8)
        self._rows = np.empty((slots, SMALL), np.uint8)

    def __call__(self, keys: Words, sizes: Ints, places: Ints) -> Ints:
        """As `permute`."""
        wanted = min(TABLES, 1 << (4 * len(keys)).bit_length())
        if wanted > len(self._keys):
            self._make_room(wanted)
        slots = (keys & np.uint64(len(self._keys) - 1)).astype(np.int64)
        out = np.empty(len(keys), np.int64)
        left = np.arange(len(keys))
        while len(left):
            missing = left[~self._has(slots[left], keys[left], sizes[left])]
            if len(missing):
                _, first = np.unique(slots[missing], return_index=True)
                new = missing[first]
                self._keys[slots[new]], self._sizes[slots[new]] = keys[new], sizes[new]
                self._rows[slots[new]] = sort_hashes(keys[new], sizes[new])
            there = self._has(slots[left], keys[left], sizes[left])
            found = left[there]
            out[found] = self._rows[slots[found], places[found]]
            left = left[~there]
        return out

    def _has(self, slots: Ints, keys: Words, sizes: Ints) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = (self._keys[slots] == keys) & (self._sizes[slots] == sizes)
        return found


def permute(keys: Words, sizes: Ints, places: Ints, tables: Tables) -> Ints:
    """Where each place, in [0, size), goes in the permutation of range(size) that its key names.

    Args: three arrays (n,); sizes at least 1; elements with one key have one size.
    """
    small = sizes < SMALL
    if not small.any():
        return walk(keys, sizes, places)
    out, large = np.empty(len(places), np.int64), np.flatnonzero(~small)
    out[small] = tables(keys[small], sizes[small], places[small])
    out[large] = walk(keys[large], sizes[large], places[large])
    return out


def unpermute(keys: Words, sizes: Ints, found: Ints) -> Ints:
    """The place that `permute` takes to each of `found`."""
    out = np.empty(len(found), np.int64)
    small, large = np.flatnonzero(sizes < SMALL), np.flatnonzero(sizes >= SMALL)
    if len(small):
        out[small] = (sort_hashes(keys[small], sizes[small]) == found[small, None]).argmax(axis=1)
    out[large] = walk(keys[large], sizes[large], found[large], back=True)
    return out


def walk(keys: Words, sizes: Ints, values: Ints, *, back: bool = False) -> Ints:
    """A permutation of range(size) from one of the power of two above: its cycle is walked until it is inside again."""
    bits = np.searchsorted(POWERS, sizes)
    out = feistel(keys, bits, values, back=back)
    left = np.flatnonzero(out >= sizes)
    while len(left):
        values = feistel(keys[left], bits[left], out[left], back=back)
        out[left] = values
        left = left[values >= sizes[left]]
    return out


def sort_hashes(keys: Words, sizes: Ints) -> npt.NDArray[np.uint8]:
    """range(size) by the upper 56 bits of its hashes, then by itself, for each key: (n, SMALL); behind size is anything."""
    index = np.arange(SMALL)
    hashes = mix(keys[:, None], index[None]) & ~np.uint64(SMALL - 1) | index.astype(np.uint64)
    hashes[index >= sizes[:, None]] = MASK
    hashes.sort(axis=1)
    return (hashes & np.uint64(SMALL - 1)).astype(np.uint8)


def feistel(keys: Words, bits: Ints, values: Ints, *, back: bool = False) -> Ints:
    """A permutation of range(2 ** bits): the low half of the bits and the high half change each other in turn."""
    low_bits = (bits - (bits >> 1)).astype(np.uint64)
    low_mask = (np.uint64(1) << low_bits) - np.uint64(1)
    high_mask = (np.uint64(1) << (bits.astype(np.uint64) - low_bits)) - np.uint64(1)
    word = values.astype(np.uint64)
    low, high = word & low_mask, word >> low_bits
    value, shifted = np.empty_like(word), np.empty_like(word)
    with np.errstate(over="ignore"):
        for number in reversed(range(ROUNDS)) if back else range(ROUNDS):
            changed, other, mask = (low, high, low_mask) if number % 2 else (high, low, high_mask)
            np.add(other, keys, out=value)
            value += np.uint64(number * PHI & MASK)
            value *= np.uint64(0xBF58476D1CE4E5B9)
            value ^= np.right_shift(value, np.uint64(32), out=shifted)
            value *= np.uint64(0x94D049BB133111EB)
            value >>= np.uint64(32)
            value &= mask
            changed ^= value
    high <<= low_bits
    high |= low
    return high.view(np.int64)
