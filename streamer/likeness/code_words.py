"""The words of a file's code: identifiers in any script, numbers, and signs one by one; comments and white space are none.

Always holds: the same text gives the same numbers on every machine; time is linear in the text, without a step of the
interpreter for each word.

How: numpy cuts a text into words by a table of characters. The number of a word comes from a sum over the text of each
character times a power of an odd number: what lies between two places is a difference of two such sums, and the inverse of a
power moves it to the front. The number of a run of words comes from their numbers in the same way.
"""

import re
import zlib
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

STRING = r'"(?:[^"\\\n]|\\.)*+"|\'(?:[^\'\\\n]|\\.)*+\''
SLASHES = r"//[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)"
HASH, DASHES = r"#[^\n]*+", r"--[^\n]*+"
LINES = {
    "python": HASH, "ruby": HASH, "shell": HASH, "jupyter-notebook": HASH, "php": f"{SLASHES}|{HASH}",
    "sql": rf"{DASHES}|/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)",
}  # fmt: skip
KEYWORDS = frozenset((  # no language's whole list: words that hardly any language lets be names
    "and", "async", "await", "break", "case", "catch", "class", "const", "continue", "def", "do", "else",
    "elif", "elsif", "enum", "except", "false", "final", "finally", "fn", "for", "func", "function", "if",
    "import", "in", "interface", "is", "lambda", "let", "namespace", "new", "nil", "none", "not", "null", "or",
    "package", "private", "protected", "public", "raise", "return", "static", "struct", "super", "switch",
    "this", "throw", "throws", "true", "try", "void", "while", "with", "yield",
))  # fmt: skip
SPACE, SIGN, LETTER, DIGIT, OTHER = range(5)  # what a character is; from LETTER on it is a part of a word
NAME, NUMBER = (
    np.uint64(0x6E616D65),
    np.uint64(0x6E756D62),
)  # what names and numbers count as where only the structure matters
BASE = 0xD1342543DE82EF95
INVERSE = pow(BASE, -1, 1 << 64)
LIMITS = (1 << 7, 1 << 16, 0x110000)  # of codes, up to which tables are made
SHIFT, MIXER = np.uint64(32), np.uint64(0xFF51AFD7ED558CCD)
Hashes = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.uint8] | npt.NDArray[np.uint32]
Places = npt.NDArray[np.int64]

ESCAPED = r"\\."  # outside of strings too; else each escaped quote behind an open one is looked at to the end of its line
PATTERNS = {language: re.compile(f"{ESCAPED}|{STRING}|{lines}") for language, lines in {**LINES, "": SLASHES}.items()}


def without_comments(text: str, language: str) -> str:
    """A text with a space in place of each comment. Strings are told from comments, but for those over several lines."""
    pattern = PATTERNS.get(language, PATTERNS[""])
    return pattern.sub(lambda found: found[0] if found[0][0] in "\"'\\" else " ", text)


class Words(NamedTuple):
    """Where the words of a text begin and end, their numbers, and the same with all names and all numbers alike."""

    starts: Places
    ends: Places
    numbers: Hashes
    kinds: Hashes


def code_words(text: str, language: str) -> Words:
    """The words of the code; those of the comments too in a text that has hardly anything else."""
    words = find_words(without_comments(text, language))
    return words if len(words.starts) else find_words(text)


def find_words(text: str) -> Words:
    """The words of a text, comments among them."""
    codes = codes_of(text)
    classes = classes_to(next(limit for limit in LIMITS if not len(codes) or codes.max() < limit))[codes]
    is_word = classes >= LETTER
    is_start = classes != SPACE
    is_start[1:] &= ~(is_word[1:] & is_word[:-1])
    starts = np.flatnonzero(is_start)
    first, ends = classes[starts], starts + 1
    ends[first >= LETTER] = np.flatnonzero(is_word & ~np.append(is_word[1:], False)) + 1
    numbers = sums_between(codes, starts, ends)
    keywords = keyword_numbers()
    is_keyword = keywords[np.searchsorted(keywords[1:], numbers, side="right")] == numbers
    kinds = np.where(first == DIGIT, NUMBER, np.where((first == LETTER) & ~is_keyword, NAME, numbers))
    return Words(starts, ends, numbers, kinds)


def codes_of(text: str) -> Codes:
    """(characters,) what each character's code is."""
    if text.isascii():
        return np.frombuffer(text.encode(), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def sums_between(values: npt.NDArray[Any], starts: Places | slice, ends: Places | slice) -> Hashes:
    """A number for each piece of an array, equal for equal pieces wherever they stand."""
    sums = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values * powers_of(BASE, len(values)), out=sums[1:])
    found: Hashes = (sums[ends] - sums[starts]) * powers_of(INVERSE, len(values) + 1)[starts]
    found ^= found >> SHIFT
    found *= MIXER
    found ^= found >> SHIFT
    return found


POWERS: dict[int, Hashes] = {}


def powers_of(base: int, count: int) -> Hashes:
    """(count,) the powers of an odd number from 0 on, modulo 2**64; those of the longest text so far are kept."""
    kept = POWERS.get(base)
    if kept is None or len(kept) < count:
        kept = np.full(max(count, 1 << 16), base, np.uint64)
        kept[0] = 1
        POWERS[base] = np.multiply.accumulate(kept, out=kept)
    return kept[:count]


def class_of(character: str) -> int:
    if character.isalpha() or character == "_":
        return LETTER
    if character.isdigit():
        return DIGIT
    return OTHER if character.isalnum() else SPACE if character.isspace() else SIGN


@cache
def classes_to(limit: int) -> Codes:
    """(limit,) what each character is; all of them take a fifth of a second."""
    return np.fromiter(map(class_of, map(chr, range(limit))), np.uint8, limit)


@cache
def keyword_numbers() -> Hashes:
    """The numbers of the keywords, in the cases in which languages write them, sorted."""
    forms = [form for word in KEYWORDS for form in (word, word.upper(), word.capitalize())]
    return np.sort([sums_between(codes_of(form), np.array([0]), np.array([len(form)]))[0] for form in forms])


def shingle_hashes(numbers: Hashes, length: int) -> Hashes:
    """64-bit hashes of the runs of so many words; of all words together when there are fewer."""
    if len(numbers) < length:
        return np.array([zlib.crc32(numbers.tobytes()) << 32 | len(numbers)], np.uint64)
    return sums_between(numbers, slice(None, -length), slice(length, None))
