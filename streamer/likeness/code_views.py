"""A text as bytes that say the same of every copy: its letters, the letters of its code, and the structure of its code.

Always holds: each view takes time linear in the text, without a step of the interpreter for each word; the views of a text
do not change with white space, quotes, parentheses, trailing commas, semicolons or continued lines, those of its code not
with comments and strings either, and its structure not with the names and numbers that it uses.

How: one regular expression blanks comments and strings; numpy cuts the rest into words and signs, and knows a keyword by
its first eight bytes and its length.
"""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamer.likeness.code_words import KEYWORDS

Hashes = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

BLANK = b"\1"
BETWEEN = b"\x7f"  # codes that are looked at together; of a single one it is no part
WITH_PREFIXES = frozenset({"python", "jupyter-notebook"})
LOWER = bytes(range(256)).lower()
NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalnum())

# What is not closed goes to the end of its line or of the text, so that no place is looked at twice.
TRIPLE = rb'"""[^"\\]*+(?:(?:\\.?+|"(?!""))[^"\\]*+)*+(?:"""|\Z)'
TRIPLE_SINGLE = rb"'''[^'\\]*+(?:(?:\\.?+|'(?!''))[^'\\]*+)*+(?:'''|\Z)"
DOUBLE = rb'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"?'
SINGLE = rb"'[^'\\\n]*+(?:\\.[^'\\\n]*+)*+'?"
CHARACTER = rb"'(?:[^'\\\n]|\\[^\n][^'\n]{0,8})'"
BACKTICKS = rb"`[^`\\]*+(?:\\.?+[^`\\]*+)*+(?:`|\Z)"
BLOCK = rb"/\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/|\Z)"
SLASHES = rb"//[^\n]*+|" + BLOCK
HASH = rb"#[^\n]*+"
C_LIKE = rb"|".join((TRIPLE, DOUBLE, CHARACTER, SLASHES))
SCRIPT = rb"|".join((DOUBLE, SINGLE, BACKTICKS, SLASHES))
PYTHON = rb"|".join((TRIPLE, TRIPLE_SINGLE, DOUBLE, SINGLE, HASH))
BLANKED = {
    "python": PYTHON, "jupyter-notebook": PYTHON, "javascript": SCRIPT, "typescript": SCRIPT,
    "go": rb"|".join((DOUBLE, CHARACTER, BACKTICKS, SLASHES)),
    "dart": rb"|".join((TRIPLE, TRIPLE_SINGLE, DOUBLE, SINGLE, SLASHES)),
    "php": rb"|".join((DOUBLE, SINGLE, SLASHES, HASH)),
    "ruby": rb"|".join((DOUBLE, SINGLE, HASH)), "shell": rb"|".join((DOUBLE, SINGLE, HASH)),
    "sql": rb"|".join((DOUBLE, SINGLE, rb"--[^\n]*+", BLOCK)),
}  # fmt: skip
PATTERNS = {language: re.compile(pattern, re.DOTALL) for language, pattern in BLANKED.items()}
C_PATTERN = re.compile(C_LIKE, re.DOTALL)

CALLED = frozenset((  # functions that most languages bring along, so that nobody renames them where they are called
    "abs", "all", "any", "append", "bool", "ceil", "charat", "chr", "count", "dict", "divmod", "endswith", "enumerate",
    "extend", "filter", "find", "float", "floor", "format", "get", "index", "indexof", "insert", "int", "isalpha", "isdigit",
    "items", "join", "keys", "len", "length", "list", "lower", "map", "max", "min", "ord", "pop", "pow", "print", "println",
    "push", "range", "replace", "reverse", "reversed", "round", "set", "size", "slice", "sort", "sorted", "split", "sqrt",
    "startswith", "str", "strip", "substring", "sum", "tolowercase", "tostring", "touppercase", "tuple", "upper", "zip",
))  # fmt: skip

