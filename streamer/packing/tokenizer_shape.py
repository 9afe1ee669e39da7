"""What a tokenizer.json may consist of, looked at before the tokenizers library sees it.

Always holds: a text that passes names only parts that can give texts back, makes no text longer than by a small factor, and
gives the same ids each time. The decision depends on the text alone.

The library trusts its files: some parts abort the process, panic, or take gigabytes for a short text.
"""

from typing import Any

import msgspec

from streamer.errors import CorpusError

MOST_CHARACTERS = 1 << 26
MOST_IDS = 1 << 20
MOST_GROWTH = 64  # times a text's length, by all replacements of a normalizer together
LONGEST_PREFIX = 64  # characters that a normalizer may put before a text
MOST_DEPTH = 8  # sequences in each other
MODELS = ("BPE", "Unigram")  # the others map unknown words to one token
NORMALIZERS = ("Sequence", "NFC", "ByteLevel", "Replace", "Prepend")  # the others lose case, accents or blanks
PRE_TOKENIZERS = (
    "Sequence", "ByteLevel", "Metaspace", "Split", "Digits", "Punctuation", "Whitespace", "WhitespaceSplit",
    "UnicodeScripts", "BertPreTokenizer", "CharDelimiterSplit",
)  # fmt: skip


class Model(msgspec.Struct, frozen=True):
    """The head of a model; its vocabulary is left to the library."""

    type: str = "BPE"
    dropout: float | None = None


class AddedToken(msgspec.Struct, frozen=True):
    """A token beside the model's own."""

    id: int
    content: str


class Shape(msgspec.Struct, frozen=True):
    """The parts of a tokenizer.json that decide what it may do to a text."""

    model: Model
    added_tokens: list[AddedToken] = []
    normalizer: dict[str, Any] | None = None
    pre_tokenizer: dict[str, Any] | None = None


def read_shape(json_text: str, *, name: str) -> Shape:
    """Raises: CorpusError for a text that is no tokenizer.json, or whose parts are not taken."""
    if len(json_text) > MOST_CHARACTERS:
        raise CorpusError(
            f"{name} has {len(json_text):,} characters; at most {MOST_CHARACTERS:,} are read: use a smaller vocabulary"
        )
    try:
        shape = msgspec.json.decode(json_text, type=Shape)
    except RecursionError as error:
        raise CorpusError(
            f"{name} cannot be read as a tokenizer.json: it is nested too deep; give one of the tokenizers library"
        ) from error
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise CorpusError(
            f"{name} cannot be read as a tokenizer.json ({error}); give one of the tokenizers library"
        ) from error
    if shape.model.type not in MODELS:
        refuse_lossy(name, f"its model {shape.model.type} maps unknown words to one token")
    if shape.model.dropout:
        raise CorpusError(
            f"{name} has a dropout of {shape.model.dropout:g}, so the same text gives other ids each time; set it to null"
        )
    growth = check_parts(shape.normalizer, "normalizers", NORMALIZERS, name)
    if growth > MOST_GROWTH:
        raise CorpusError(
            f"{name} has a normalizer that makes texts up to {growth:,.0f} times longer; at most {MOST_GROWTH} are taken"
        )
    check_parts(shape.pre_tokenizer, "pretokenizers", PRE_TOKENIZERS, name)
    return shape


def check_parts(part: Any, inner: str, known: tuple[str, ...], name: str, depth: int = 0) -> float:
    """By how much a part can make a text longer. `inner` is the key of a sequence's parts. Raises: CorpusError."""
    if part is None:
        return 1.0
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in known:
        refuse_lossy(name, f"its part {str(kind)[:40]} is none of {', '.join(known)}")
    if depth > MOST_DEPTH:
        raise CorpusError(
            f"{name} cannot be read as a tokenizer.json: sequences are nested too deep; write one flat sequence"
        )
    if kind == "Sequence":
        growth = 1.0
        parts = part.get(inner)
        for one in parts if isinstance(parts, list) else ():
            growth = min(growth * check_parts(one, inner, known, name, depth + 1), 1e300)
        return growth
    if kind == "Replace":
        content, pattern = part.get("content"), part.get("pattern")
        searched = pattern.get("String") if isinstance(pattern, dict) else None
        if searched == "":
            raise CorpusError(f"{name} has a normalizer that replaces nothing by something; take it out")
        return max(1.0, len(str(content).encode("utf-8", "replace")) / len(str(searched or "x").encode("utf-8", "replace")))
    if kind == "Prepend" and len(str(part.get("prepend"))) > LONGEST_PREFIX:
        raise CorpusError(f"{name} puts more than {LONGEST_PREFIX} characters before each text; take that normalizer out")
    return 1.0


def check_ids(shape: Shape, ids: dict[str, int], *, name: str) -> None:
    """Raises: CorpusError when ids are too high, stand for two tokens, or are others than the file says."""
    highest = max(ids.values(), default=-1)
    if highest >= MOST_IDS:
        raise CorpusError(f"{name} has ids up to {highest:,}; at most {MOST_IDS - 1:,} is taken: use a smaller vocabulary")
    if len(set(ids.values())) < len(ids):
        raise CorpusError(f"{name} has ids that stand for two tokens each; give each token an id of its own")
    for token in shape.added_tokens:
        if ids.get(token.content) != token.id:
            raise CorpusError(
                f"{name} says that its added token {token.content[:40]!r} has id {token.id}, but the tokenizers library "
                f"gives it {ids.get(token.content, 'none')}: ids of added tokens follow the vocabulary without a gap; "
                "write it again"
            )


def refuse_lossy(name: str, why: str) -> None:
    raise CorpusError(f"{name} is lossy: {why}; use a byte-level BPE, for example one that phasemix tokenizer train makes")
