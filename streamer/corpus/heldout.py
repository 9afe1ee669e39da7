"""Which repositories are held out: they go to `heldout/*` and into no other stream, seed or annotator.

Always holds: the choice depends on the repository's name and the key alone, so a corpus that grows, or is built again
from other sources, holds out the same repositories; a larger share holds out those of a smaller one too.
"""

import xxhash

SHARE = 0.02


def is_held_out(repository: str, *, share: float = SHARE, key: str = "phasemix") -> bool:
    """Whether the repository is among the `share` (0 to 1) of all repositories that are held out."""
    return number_of(repository, key) < int(share * 2**64)


def place_of(repository: str, key: str = "phasemix") -> float:
    """From 0 to 1: whatever share is larger holds the repository out."""
    return number_of(repository, key) / 2**64


def number_of(repository: str, key: str) -> int:
    return xxhash.xxh3_64_intdigest(f"heldout\0{key}\0{repository}".encode("utf-8", "surrogateescape"))
