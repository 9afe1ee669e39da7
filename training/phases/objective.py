"""What a training learns of its batches: the `[objective]` table of a recipe."""

from __future__ import annotations

import msgspec

Token = str | int


class FillIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fill-in-the-middle: documents that are rearranged. `training/loading/fill_in_the_middle.py` says how.

    Attributes:
        share: The share of documents that are rearranged.
        suffix_first_share: The share of those whose suffix comes first.
        prefix: The token before the prefix: a special one of the tokenizer's, or an id that it does not have.
        suffix: The token before the suffix.
        middle: The token before the middle.
    """

    share: float
    suffix_first_share: float = 0.5
    prefix: Token = "<|fim_prefix|>"
    suffix: Token = "<|fim_suffix|>"
    middle: Token = "<|fim_middle|>"


class Objective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of a batch is learned, and what is rearranged in it.

    Attributes:
        learn_document_starts: Whether the first token of a document is learned where another document stands before it.
        fill_in_the_middle: How many documents are rearranged, for a model that fills gaps.
    """

    learn_document_starts: bool = True
    fill_in_the_middle: FillIn | None = None
