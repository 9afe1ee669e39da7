"""Whether what looks like a secret can be one, or only stands for one.

Always holds: pure. What is given to a password or a key is no secret when it is made of words, or is a path, a reference
to a variable or a template.
"""

import re
from collections import Counter
from math import log2
from string import digits

STANDS_FOR_ONE = re.compile(
    r"example|sample|test|dummy|fake|mock|placeholder|change.?me|your|passw|passphrase|secret|token|credential|redacted"
    r"|x{4}|\*{3}|\.{3}|1234|abcd|foobar|insert|replace|todo|default|qwerty|hidden|invalid|random|string|value"
    r"|\b(?:foo|bar|baz|key)\b",
    re.IGNORECASE,
)
REFERENCE = re.compile(r"[{}<>()\[\]]|\$[A-Za-z]|%[sdr]|://|^[./~@&:]|\\[nrt]|^[A-Za-z_][\w-]*+(?:[./:][A-Za-z_][\w-]*+)++$")
HEX = re.compile(r"[0-9a-fA-F-]+")
IDENTIFIER = re.compile(r"[a-z]{0,40}(?:[A-Z][a-z]{1,40}){2,20}[A-Z]?")  # words in camel case
SAMPLE = re.compile(r"example|\.{3}|\bYOUR|<[A-Za-z_ -]{1,40}>|\$[A-Z_]{3}", re.IGNORECASE)
MATERIAL = re.compile(r"[A-Za-z0-9+/=]{40}")
WORD = re.compile(r"[a-z]{3,}+|[A-Z]{4,}+")
NO_DIGITS = str.maketrans("", "", digits)
MOST_IN_WORDS = 0.6  # of a random string it is a fifth
FEW_DIGITS = 3
SHORTEST_HEX = 32  # a shorter one is a hash of 64 bits
LEAST_BITS, LEAST_HEX_BITS = 3.4, 3.0  # Shannon's entropy of a character


def can_be_secret(value: str) -> bool:
    """Whether what a rule of the detector found is no identifier, no sample, and no private key without a key."""
    if value.startswith("-----BEGIN") and not MATERIAL.search(value):
        return False
    return not IDENTIFIER.fullmatch(value) and not SAMPLE.search(value)


def is_password(value: str) -> bool:
    return is_mixed(value) and not STANDS_FOR_ONE.search(value) and not REFERENCE.search(value)


def is_key(value: str) -> bool:
    if not is_password(value) or (has_few_digits(value) and is_of_words(value)):
        return False
    if HEX.fullmatch(value):
        return len(value) >= SHORTEST_HEX and entropy(value) >= LEAST_HEX_BITS
    return entropy(value) >= LEAST_BITS


def has_few_digits(value: str) -> bool:
    return sum(letter.isdigit() for letter in value) < FEW_DIGITS


def is_of_words(value: str) -> bool:
    """Whether a value is a name in camel case, or much of it runs of letters of one case, unlike a random string."""
    if IDENTIFIER.fullmatch(value.translate(NO_DIGITS)):
        return True
    return sum(len(word[0]) for word in WORD.finditer(value)) > MOST_IN_WORDS * len(value)


def is_mixed(value: str) -> bool:
    """Whether a value has letters and digits, or letters of both cases that make no words."""
    has_letters, has_digits = any(map(str.isalpha, value)), any(map(str.isdigit, value))
    has_both_cases = any(map(str.islower, value)) and any(map(str.isupper, value))
    return (has_letters and has_digits) or (has_both_cases and not is_of_words(value))


def entropy(value: str) -> float:
    """Shannon's entropy of a character of the value, in bits."""
    return -sum(count / len(value) * log2(count / len(value)) for count in Counter(value).values())
