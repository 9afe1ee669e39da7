"""Exact and near duplicates among documents, by MinHash over code words.

Always holds: of documents that are near-duplicates of each other the first one is kept; a document is dropped only for
one that was kept; the same documents in the same order give the same answer, on every machine.

How: a document is the set of its runs of five words (identifiers, keywords, numbers: case kept, so that renamed
variables count as different), 128 MinHash values of it by rensa, 25 bands of 5 rows find candidates (99 % of the pairs
at Jaccard 0.7), and the share of equal MinHash values decides. datatrove's own blocks lower the case, drop numbers and
want a word tokenizer for prose.
"""

import re
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xxhash

from streamer.documents.text import DropReason

WORDS_IN_SHINGLE = 5
NUM_VALUES = 128
NUM_BANDS = 25
ROWS_IN_BAND = 5
THRESHOLD = 0.7
SEED = 0x5EED
WORD = re.compile(rb"\w+")
MULTIPLIERS = np.array([pow(0x9E3779B97F4A7C15, power, 2**64) | 1 for power in range(1, 6)], dtype=np.uint64)

Signatures = npt.NDArray[np.uint32]


def shingle_hashes(text: str) -> npt.NDArray[np.uint64]:
    """Distinct 64-bit hashes of the runs of five words; of all words together when there are fewer."""
    words = WORD.findall(text.encode("utf-8", "surrogatepass"))
    hashes = np.fromiter(map(zlib.crc32, words), dtype=np.uint64, count=len(words))
    if len(hashes) < WORDS_IN_SHINGLE:
        return np.array([xxhash.xxh3_64_intdigest(b" ".join(words) or text.encode())], dtype=np.uint64)
    count = len(hashes) - WORDS_IN_SHINGLE + 1
    mixed = np.zeros(count, dtype=np.uint64)
    for place, multiplier in enumerate(MULTIPLIERS):
        mixed ^= (hashes[place : place + count] + np.uint64(place + 1)) * multiplier
        mixed = (mixed << np.uint64(23)) | (mixed >> np.uint64(41))
    return np.unique(mixed)


def sign(texts: Sequence[str]) -> Signatures:
    """(texts, 128) MinHash values."""
    from rensa import RMinHash

    matrix = RMinHash.digest_matrix_from_token_hash_sets([shingle_hashes(text).tolist() for text in texts], NUM_VALUES, SEED)
    return np.array(matrix.to_rows(), dtype=np.uint32).reshape(len(texts), NUM_VALUES)


class DuplicateIndex:
    """What was kept so far, and which bands it has. Memory: about 1.5 KB a kept document."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self.threshold = threshold
        self._exact: dict[bytes, int] = {}
        self._bands: list[dict[bytes, list[int]]] = [{} for _ in range(NUM_BANDS)]
        self._kept: list[Signatures] = []

    def add(self, text: str, signature: Signatures) -> DropReason | None:
        """Keeps the document and returns None, or says what kind of duplicate of a kept one it is."""
        digest = xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass"))
        if digest in self._exact:
            return DropReason.EXACT_DUPLICATE
        bands = [signature[band * ROWS_IN_BAND : (band + 1) * ROWS_IN_BAND].tobytes() for band in range(NUM_BANDS)]
        seen: set[int] = set()
        for band, members in zip(bands, self._bands, strict=True):
            seen.update(members.get(band, ()))
        for index in seen:
            if float(np.mean(self._kept[index] == signature)) >= self.threshold:
                return DropReason.NEAR_DUPLICATE
        index = len(self._kept)
        self._exact[digest] = index
        self._kept.append(signature)
        for band, members in zip(bands, self._bands, strict=True):
            members.setdefault(band, []).append(index)
        return None
