"""A mixture as a value: frozen structs, the reference `name@version`, and its TOML.

Always holds: `text_of` of a mixture parses to the same mixture; what a mixture says that format mixture/1 could not say
is absent, not empty, where it is not said.
"""

import json
import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from mixer.errors import MixtureError
from streamer.catalog.names import check_word

SUFFIXES = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
NEWER_KEYS = ("temperature", "best_share")  # than format mixture/1


class Component(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A glob over the catalog and its share of the run's tokens. `mixture_schema.COMPONENT` says what each key means."""

    streams: str | list[str]
    share: float
    exclude: str | list[str] = []
    name: str | None = None
    within: str | dict[str, float] = "tokens"
    pin: dict[str, float] = {}
    best_tokens: str | int | None = None
    max_passes: int | None = None
    when_dry: str = "stop"
    temperature: float | UnsetType = UNSET
    best_share: float | UnsetType = UNSET

    @property
    def label(self) -> str:
        """`name`, or the first word of the first glob."""
        return self.name or next(iter(globs(self.streams)), "").split("/")[0]


class Mixture(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recipe for shares over streams."""

    name: str
    seq_len: int
    component: list[Component]


def globs(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def count_tokens(value: str | int, where: str) -> int:
    """Tokens of `"12.5B"`, `"40M"` or a number. Raises: MixtureError."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([KMBT]?)", str(value).replace("_", ""))
    if not found or len(found[1]) > 32:
        raise MixtureError(f"{where}: {value!r} is no number of tokens; write it like 12500000 or 12.5B")
    return int(Fraction(found[1]) * SUFFIXES.get(found[2], 1))


def split_reference(reference: str) -> tuple[str, int | None]:
    """("enhanced", 3) of `enhanced@3`, ("enhanced", None) of `enhanced`. Raises: MixtureError."""
    name, at, version = reference.partition("@")
    check_word(name, what="mixture")
    if at and not (version.isascii() and version.isdigit() and len(version) < 10 and version[0] != "0"):
        raise MixtureError(f"{reference!r}: a version is a number from 1, as in {name}@1")
    return name, int(version) if at else None


def document_of(mixture: Mixture) -> dict[str, Any]:
    """The mixture as a file says it, without what only repeats a default."""
    found: dict[str, Any] = msgspec.to_builtins(mixture)
    default = msgspec.to_builtins(Component(streams="", share=0.0))
    found["component"] = [
        {key: value for key, value in component.items() if key not in default or value != default[key] or key == "share"}
        for component in found["component"]
    ]
    return found


def text_of(mixture: Mixture, comments: Iterable[str] = ()) -> str:
    """The mixture in TOML, always the same."""
    document = document_of(mixture)
    lines = [*(f"# {comment}" for comment in comments), f"name = {toml(mixture.name)}", f"seq_len = {mixture.seq_len}"]
    for component in document["component"]:
        lines += ["", "[[component]]", *(f"{key} = {toml(value)}" for key, value in component.items())]
    return "\n".join(lines) + "\n"


def toml(value: Any) -> str:
    """A scalar, list or flat table as TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml_key(key)} = {toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml(inner) for inner in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else repr(value)


def toml_key(key: str) -> str:
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else toml(key)
