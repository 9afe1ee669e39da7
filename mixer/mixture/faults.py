"""What is wrong with a mixture, named by its path in the document; and how errors show a value."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from mixer.errors import MixtureError

Path = tuple[str | int, ...]
LONGEST = 60


class Fault(MixtureError):
    """A mistake at a path of a mixture's document. `said` follows the name of that place, or of `of` where it is given.

    Who knows the document says it; who knows the text that it came from, with its line: `Places.named`.
    """

    def __init__(self, path: Path, said: str, *, of: Path | None = None) -> None:
        self.path, self.said, self.of = path, said, path if of is None else of
        super().__init__(f"{dotted(self.of) or 'the mixture'}{said}")

    def say(self, document: Mapping[str, Any]) -> str:
        """`component synthetic, pin.python = 2: it must be ...`."""
        if self.of[:1] != ("component",) or len(self.of) < 2:
            return str(self)
        label = label_of(document["component"][self.of[1]])
        called = f"component {label}" if label else f"component number {int(self.of[1]) + 1}"
        return called + (f", {dotted(self.of[2:])}" if self.of[2:] else "") + self.said


def label_of(component: Any) -> str:
    """`name`, or the first word of the first glob; whatever the document holds."""
    if not isinstance(component, Mapping):
        return ""
    if component.get("name"):
        return str(component["name"])
    globs = component.get("streams")
    first = globs[0] if isinstance(globs, list) and globs else globs
    return first.split("/")[0] if isinstance(first, str) else ""


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
