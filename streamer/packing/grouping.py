"""The order in which documents are concatenated before packing (DESIGN section 2, Table 3).

Always holds: the order depends on the documents' repositories, languages and ids and on the seed, never on the order
in which they came; the documents of one repository (within a language, where languages are apart) stand together.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import xxhash

ALL = "all"


class Grouping(StrEnum):
    """How documents are grouped.

    LANGUAGE_REPO: by language first, then by repository, one stream a language (the paper's choice).
    REPO: by repository alone, files of all its languages in random order, one stream `raw/all`.
    REPO_LANGUAGE: by repository, and by language inside each, one stream `raw/all`.
    """

    LANGUAGE_REPO = "language-repo"
    REPO = "repo"
    REPO_LANGUAGE = "repo-language"


class Groupable(Protocol):
    """What the order looks at."""

    @property
    def language(self) -> str: ...
    @property
    def repository(self) -> str: ...
    @property
    def document(self) -> str: ...


def random_key(seed: int, *words: str) -> int:
    """A 64-bit number that looks random and depends on the seed and the words alone."""
    return xxhash.xxh3_64_intdigest("\0".join(words).encode("utf-8", "surrogateescape"), seed=seed & (2**64 - 1))


def choose_order(documents: Sequence[Groupable], grouping: Grouping, *, seed: int) -> dict[str, list[int]]:
    """Indices of `documents` for each stream key, in the order in which they are concatenated."""
    streams: dict[str, list[tuple[tuple[int | str, ...], int]]] = {}
    for index, document in enumerate(documents):
        repository = (random_key(seed, "repository", document.repository), document.repository)
        language = (random_key(seed, "language", document.repository, document.language), document.language)
        last = (random_key(seed, "document", document.document), document.document)
        key = document.language if grouping == Grouping.LANGUAGE_REPO else ALL
        rank = (*repository, *language, *last) if grouping == Grouping.REPO_LANGUAGE else (*repository, *last)
        streams.setdefault(key, []).append((rank, index))
    return {key: [index for _, index in sorted(members)] for key, members in sorted(streams.items())}
