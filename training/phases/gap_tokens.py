"""The token ids that mark the parts of a document in fill-in-the-middle, from what a recipe names.

Always holds: they are ids that no text has, that the streams' dtype holds and that the model has. That is checked before the
run is made.
"""

from __future__ import annotations

import numpy as np
from tokenizers import Tokenizer

from streamer import Catalog
from streamer.packing.tokenizer import end_of_document_id, highest_id
from streamer.wording import listed
from training.errors import RecipeError
from training.loading.fill_in_the_middle import FillInTheMiddle
from training.phases.objective import Objective


def fill_in_of(
    objective: Objective,
    catalog: Catalog,
    *,
    run: str,
    tokenizer: str | None,
    highest_text_id: int,
    dtype: str,
    vocab_size: int,
    seed: int,
) -> FillInTheMiddle | None:
    """What the loader does of a recipe. Raises: RecipeError for a token or id that is not there, or that texts have.

    Args: highest_text_id, the highest that the streams have, as far as their parts say it.
    """
    asked = objective.fill_in_the_middle
    if asked is None:
        return None
    known = None if tokenizer is None else catalog.load_tokenizer(tokenizer)
    ids: dict[str, int] = {}
    for name in ("prefix", "suffix", "middle"):
        token = getattr(asked, name)
        found = token if isinstance(token, int) else None if known is None else known.token_to_id(token)
        highest = min(vocab_size - 1, int(np.iinfo(dtype).max))
        if found is None:
            whose = f"tokenizer {tokenizer}" if tokenizer else f"run {run}, whose streams name no tokenizer,"
            raise RecipeError(
                f"objective.fill_in_the_middle.{name}: {whose} has no token {token!r}; name one that it has, or "
                f"give an id up to {highest} that no text has"
            )
        if not 0 <= found <= highest:
            raise RecipeError(
                f"objective.fill_in_the_middle.{name}: id {found} is not in 0 to {highest}, which a vocabulary of "
                f"{vocab_size} and {dtype} have; give another one, or a larger model.vocab_size"
            )
        if known is not None and not is_free(known, found):
            raise RecipeError(
                f"objective.fill_in_the_middle.{name}: {token!r} stands for text or for the end of a document in tokenizer "
                f"{tokenizer}; name another special token of it, or give an id from {highest_id(known) + 1} on"
            )
        if known is None and found <= highest_text_id:
            raise RecipeError(
                f"objective.fill_in_the_middle.{name}: the streams of run {run} have ids up to {highest_text_id}, so "
                f"{found} stands for text; give an id from {highest_text_id + 1} to {highest}"
            )
        ids[name] = int(found)
    got = [str(found) for found in ids.values()]
    if len(set(got)) < len(ids):
        raise RecipeError(f"objective.fill_in_the_middle: {listed(list(ids))} must be three tokens (got {listed(got)})")
    return FillInTheMiddle(
        share=asked.share,
        suffix_first_share=asked.suffix_first_share,
        prefix_id=ids["prefix"],
        suffix_id=ids["suffix"],
        middle_id=ids["middle"],
        end_id=None if known is None else end_of_document_id(known),
        seed=seed,
    )


def is_free(tokenizer: Tokenizer, token_id: int) -> bool:
    """Whether no text has this id: a special one, other than the end of a document, or one behind the tokenizer's."""
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    return token_id > highest_id(tokenizer) or token_id in special - {end_of_document_id(tokenizer)}
