"""The words of a file's code: identifiers in any script, numbers, and signs one by one; comments and white space are none.

Always holds: the same text gives the same numbers on every machine; time is linear in the text.
"""

import re
import zlib

import numpy as np
import numpy.typing as npt

WORD = re.compile(r"\w++|[^\w\s]")
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
NAME, NUMBER = 0x6E616D65, 0x6E756D62  # what names and numbers count as where only the structure matters
Hashes = npt.NDArray[np.uint64]


class Numbers(dict[str, int]):
    """Words to 32-bit numbers, remembered; forgotten when there are too many."""

    def __missing__(self, word: str) -> int:
        if len(self) > 1 << 20:
            self.clear()
        number = self[word] = self.number_of(word)
        return number

    def number_of(self, word: str) -> int:
        return zlib.crc32(word.encode("utf-8", "surrogatepass"))


class Kinds(Numbers):
    """The same with one number for all names, and one for all numbers."""

    def number_of(self, word: str) -> int:
        if word[0].isdigit():
            return NUMBER
        if (word[0].isalpha() or word[0] == "_") and word.lower() not in KEYWORDS:
            return NAME
        return super().number_of(word)


NUMBERS, KINDS = Numbers(), Kinds()
ESCAPED = r"\\."  # outside of strings too; else each escaped quote behind an open one is looked at to the end of its line
PATTERNS = {language: re.compile(f"{ESCAPED}|{STRING}|{lines}") for language, lines in {**LINES, "": SLASHES}.items()}


def without_comments(text: str, language: str) -> str:
    """A text with a space in place of each comment. Strings are told from comments, but for those over several lines."""
    pattern = PATTERNS.get(language, PATTERNS[""])
    return pattern.sub(lambda found: found[0] if found[0][0] in "\"'\\" else " ", text)


def code_words(text: str, language: str) -> list[str]:
    """The words of the code; those of the comments too in a text that has hardly anything else."""
    words: list[str] = WORD.findall(without_comments(text, language))
    return words if words else WORD.findall(text)


def shingle_hashes(words: list[str], length: int, numbers: Numbers = NUMBERS) -> Hashes:
    """Distinct 64-bit hashes of the runs of so many words; of all words together when there are fewer."""
    hashes = np.fromiter((numbers[word] for word in words), np.uint64, len(words))
    if len(hashes) < length:
        return np.array([zlib.crc32(hashes.tobytes()) << 32 | len(hashes)], np.uint64)
    count = len(hashes) - length + 1
    mixed = np.zeros(count, np.uint64)
    with np.errstate(over="ignore"):
        for place in range(length):
            multiplier = np.uint64(pow(0x9E3779B97F4A7C15, place + 1, 2**64) | 1)
            mixed ^= (hashes[place : place + count] + np.uint64(place + 1)) * multiplier
            mixed = (mixed << np.uint64(23)) | (mixed >> np.uint64(41))
    return np.unique(mixed)