NOTHING, WORD, NUMBER, NAME, FIRST_MEMBER, FIRST_KEYWORD = 0, 1, 2, 3, 4, 128
MEMBERS = np.uint64(ord(" ") - FIRST_MEMBER)  # kinds that names behind a dot are divided into
MEMBER_SHIFT, MEMBER_BITS = np.uint64(32), np.uint64(32)
OPENING, COMMA, DOT = b"(,."
LEFT_OUT = bytes([NOTHING]) + b"()"
TRAILING_COMMAS = (b",)", b",]", b",}")
LOAD = 8  # bytes that are read at once
MULTIPLIERS = tuple(np.uint64(pow(0x9E3779B97F4A7C15, power, 2**64) | 1) for power in range(1, 9))
SLOT_BITS = 15
SLOT_SHIFT = np.uint64(64 - SLOT_BITS)


def class_of(code: int) -> int:
    """What a byte is: part of a word, a sign, or nothing. A byte beyond ASCII is part of a word."""
    if code >= 128 or chr(code).isalnum() or code == ord("_"):
        return WORD
    return code if code > ord(" ") and chr(code) not in ";\\" else NOTHING


CLASSES = bytes(class_of(code) for code in range(256))
IS_PREFIX = np.isin(np.arange(256), np.frombuffer(b"rRbBfFuU", np.uint8))
KIND_BY_FIRST = np.where(np.isin(np.arange(256), np.frombuffer(b"0123456789", np.uint8)), np.uint64(NUMBER), np.uint64(NAME))
IS_CLOSING = np.isin(np.arange(256), np.frombuffer(b")]}", np.uint8))
FIRST_BYTES = np.array([2 ** (8 * min(size, LOAD)) - 1 for size in range(LOAD + 1)], np.uint64)


def letters(text: bytes) -> bytes:
    """The letters and digits of a text in lower case, what is beyond ASCII as it is."""
    return text.translate(LOWER, NO_LETTERS)


def bare_code(text: bytes, language: str) -> bytes:
    """A text with one blank byte in place of each comment and each string."""
    code = PATTERNS.get(language, C_PATTERN).sub(BLANK, text)
    return without_prefixes(code) if language in WITH_PREFIXES else code


def without_prefixes(code: bytes) -> bytes:
    """Python's code without the one or two letters before a string that is blank already."""
    data = np.frombuffer(code, np.uint8).copy()
    before = np.flatnonzero(data == BLANK[0]) - 1
    for _ in range(2):
        before = before[IS_PREFIX[data[before]] & (before >= 0)]
        if not len(before):
            break
        data[before] = BLANK[0]
        before = before - 1
    return data.tobytes()


def comments_and_strings(text: bytes, language: str) -> list[bytes]:
    """What `bare_code` leaves out."""
    return [found[0] for found in PATTERNS.get(language, C_PATTERN).finditer(text)]


def structures(codes: Sequence[bytes]) -> list[bytes]:
    """The structures of codes; together they take a fraction of the time."""
    return structure(BETWEEN.join(code.replace(BETWEEN, BLANK) for code in codes)).split(BETWEEN)


def structure(code: bytes) -> bytes:
    """A byte for each keyword, name, number and sign of bare code; parentheses and trailing commas are left out."""
    data = code.translate(LOWER) + bytes(LOAD)
    classes = np.frombuffer(data.translate(CLASSES), np.uint8)
    is_word = classes == WORD
    is_start = classes != NOTHING
    is_start[1:] &= ~(is_word[1:] & is_word[:-1])
    starts = np.flatnonzero(is_start)
    kinds = np.zeros(len(starts) + 2, np.uint8)  # with nothing at both ends, so that every word has neighbours
    kinds[1:-1] = classes[starts]
    at_words = np.flatnonzero(kinds == WORD)
    words = starts[at_words - 1]
    sizes = np.flatnonzero(is_word[:-1] > is_word[1:]) + 1 - words
    before, are_called = kinds[at_words - 1], kinds[at_words + 1] == OPENING
    are_members = (before == DOT) & (kinds[at_words - 2] != DOT)  # what ends a range, as in 1..n, is a name as others are
    kinds[at_words] = word_kinds(data, words, keys_of(data, words, sizes, are_called), are_members)
    commas = np.flatnonzero(kinds == COMMA)
    kinds[commas[IS_CLOSING[kinds[commas + 1]]]] = NOTHING
    return kinds.tobytes().translate(None, LEFT_OUT)


