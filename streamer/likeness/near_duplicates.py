"""Exact and near duplicates among files of one language, by MinHash: one rule for the corpus and for synthetic files.

Always holds: of files that are near-duplicates of each other the first one is kept; a file is dropped only for one that was
kept; files of different languages never match; the same files in the same order give the same answer, on every machine.

How: a file is the set of its runs of five code words, comments left out. 256 MinHash values by rensa, in bands of 3, find
candidates (99 % of the pairs at Jaccard 0.45), and the share of equal values decides. Renaming a tenth of the names takes
that share to 0.5 to 0.75, so a pair from 0.45 on is also a duplicate where the structures, the runs of eight words with all
names alike, are all but equal, unless the files are very short. docs/decisions.md has the figures.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from streamer.likeness.code_words import code_words, shingle_hashes

ROWS_IN_BAND = 3
STRUCTURE_VALUES, STRUCTURE_SHINGLE, LEAST_STRUCTURE = 128, 8, 100
RENAMED_FROM, SAME_STRUCTURE = 0.45, 0.93
SEED = 0x5EED
Signatures = npt.NDArray[np.uint32]
Shares = npt.NDArray[np.float64]


class Duplicates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When files are near-duplicates. BigCode's numbers: Jaccard 0.7, runs of 5 words, 256 values.

    Attributes:
        threshold: From which Jaccard similarity on a file is dropped, from 0.5 to 1.
        shingle: How many words a run has.
        permutations: How many MinHash values a file has. More of them estimate the similarity better.
    """

    threshold: float = 0.7
    shingle: int = 5
    permutations: int = 256


USUAL = Duplicates()


def sign(texts: Sequence[str], languages: Sequence[str], rule: Duplicates = USUAL) -> Signatures:
    """(texts, permutations + 128) MinHash values: of the words, then of the structure."""
    from rensa import RMinHash

    if not texts:
        return np.zeros((0, rule.permutations + STRUCTURE_VALUES), np.uint32)
    words = [code_words(text, language) for text, language in zip(texts, languages, strict=True)]
    structures = [each.kinds if len(each.kinds) >= LEAST_STRUCTURE else each.numbers for each in words]
    columns = []
    for runs, values in (
        ([shingle_hashes(each.numbers, rule.shingle) for each in words], rule.permutations),
        ([shingle_hashes(each, STRUCTURE_SHINGLE) for each in structures], STRUCTURE_VALUES),
    ):
        ends = np.cumsum([0, *map(len, runs)]).astype(np.uint64)
        rows = RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(runs), ends, values, SEED).to_rows()
        columns.append(np.array(rows, np.uint32).reshape(len(texts), values))
    return np.concatenate(columns, axis=1)


class Near(NamedTuple):
    """Places of near-duplicates. `likeness`: the largest share of words' values that one with a band alike has, else 0."""

    places: list[int]
    likeness: float


class RecentSignatures:
    """The signatures of some files of one language, in memory: about 10 KB a file. `keys`: a file's row of `band_keys`."""

    def __init__(self, rule: Duplicates) -> None:
        self._rule = rule
        self._bands: dict[int, list[int]] = {}
        self._kept: list[Signatures] = []

    def add(self, signature: Signatures, keys: Iterable[int]) -> None:
        for key in keys:
            self._bands.setdefault(key, []).append(len(self._kept))
        self._kept.append(signature)

    def near(self, signature: Signatures, keys: Iterable[int]) -> Near:
        """Which of them are near-duplicates of a file, counted from 0 in the order in which they were added."""
        places = sorted({place for key in keys for place in self._bands.get(key, ())})
        if not places:
            return Near([], 0.0)
        words, is_near = compare(np.stack([self._kept[place] for place in places]), signature, self._rule)
        return Near([place for place, near in zip(places, is_near, strict=True) if near], float(words.max()))


def band_keys(signatures: Signatures, language: str, rule: Duplicates) -> npt.NDArray[np.uint64]:
    """(files, bands) numbers, a band's values with its place and the language each. Equal ones make candidates."""
    bands = rule.permutations // ROWS_IN_BAND
    words = signatures[:, : bands * ROWS_IN_BAND].reshape(-1, bands, ROWS_IN_BAND).astype(np.uint64)
    keys = np.full((len(signatures), bands), xxhash.xxh3_64_intdigest(language.encode()), np.uint64)
    with np.errstate(over="ignore"):
        keys += np.arange(bands, dtype=np.uint64)
        for column in range(ROWS_IN_BAND):
            keys = (keys ^ words[:, :, column]) * np.uint64(0x9E3779B97F4A7C15)
            keys ^= keys >> np.uint64(29)
    return keys


def compare(first: Signatures, second: Signatures, rule: Duplicates) -> tuple[Shares, npt.NDArray[np.bool_]]:
    """(pairs,) twice, of the files of two arrays of signatures, row by row: the shares of equal values of their words, which
    estimate the Jaccard similarity, and whether they are near-duplicates.
    """
    words, structures = (part.mean(1) for part in np.split(first == second, [rule.permutations], axis=1))
    found: npt.NDArray[np.bool_] = (words >= rule.threshold) | ((words >= RENAMED_FROM) & (structures >= SAME_STRUCTURE))
    return words, found


def are_near(first: Signatures, second: Signatures, rule: Duplicates) -> npt.NDArray[np.bool_]:
    """(pairs,) whether the files of two arrays of signatures are near-duplicates, row by row."""
    return compare(first, second, rule)[1]


def digest(text: str, language: str) -> bytes:
    return xxhash.xxh3_128_digest(f"{language}\0{text}".encode("utf-8", "surrogatepass"))
