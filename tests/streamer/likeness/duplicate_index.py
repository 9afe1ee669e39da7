"""The rule of near-duplicates, one file after the other and in memory: what the quicker ways are compared with."""

from streamer.documents.text import DropReason
from streamer.likeness.near_duplicates import USUAL, Duplicates, RecentSignatures, Signatures, band_keys, digest


class DuplicateIndex:
    """The files that were kept so far, by language."""

    def __init__(self, rule: Duplicates = USUAL) -> None:
        self._rule = rule
        self._exact: set[bytes] = set()
        self._recent: dict[str, RecentSignatures] = {}

    def find(self, text: str, language: str, signature: Signatures) -> DropReason | None:
        """What kind of duplicate of a kept file a file is; None for none."""
        if digest(text, language) in self._exact:
            return DropReason.EXACT_DUPLICATE
        return (
            DropReason.NEAR_DUPLICATE if self._of(language).near(signature, self._keys(language, signature)).places else None
        )

    def keep(self, text: str, language: str, signature: Signatures) -> None:
        self._exact.add(digest(text, language))
        self._of(language).add(signature, self._keys(language, signature))

    def add(self, text: str, language: str, signature: Signatures) -> DropReason | None:
        """Keeps the file and returns None, or says what kind of duplicate of a kept one it is."""
        found = self.find(text, language, signature)
        if found is None:
            self.keep(text, language, signature)
        return found

    def _of(self, language: str) -> RecentSignatures:
        return self._recent.setdefault(language, RecentSignatures(self._rule))

    def _keys(self, language: str, signature: Signatures) -> list[int]:
        found: list[int] = band_keys(signature[None], language, self._rule)[0].tolist()
        return found
