"""What is wrong with a mixture, named by its path in the document; and how errors show a value."""

import difflib
from collections.abc import Iterable
from typing import Any

from mixer.errors import MixtureError

Path = tuple[str | int, ...]
LONGEST = 60


class Fault(MixtureError):
    """A mistake at a path of a mixture's document. `said` follows the name of that place, or of `of` where it is given.

    Who knows where the document came from names the place too: `Places.name`.
    """

    def __init__(self, path: Path, said: str, *, of: Path | None = None) -> None:
        self.path, self.said, self.of = path, said, path if of is None else of
        super().__init__(f"{dotted(self.of) or 'the mixture'}{said}")


def dotted(path: Path) -> str:
    """`pin.python`, `streams[2]`; what is odd is quoted, so that it stays on one line."""
    words = (f"[{word + 1}]" if isinstance(word, int) else f".{plain(word)}" for word in path)
    return "".join(words).removeprefix(".")


def plain(word: str) -> str:
    return word if word.isprintable() and word and len(word) <= LONGEST else shown(word)


def shown(value: Any) -> str:
    """A value in an error: one line, not long."""
    try:
        text = repr(value)
    except ValueError:
        text = f"a number of {value.bit_length()} bits"
    except RecursionError:
        text = "a value of many levels"
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'share'?` or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
