"""Whether a value that is given to a password or a key can be one, or only stands for one.

Always holds: pure. A value of words, a path, a reference to a variable and a template are no secrets; without a digit and a
letter nothing is one.
"""

import re
from collections import Counter
from math import log2

STANDS_FOR_ONE = re.compile(
    r"example|sample|test|dummy|fake|mock|placeholder|change.?me|your|passw|passphrase|secret|token|credential|redacted"
    r"|key|x{3}|\*{3}|\.{3}|1234|abcd|foo|bar|baz|insert|replace|todo|default|qwerty|hidden|invalid|random|string|value",
    re.IGNORECASE,
)
REFERENCE = re.compile(r"[$%{}<>()\[\]]|://|^[./~@&:]|\\[nrt]|^[A-Za-z_][\w-]*(?:[./:][A-Za-z_][\w-]*)+$")
HEX = re.compile(r"[0-9a-fA-F-]+")
FEWEST_DIGITS = 3
LEAST_BITS, LEAST_HEX_BITS = 3.4, 3.0  # Shannon's entropy of a character


def is_password(value: str) -> bool:
    return has_both(value) and not STANDS_FOR_ONE.search(value) and not REFERENCE.search(value)


def is_key(value: str) -> bool:
    digits = sum(letter.isdigit() for letter in value)
    if digits < FEWEST_DIGITS or not has_both(value) or STANDS_FOR_ONE.search(value) or REFERENCE.search(value):
        return False
    return entropy(value) >= (LEAST_HEX_BITS if HEX.fullmatch(value) else LEAST_BITS)


def has_both(value: str) -> bool:
    return any(letter.isdigit() for letter in value) and any(letter.isalpha() for letter in value)


def entropy(value: str) -> float:
    """Shannon's entropy of a character of the value, in bits."""
    return -sum(count / len(value) * log2(count / len(value)) for count in Counter(value).values())
