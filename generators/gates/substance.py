"""Whether a file has something in it: code, bodies of functions, and lines that are not the same ones again.

Always holds: each measure is a share or a count that the verdict names; none depends on anything but the text.
"""

import re
import zlib
from collections import Counter

from streamer.likeness.code_views import structure_size

# Of code without comments and strings, each of which is one blank byte.
SIGNATURE = rb"\((?:[^()]++|\((?:[^()]++|\([^()]*+\))*+\))*+\)"
NOTHING = rb"(?:\x01|;|\s|return(?: (?:None|null|nil|undefined))?(?![ \w])|pass|\.\.\."
NOTHING += rb"|(?:raise|throw|panic|fatalError|todo|unimplemented|TODO|die|exit|preconditionFailure)\b[^\n{}]*+)*+"
PYTHON_FUNCTION = re.compile(rb"^[ \t]*+(?:async )?def \w++" + SIGNATURE, re.MULTILINE)
PYTHON_STUB = re.compile(
    rb"^([ \t]*+)(?:async )?def \w++" + SIGNATURE + rb"[^:\n]*+:"
    + NOTHING.replace(rb"|\s", rb"|[ \t]|\n\1[ \t]++|\n(?=[ \t]*+\n)")
    + rb"$(?!\s*+\n\1[ \t])",
    re.MULTILINE,
)  # fmt: skip
RUBY_FUNCTION = re.compile(rb"^[ \t]*+def [^\n]++", re.MULTILINE)
RUBY_STUB = re.compile(
    rb"^[ \t]*+def [^\n]++(?:\s{1,40}+(?:\x01|nil|raise\b[^\n]{0,200}+)){0,3}+\s{1,40}+end\b", re.MULTILINE
)
NO_NAME = rb"(?:if|for|while|switch|catch|elseif|foreach|using|lock|match|when|guard|synchronized|with|function|fn|func)"
BRACED = rb"\b(?!" + NO_NAME + rb"\b)\w++ ?"
BRACED += SIGNATURE + rb"(?! else\b)[^(){};=\n]{0,80}+\s*+\{"
BRACED_FUNCTIONS = re.compile(BRACED), re.compile(BRACED + NOTHING + rb"\}")
EMPTY_BODY = re.compile(rb"\{\s*+\}$")
LEAST_EMPTY = 3  # functions without a word in their bodies tell nothing where they are fewer, or others are not
SCALA_FUNCTION = re.compile(rb"\bdef \w")
SCALA_STUB = re.compile(
    rb"^[ \t]*+(?:(?:override|private|protected|final|implicit) )*+def \w++[^=\n?]*+= ?\{?\n? *+(?:\?\?\?|\x01\n)",
    re.MULTILINE,
)
FUNCTIONS = {
    "scala": (SCALA_FUNCTION, SCALA_STUB),
    "python": (PYTHON_FUNCTION, PYTHON_STUB),
    "ruby": (RUBY_FUNCTION, RUBY_STUB),
}
INK = b" \t\r\n\x01"
NO_DIGITS = str.maketrans("", "", "0123456789")
TELLING = 8  # characters of a line that is no mere bracket


def code_size(code: bytes) -> int:
    """How many words and signs bare code has, parentheses not counted."""
    return structure_size(code)


def code_share(code: bytes, text: bytes) -> float:
    """Which share of a text's bytes is code that is no white space."""
    return len(code.translate(None, INK)) / max(1, len(text))


def stub_share(code: bytes, language: str) -> float:
    """Which share of the functions has a body that does nothing but `pass`, raise or return null; 0 without functions.

    Empty braces are a body as good as any, a constructor's for instance, unless all functions do nothing.
    """
    function, stub = FUNCTIONS.get(language, BRACED_FUNCTIONS)
    functions = len(function.findall(code))
    stubs = [found[0] for found in stub.finditer(code)]
    if not stubs or (len(stubs) >= functions >= LEAST_EMPTY):
        return float(bool(stubs))
    return sum(EMPTY_BODY.search(one) is None for one in stubs) / functions


def distinct_share(text: str) -> float:
    """Which share of the lines that are not blank is no repetition of another one, or of the commonest one that tells.

    Lines that differ in their digits alone are the same.
    """
    lines = [line.strip() for line in text.translate(NO_DIGITS).splitlines()]
    counts = Counter(line for line in lines if line)
    total = counts.total()
    most = max((count for line, count in counts.items() if len(line) >= TELLING), default=0)
    return min(len(counts), total - most + 1) / max(1, total)


def compressed_share(text: bytes) -> float:
    """To which share of its size a text is compressed by zlib's quickest level."""
    return len(zlib.compress(text, 1)) / max(1, len(text))
