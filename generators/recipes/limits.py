"""The thresholds of the gates, which a recipe may set for all of its files and for those of single languages.

Always holds: an unknown key, an unknown language and a value that cannot be are refused when the recipe is read.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from mixer.faults import Fault, check
from streamer.documents.languages import LANGUAGES
from streamer.wording import did_you_mean, shown

VERSION = "a version of an annotator, such as 'hq@1'"
Share = Annotated[float, Meta(ge=0, le=1, title="a number from 0 to 1")]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a file must keep to.

    Attributes:
        max_bytes_per_token: How many bytes an answer may have for each token that it was allowed.
        min_code_size: How many words and signs of code a file must have.
        min_code_share: Which share of a file must be code that is no white space.
        max_stub_share: Which share of the functions may have a body that does nothing.
        min_distinct_share: Which share of the lines must be no repetition of another one.
        min_compressed_share: To which share of its size a file may be compressed.
        max_shared_words: Which share of the runs of five words the seed may have.
        max_shared_structure: Which share of the runs of 16 words without names the seed may have.
        annotator: The version of an annotator of the root that scores files, such as `hq@1`.
        least_score: Which score a file must have, on the annotator's scale: from 0 to 1, or that of its rubric.
    """

    max_bytes_per_token: Annotated[int, Meta(ge=1, le=1 << 20, title="an integer from 1 to 1,048,576")] = 16
    min_code_size: Annotated[int, Meta(ge=0, le=10**6, title="an integer from 0 to 1,000,000")] = 16
    min_code_share: Share = 0.02
    max_stub_share: Share = 0.5
    min_distinct_share: Share = 0.15
    min_compressed_share: Share = 0.08
    max_shared_words: Share = 0.8
    max_shared_structure: Share = 0.65
    annotator: Annotated[str, Meta(pattern=r"^([a-z0-9][a-z0-9-]{0,63}@[1-9][0-9]{0,8})?$", title=VERSION)] = ""
    least_score: Annotated[float, Meta(ge=0, le=1000, title="a number from 0 to 1,000")] = 0.0


def limits_of(gates: Mapping[str, Any], language: str | None = None) -> Limits:
    """What holds for a language: the usual limits, a recipe's own over them, and those of the language over both.

    Args: gates, the recipe's table. Raises: Fault for a key or value that cannot be.
    """
    own = {key: value for key, value in gates.items() if key not in LANGUAGES}
    laid_over = {} if language is None else gates.get(language, {})
    if not isinstance(laid_over, dict):
        said = f" = {shown(laid_over)}: it must be a table of limits; write [gates.{language}]"
        raise Fault(("gates", str(language)), said)
    try:
        found = check({**own, **laid_over}, Limits)
    except Fault as fault:
        key = fault.path[0]
        place = ("gates", str(language)) if key in laid_over else ("gates",)
        is_known = key in Limits.__struct_fields__
        near = "" if is_known or "did you mean" in fault.said else did_you_mean(str(key), LANGUAGES)
        raise Fault((*place, *fault.path), fault.said + near, of=(*place, *fault.of)) from None
    if bool(found.annotator) != bool(found.least_score):
        said = ": a floor needs both least_score, above 0, and the annotator that scores; give both or neither"
        raise Fault(("gates",) if language is None else ("gates", language), said)
    return found


def check_gates(gates: Mapping[str, Any]) -> None:
    """Raises: Fault for the first key or value that cannot be."""
    for language in (None, *(key for key in gates if key in LANGUAGES)):
        limits_of(gates, language)
