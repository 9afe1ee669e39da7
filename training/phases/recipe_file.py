"""Files of recipes, those that come along, and what a recipe means that extends another one.

Always holds: a recipe with `extends = "NAME"` means the other recipe with its own keys in place of that one's, table by
table. A mistake is named with the file and the line that says it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from mixer.faults import Path as Keys
from mixer.mixture.places import line_of
from streamer.documents.toml_text import parse_toml
from streamer.errors import TomlError
from streamer.wording import did_you_mean, listed, shown
from training.errors import RecipeError

DEFAULT = "laptop"
DEEPEST = 8  # recipes that extend each other


class Layer(NamedTuple):
    """One file of a recipe: its name, text and document, without the line that extends."""

    name: str
    text: str
    document: dict[str, Any]


def included() -> list[str]:
    """The names of the recipes that come along."""
    shelf = files("training").joinpath("recipes")
    return sorted(path.name.removesuffix(".toml") for path in shelf.iterdir() if path.name.endswith(".toml"))


def read_recipe(name: str | None, *, beside: Path = Path()) -> tuple[str, str]:
    """(name, text) of a recipe that comes along, `laptop` without a name, or of a file. Raises: RecipeError."""
    name = name or DEFAULT
    if name in included():
        return f"{name}.toml", files("training").joinpath("recipes", f"{name}.toml").read_text()
    path = beside / name
    try:
        return str(path), path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise RecipeError(
            f"recipe {path} cannot be read: {why}; give a TOML file, or one of {listed(included())}"
            f"{did_you_mean(name, included())}"
        ) from error


def read_layers(name: str, text: str) -> list[Layer]:
    """A recipe and those that it extends, itself first. Raises: RecipeError."""
    layers: list[Layer] = []
    while True:
        try:
            document = parse_toml(text)
        except TomlError as error:
            raise RecipeError(f"recipe {name} cannot be read as TOML: {error}; correct the file") from error
        base = document.pop("extends", None)
        layers.append(Layer(name, text, document))
        if base is None:
            return layers
        where = place_of(layers[-1:], ("extends",))
        if not isinstance(base, str) or not base:
            raise RecipeError(f"{where}: extends = {shown(base)} must be the name of a recipe, such as {DEFAULT!r}")
        if len(layers) == DEEPEST:
            raise RecipeError(f"{where}: more than {DEEPEST} recipes extend each other, or they do so in a circle")
        name, text = read_recipe(base, beside=Path(name).parent)


def merge(layers: list[Layer]) -> dict[str, Any]:
    """What the layers mean together: the first that says a key decides it."""
    document: dict[str, Any] = {}
    for layer in reversed(layers):
        document = overlay(document, layer.document)
    return document


OTHER = {"steps": "tokens", "tokens": "steps", "decay_steps": "decay_share", "decay_share": "decay_steps"}  # one of each two


def overlay(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A table with another one's keys in place of its own, and so for the tables in it.

    Of two keys that say the same thing in two ways, the one that is given takes the other's place.
    """
    merged = {key: value for key, value in under.items() if not (OTHER.get(key) in over and key not in over)}
    for key, value in over.items():
        both = isinstance(value, dict), isinstance(merged.get(key), dict)
        merged[key] = overlay(merged[key] if all(both) else {}, value) if both[0] else value
    return merged


def place_of(layers: list[Layer], path: Keys) -> str:
    """`recipe NAME:LINE` of what says a path, or else the longest part of it."""
    layer = max(layers, key=lambda layer: depth(layer.document, path))
    return f"recipe {layer.name}:{line_of(layer.text, path)}"


def depth(document: Any, path: Keys) -> int:
    """How many keys of a path a document has."""
    for count, key in enumerate(path):
        if not isinstance(document, dict) or key not in document:
            return count
        document = document[key]
    return len(path)
