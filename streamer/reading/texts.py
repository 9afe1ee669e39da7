"""Token ids as the text that they stand for."""

from typing import TYPE_CHECKING

from streamer.catalog.catalog import Catalog

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Texts:
    """Decodes with a catalog's tokenizers, each of which is loaded once."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._tokenizers: dict[str, Tokenizer] = {}

    def decode(self, tokenizer: str | None, ids: list[int]) -> str | None:
        """The text of ids of a tokenizer, special tokens written out; None where the catalog does not have it."""
        if tokenizer is None:
            return None
        if tokenizer not in self._tokenizers:
            if self._catalog.store.get(f"tokenizers/{tokenizer}.json") is None:
                return None
            self._tokenizers[tokenizer] = self._catalog.load_tokenizer(tokenizer)
        return str(self._tokenizers[tokenizer].decode(ids, skip_special_tokens=False))
