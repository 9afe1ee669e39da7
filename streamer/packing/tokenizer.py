"""Byte-level BPE tokenizers: trained, loaded, fingerprinted, and refused when they lose text.

Always holds: a tokenizer that `parse` returns gives texts back byte for byte, or canonically composed (NFC), as
GPT-NeoX's does (checked on samples that break lossy ones); it has an end-of-document token, and never reads that token
out of a document's text.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec
import xxhash
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from streamer.errors import CorpusError
from streamer.packing.tokenizer_shape import MOST_IDS, check_ids, read_shape, refuse_lossy

END_OF_DOCUMENT = "<|endoftext|>"
# How texts are cut before pairs are merged, each digit by itself: as Qwen2's tokenizers do, which fast encoders know.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
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


def check_vocabulary(vocabulary: int) -> None:
    """Raises: CorpusError for fewer ids than the 256 bytes and the end-of-document token need, or for too many."""
    if not 257 <= vocabulary <= MOST_IDS:
        raise CorpusError(
            f"vocabulary must be an integer from 257 (256 bytes and {END_OF_DOCUMENT}) to {MOST_IDS:,} (got {vocabulary:,})"
        )


def train(texts: Iterable[str], *, vocabulary: int) -> Tokenizer:
    """A byte-level BPE tokenizer of at most `vocabulary` ids; the same texts give the same tokenizer.

    Raises: CorpusError as `check_vocabulary`.
    """
    check_vocabulary(vocabulary)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
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


def parse(json_text: str, *, name: str = "tokenizer") -> Tokenizer:
    """A tokenizer from the text of a tokenizer.json, with special tokens in documents read as plain text.

    A file of strangers is read with `tokenizer_file.read_text`, which tries it out in a process of its own first.
    Raises: CorpusError when the text is none, it lacks an end-of-document token, or decoding does not give texts back.
    """
    shape = read_shape(json_text, name=name)
    with library_errors(f"{name} cannot be read as a tokenizer.json by the tokenizers library"):
        tokenizer = Tokenizer.from_str(json_text)
    check_ids(shape, tokenizer.get_vocab(with_added_tokens=True), name=name)
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    end_of_document_id(tokenizer, name=name)
    with library_errors(f"{name} cannot be used"):
        lost = next((text for text in ROUND_TRIP_SAMPLES if not gives_back(tokenizer, text)), None)
    if lost is not None:
        refuse_lossy(name, f"decoding what it encodes does not give {lost[:40]!r} back")
    return tokenizer


@contextmanager
def library_errors(what: str) -> Iterator[None]:
    """Turns what the tokenizers library raises into a CorpusError that begins with `what`.

    It raises bare Exception for malformed files, and a PanicException, which is no Exception, for what it did not expect.
    """
    try:
        yield
    except BaseException as error:
        if type(error) is not Exception and type(error).__name__ != "PanicException":
            raise
        said = str(error).replace("\n", " ")[:200]
        raise CorpusError(f"{what} ({said}); give another tokenizer.json") from error


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


def describe(json_text: str, *, name: str = "tokenizer") -> Encodings:
    """Fingerprint, size and end-of-document id of a tokenizer.json's text. Raises: CorpusError as `parse`."""
    tokenizer = parse(json_text, name=name)
    return Encodings(fingerprint(json_text), highest_id(tokenizer) + 1, end_of_document_id(tokenizer))
