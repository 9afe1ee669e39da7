"""The words a name may consist of, checked before a path is made of it (DESIGN section 5)."""

import re

from streamer.errors import BadNameError
from streamer.wording import shown

WORD = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
LONGEST_GLOB = 400  # characters; a glob is made into a regex, in time that grows with the square of its brackets
SINGLE_WORD = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def check_stream_name(name: str) -> str:
    """Returns `name` if it is two to six words joined by `/`. Raises: BadNameError."""
    words = name.split("/")
    if not 2 <= len(words) <= 6 or not all(WORD.fullmatch(word) for word in words):
        raise BadNameError(
            f"{shown(name)} cannot be the name of a stream: use two to six words joined by '/', each of a-z, 0-9 and "
            "'._@-', at most 64 long, that begin with a letter or digit, such as raw/python"
        )
    return name


def packed_again(name: str, seq_len: int) -> str:
    """What a stream is called whose samples are packed again: `raw-512/go` for `raw/go`. Raises: BadNameError."""
    kind, _, rest = name.partition("/")
    return check_stream_name(f"{kind}-{seq_len}/{rest}")


def kind_of(name: str) -> str:
    """The kind of a stream, whatever length its samples were packed to again: `heldout` of `heldout-512/go`."""
    word = name.partition("/")[0]
    kind, _, length = word.rpartition("-")
    return kind if kind and length.isdecimal() else word


def check_word(name: str, *, what: str) -> str:
    """Returns `name` if a mixture, run or pool (`what`) may have it. Raises: BadNameError."""
    if not SINGLE_WORD.fullmatch(name):
        near = re.sub(r"[^a-z0-9._-]+", "-", name[:64].lower()).lstrip("._-")
        raise BadNameError(
            f"{shown(name)} cannot be the name of a {what}: use one word of a-z, 0-9 and '._-' that begins with a letter or "
            f"digit, at most 64 long{f', such as {near}' if near else ''}"
        )
    return name


def check_glob(glob: str) -> str:
    """Returns a glob that is no longer than what is matched needs. Raises: BadNameError."""
    if len(glob) > LONGEST_GLOB:
        raise BadNameError(
            f"the glob {shown(glob)} has {len(glob):,} characters; at most {LONGEST_GLOB} are read, shorten it"
        )
    return glob


def whole_text(text: str) -> str:
    """The text with `?` for what UTF-8 cannot hold, as halves of surrogate pairs from a terminal's bytes."""
    return text.encode("utf-8", "replace").decode()
