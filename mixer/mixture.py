"""The mixture document: TOML in, a frozen struct out, its text form, and the reference `name@version`.

Always holds: unknown keys are refused; shares sum to 1 within 1e-9; two texts that differ only in comments or spacing
are the same mixture.
"""

import re
import tomllib
from fractions import Fraction
from typing import Any

import msgspec

from mixer.errors import MixtureError
from streamer.names import check_word

SUFFIXES = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
WHEN_DRY = ("stop", "wait", "share")
MOST_PASSES = 2**31 - 1
MOST_SEQ_LEN = 2**24


class Component(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A glob over the catalog and its share of the run's tokens."""

    streams: str | list[str]
    share: float
    exclude: str | list[str] = []
    name: str | None = None
    within: str | dict[str, float] = "tokens"
    pin: dict[str, float] = {}
    best_tokens: str | int | None = None
    max_passes: int | None = None
    when_dry: str = "stop"

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
    if not found:
        raise MixtureError(f"{where}: {value!r} is no number of tokens; write it like 12500000 or 12.5B")
    return int(Fraction(found[1]) * SUFFIXES.get(found[2], 1))


def parse_mixture(text: str) -> Mixture:
    """Raises: MixtureError that names the line, or the table and key."""
    try:
        return check_mixture(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise MixtureError(f"mixture: {error}; correct the TOML there") from error


def check_mixture(document: dict[str, Any]) -> Mixture:
    """Raises: MixtureError for unknown keys, shares that do not sum to 1, and values out of bounds."""
    try:
        mixture = msgspec.convert(document, Mixture)
    except msgspec.ValidationError as error:
        raise MixtureError(f"mixture: {error}; see docs/mixtures.md for the keys") from error
    check_word(mixture.name, what="mixture")
    if not 1 <= mixture.seq_len <= MOST_SEQ_LEN:
        raise MixtureError(f"mixture {mixture.name}: seq_len = {mixture.seq_len} is outside 1 to {MOST_SEQ_LEN}")
    labels = [component.label for component in mixture.component]
    for label in labels:
        if labels.count(label) > 1 or "*" in label or not label:
            raise MixtureError(f"mixture {mixture.name}: component {label!r} needs a name = of its own")
    for component in mixture.component:
        check_component(f"mixture {mixture.name}, component {component.label}", component)
    total = sum(component.share for component in mixture.component)
    if abs(total - 1) > 1e-9:
        raise MixtureError(f"mixture {mixture.name}: the components' shares sum to {total:.10g}; they must sum to 1")
    return mixture


def check_component(where: str, component: Component) -> None:
    if not 0 <= component.share <= 1:
        raise MixtureError(f"{where}: share = {component.share} is outside 0 to 1")
    if isinstance(component.within, str) and component.within not in ("tokens", "equal"):
        raise MixtureError(f"{where}: within = {component.within!r}; use 'tokens', 'equal' or a table of weights")
    if isinstance(component.within, dict):
        for key, weight in component.within.items():
            if not 0 <= weight < float("inf"):
                raise MixtureError(f"{where}: within.{key} = {weight} is no weight; give a number from 0")
        if not any(component.within.values()):
            raise MixtureError(f"{where}: its weights in within sum to 0; give one above 0")
    for key, share in component.pin.items():
        if not 0 <= share <= 1:
            raise MixtureError(f"{where}: pin.{key} = {share} is outside 0 to 1")
    if sum(component.pin.values()) > 1 + 1e-9:
        raise MixtureError(f"{where}: its pins sum to {sum(component.pin.values()):.6g}; at most 1 is possible")
    if component.max_passes is not None and not 1 <= component.max_passes <= MOST_PASSES:
        raise MixtureError(
            f"{where}: max_passes = {component.max_passes} is outside 1 to {MOST_PASSES}; leave it out for no limit"
        )
    if component.when_dry not in WHEN_DRY:
        raise MixtureError(f"{where}: when_dry = {component.when_dry!r}; use one of {', '.join(WHEN_DRY)}")
    if component.best_tokens is not None:
        count_tokens(component.best_tokens, f"{where}: best_tokens")


def edit(document: dict[str, Any], assignment: str) -> dict[str, Any]:
    """The document with `COMPONENT.KEY=VALUE` (or `COMPONENT.pin.KEY=VALUE`) applied. Raises: MixtureError."""
    path, equals, value = assignment.partition("=")
    words = path.strip().split(".")
    components = {Component(streams=c["streams"], share=0.0, name=c.get("name")).label: c
                  for c in document["component"]}  # fmt: skip
    if not equals or len(words) < 2 or words[0] not in components:
        raise MixtureError(f"--set {assignment!r}: write COMPONENT.KEY=VALUE with a component of {', '.join(components)}")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    table = components[words[0]]
    for word in words[1:-1]:
        table = table.setdefault(word, {})
        if not isinstance(table, dict):
            raise MixtureError(f"--set {assignment!r}: {word} is a value, not a table; write {words[0]}.{word}=VALUE")
    table[words[-1]] = parsed
    return document


def split_reference(reference: str) -> tuple[str, int | None]:
    """("enhanced", 3) of `enhanced@3`, ("enhanced", None) of `enhanced`. Raises: MixtureError."""
    name, at, version = reference.partition("@")
    check_word(name, what="mixture")
    if at and not (version.isascii() and version.isdigit() and int(version) >= 1):
        raise MixtureError(f"{reference!r}: a version is a number from 1, as in {name}@1")
    return name, int(version) if at else None