def structure_size(code: bytes) -> int:
    """How long the structure of bare code is, without what its words are."""
    classes = np.frombuffer(code.translate(CLASSES), np.uint8)
    is_word = classes == WORD
    is_start = classes != NOTHING
    is_start[1:] &= ~(is_word[1:] & is_word[:-1])
    kinds: bytes = classes[is_start].tobytes()
    return len(kinds.translate(None, LEFT_OUT)) - sum(map(kinds.count, TRAILING_COMMAS))


def word_kinds(data: bytes, words: Places, keys: Hashes, are_members: Flags) -> Codes:
    """The kinds of the words that begin at `words`. A member is of one of few kinds, by its name."""
    slots = (keys >> SLOT_SHIFT).view(np.int64)  # numpy is slow to index by unsigned numbers
    first = np.frombuffer(data, np.uint8)[words]
    names = np.where(are_members, FIRST_MEMBER + ((keys >> MEMBER_SHIFT) * MEMBERS >> MEMBER_BITS), KIND_BY_FIRST[first])
    found: Codes = np.where(SLOT_KEYS[slots] == keys, SLOT_KINDS[slots], names.astype(np.uint8))
    return found


def keys_of(data: bytes, words: Places, sizes: Places, are_called: Flags) -> Hashes:
    """What tells words apart: their first eight bytes, their lengths, and whether a parenthesis follows."""
    first_bytes = loads(data)[words] & FIRST_BYTES[np.minimum(sizes, LOAD)]
    keys: Hashes = first_bytes * MULTIPLIERS[0] + (2 * sizes + are_called).view(np.uint64) * MULTIPLIERS[1]
    return keys


def keyword_table() -> tuple[Hashes, Codes]:
    """The keys and kinds of the words that are known, each in the slot of its key. A keyword may be called as well."""
    keys, kinds = np.zeros(1 << SLOT_BITS, np.uint64), np.zeros(1 << SLOT_BITS, np.uint8)
    for kind, word in enumerate([*sorted(KEYWORDS), *sorted(CALLED)], start=FIRST_KEYWORD):
        for is_called in (True, False) if word in KEYWORDS else (True,):
            data = word.encode() + bytes(LOAD)
            (key,) = keys_of(data, np.array([0]), np.array([len(word)]), np.array([is_called]))
            assert not keys[key >> SLOT_SHIFT], f"{word} has the slot of another word"
            keys[key >> SLOT_SHIFT], kinds[key >> SLOT_SHIFT] = key, kind
    return keys, kinds


def loads(data: bytes) -> Hashes:
    """(len(data) - 7,) the eight bytes from each place on, as numbers."""
    return np.ndarray((len(data) - LOAD + 1,), np.dtype("<u8"), data, strides=(1,))


def window_hashes(data: bytes, width: int) -> Hashes:
    """(len(data) - width + 1,) hashes of the `width` bytes from each place on, from 8 to 64; none of shorter data."""
    count = len(data) - width + 1
    if count <= 0:
        return np.zeros(0, np.uint64)
    eights = loads(data)
    places = [*range(0, width - LOAD, LOAD), width - LOAD]
    mixed: Hashes = eights[:count] * MULTIPLIERS[0]
    for place, multiplier in zip(places[1:], MULTIPLIERS[1:], strict=False):
        mixed += eights[place : place + count] * multiplier
    mixed ^= mixed >> np.uint64(32)
    mixed *= MULTIPLIERS[-1]
    return mixed


SLOT_KEYS, SLOT_KINDS = keyword_table()
