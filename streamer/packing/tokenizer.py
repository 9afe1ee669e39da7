"""Byte-level BPE tokenizers: trained, loaded, fingerprinted, and refused when they lose text.

Always holds: a tokenizer that `load` returns gives texts back byte for byte, or canonically composed (NFC), as
GPT-NeoX's does (checked on samples that break lossy ones); it has an end-of-document token, and never reads that token
out of a document's text.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import xxhash
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from streamer.errors import CorpusError

END_OF_DOCUMENT = "<|endoftext|>"
ROUND_TRIP_SAMPLES = (
    "def f(x):\n\tif x:\n\t\treturn  x  # two  blanks\n",
    "\r\n\r\n  leading and trailing   \n\n\n",
    "ABC abc ÀÉß naïve ﬁ Ⅷ ｆｕｌｌ １２３ été e\u0301",
    "变量 = '文字' # комментарий 🙂👩‍👩‍👧 \u200b\ufeff\u00a0|\u0000\u0001\x7f",
    "a = b  -  c;  don't , won 't . [CLS] [UNK] ## <unk> <s> </s> ▁ Ġ Ċ",
    "x = '<|endoftext|>'",
    "0123456789" * 5 + " " * 40 + "\t" * 9,
)


class Encodings(msgspec.Struct, frozen=True):
    """What a fitting tokenizer is known by: fingerprint, ids (end-of-document included) and the special id."""

    fingerprint: str
    vocabulary: int
    end_of_document_id: int


def fingerprint(json_text: str) -> str:
    """ "bpe-" and 16 hex digits of the xxh3-128 of the canonical JSON of a tokenizer.json."""
    canonical = msgspec.json.encode(msgspec.json.decode(json_text), order="sorted")
    return f"bpe-{xxhash.xxh3_128_hexdigest(canonical)[:16]}"


def train(texts: Iterable[str], *, vocabulary: int) -> Tokenizer:
    """A byte-level BPE tokenizer of at most `vocabulary` ids; the same texts give the same tokenizer.

    Raises: CorpusError when `vocabulary` is below the 256 bytes and the end-of-document token, or above 2**20.
    """
    if not 257 <= vocabulary <= 2**20:
        raise CorpusError(f"vocabulary {vocabulary} is not in 257..1048576 (256 bytes and {END_OF_DOCUMENT}); change it")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_DOCUMENT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return parse(tokenizer.to_str(), name="the trained tokenizer")


def load(path: str | Path) -> Tokenizer:
    """The tokenizer of a tokenizer.json. Raises: CorpusError as `parse` and `read_text`."""
    return parse(read_text(path), name=f"tokenizer {path}")


def read_text(path: str | Path) -> str:
    """The text of a tokenizer.json. Raises: CorpusError when the file cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"tokenizer {path} cannot be read ({error}); give a tokenizer.json") from error


def parse(json_text: str, *, name: str = "tokenizer") -> Tokenizer:
    """A tokenizer from the text of a tokenizer.json, with special tokens in documents read as plain text.

    Raises: CorpusError when the text is none, it lacks an end-of-document token, or decoding does not give texts back.
    """
    try:
        tokenizer = Tokenizer.from_str(json_text)
    except Exception as error:  # the library raises bare Exception for every kind of malformed file
        if type(error) is not Exception:
            raise
        raise CorpusError(f"{name} is no tokenizer.json ({error}); give one of the tokenizers library") from error
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    end_of_document_id(tokenizer, name=name)
    lost = next((text for text in ROUND_TRIP_SAMPLES if not gives_back(tokenizer, text)), None)
    if lost is not None:
        raise CorpusError(
            f"{name} is lossy: decoding what it encodes does not give {lost[:40]!r} back; use a byte-level BPE without "
            "normalizer, for example one that phasemix tokenizer train makes"
        )
    return tokenizer


def gives_back(tokenizer: Tokenizer, text: str) -> bool:
    """Whether encoding and decoding gives the text back, as it is or in Unicode's NFC."""
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    found = tokenizer.decode(ids, skip_special_tokens=False)
    return found in (text, unicodedata.normalize("NFC", text))


def end_of_document_id(tokenizer: Tokenizer, *, name: str = "the tokenizer") -> int:
    """The id of `<|endoftext|>`. Raises: CorpusError when the tokenizer has none."""
    found = tokenizer.token_to_id(END_OF_DOCUMENT)
    if found is None:
        raise CorpusError(f"{name} has no token {END_OF_DOCUMENT}; add it as a special token or train a tokenizer")
    return int(found)


def highest_id(tokenizer: Tokenizer) -> int:
    """The highest id that the tokenizer can give."""
    ids: list[int] = list(tokenizer.get_vocab(with_added_tokens=True).values())
    return max(ids)


def check_dtype(tokenizer: Tokenizer, dtype: str, *, name: str = "the tokenizer") -> None:
    """Raises: CorpusError when an id does not fit the dtype."""
    if dtype not in ("uint16", "uint32"):
        raise CorpusError(f"dtype {dtype} is not one of uint16, uint32; change it in the recipe")
    highest, limit = highest_id(tokenizer), 2**16 - 1 if dtype == "uint16" else 2**32 - 1
    if highest > limit:
        raise CorpusError(f"{name} has ids up to {highest}, {dtype} holds {limit}; use dtype uint32")


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, without special tokens."""
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


def describe(json_text: str, *, name: str = "tokenizer") -> Encodings:
    """Fingerprint, size and end-of-document id of a tokenizer.json's text. Raises: CorpusError as `parse`."""
    tokenizer = parse(json_text, name=name)
    return Encodings(fingerprint(json_text), highest_id(tokenizer) + 1, end_of_document_id(tokenizer))
