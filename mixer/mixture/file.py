"""A mixture file: TOML in, a mixture out, each mistake said in one line with its place, value and remedy; and TOML out.

Always holds: what passes is valid under `grammar.schema` and its shares and pins can be kept; two texts that differ only
in comments or spacing are the same mixture; a file that extends a version gives the same as the file written out; `text_of`
a mixture parses to the same mixture.
"""

import copy
import json
import re
from collections.abc import Callable, Iterable, Sized
from typing import Any, NamedTuple

from msgspec import UnsetType

from mixer.errors import MixtureError
from mixer.faults import Fault, Path, check, fits
from mixer.mixture.curve import check_curve
from mixer.mixture.grammar import COMPONENT, Extension
from mixer.mixture.mixture import Component, Mixture, Word, count_tokens, document_of, label_of
from mixer.mixture.places import Places
from streamer.documents import toml_text
from streamer.errors import BadNameError, TomlError
from streamer.wording import did_you_mean, listed, plain, shown

MOST_SETTINGS = 1000  # of one [set] or one edit
Document = dict[str, Any]
Load = Callable[[str], Document]  # the document of `name@version`; raises MixtureError


class Parsed(NamedTuple):
    """A mixture, where its parts stand, and the version it extends."""

    mixture: Mixture
    places: Places
    extends: str | None


def parse_mixture(text: str, load: Load, name: str = "mixture") -> Parsed:
    """Raises: MixtureError that begins with `name:line:`."""
    text = text.removeprefix("\ufeff")
    document = parse_toml(text, name)
    places, extends = Places(name, document, text), document.get("extends")
    if "extends" in document:
        with places.named():
            document, moved = expand(document, load)
        places = Places(name, document, text, moved)
    with places.named():
        return Parsed(check_document(document), places, extends)


def parse_toml(text: str, name: str) -> Document:
    """Raises: MixtureError with the line and what stands there."""
    if not text.strip():
        raise MixtureError(f"{name}:1: the file is empty; it needs name, seq_len and [[component]], see docs/mixtures.md")
    try:
        return toml_text.parse_toml(text)
    except TomlError as error:
        if not error.grammar:
            raise MixtureError(f"{name}:{error.line}: {error.reason}") from error
        line = shown(text.split("\n")[error.line - 1].strip())
        raise MixtureError(f"{name}:{error.line}: {line} is not TOML: {error.reason}; correct the line") from error


def expand(document: Document, load: Load) -> tuple[Document, dict[Path, Path]]:
    """The document that a file with `extends` means, and what of it stands where in the file. Raises: Fault."""
    for key in document:
        if key in Mixture.__struct_fields__ and key not in Extension.__struct_fields__:
            raise Fault((key,), " cannot stand beside extends; change it with a line in [set], or leave extends out")
    extension = check(document, Extension)
    try:
        base = load(extension.extends)
    except (MixtureError, BadNameError) as error:
        raise Fault(("extends",), f" = {shown(extension.extends)}: {error}") from error
    check_count(extension.set, ("set",))
    check_count(extension.unset, ("unset",))
    found = {**copy.deepcopy(base), "name": document.get("name", base["name"])}
    moved: dict[Path, Path] = {("name",): ("name",)} if "name" in document else {}
    for key, value in extension.set.items():
        moved[assign(found, key, value, ("set", key))] = ("set", key)
    for place, key in enumerate(extension.unset):
        moved[remove(found, key, ("unset", place))] = ("unset", place)
    return found, moved


def change(document: Document, settings: dict[str, Any]) -> Document:
    """The document with settings such as {"synthetic.pin.python": 0.35}; None removes. Raises: Fault."""
    check_count(settings, ("set",))
    found = copy.deepcopy(document)
    for key, value in settings.items():
        if value is None:
            remove(found, key, ("set", key))
        else:
            assign(found, key, value, ("set", key))
    return found


def check_count(settings: Sized, at: Path) -> None:
    """Raises: Fault for more settings than one change may have."""
    if len(settings) > MOST_SETTINGS:
        raise Fault(at, f" has {len(settings):,} settings, and at most {MOST_SETTINGS:,} are read; write the mixture out")


def assign(document: Document, key: str, value: Any, at: Path) -> Path:
    """Sets COMPONENT.KEY or COMPONENT.KEY.ENTRY, which the file says `at` a path; returns its path in the document.

    Raises: Fault.
    """
    place, name, entry = target(document, key, at)
    table = document["component"][place]
    if entry is None:
        table[name] = value
        return ("component", place, name)
    before = table.get(name, COMPONENT[name].get("default", {}))
    if not isinstance(before, dict):
        whole = key.removesuffix("." + entry)
        raise Fault(at, f": {name} is {shown(before)}, not a table; set {whole} to a whole table or value")
    table.setdefault(name, {})[entry] = value
    return ("component", place, name, entry)


def remove(document: Document, key: str, at: Path) -> Path:
    """Takes a setting away. Raises: Fault when it is not there."""
    place, name, entry = target(document, key, at)
    table = document["component"][place]
    if name not in table or (entry is not None and (not isinstance(table[name], dict) or entry not in table[name])):
        raise Fault(at, f": there is no {plain(key)} to unset; the component says {listed(table)}; leave it out")
    if entry is None:
        del table[name]
        return ("component", place)
    del table[name][entry]
    return ("component", place, name)


def target(document: Document, key: str, at: Path) -> tuple[int, str, str | None]:
    """The component's place, the key and the entry that a setting means. Raises: Fault."""
    labels = [label_of(component) for component in document["component"]]
    fitting = [label for label in labels if key.startswith(f"{label}.")]
    if not fitting:
        first, have = key.split(".")[0], listed(labels)
        near = did_you_mean(first, labels)
        raise Fault(at, f": no component {plain(first)!r}; write COMPONENT.KEY with a component of {have}{near}")
    label = max(fitting, key=len)
    name, _, entry = key.removeprefix(f"{label}.").partition(".")
    if name not in COMPONENT:
        have = ", ".join(COMPONENT)
        near = did_you_mean(name, COMPONENT)
        raise Fault(at, f": {plain(name)!r} is not a key of a component; its keys are {have}{near}")
    return labels.index(label), name, entry or None


def parse_assignment(assignment: str) -> tuple[str, Any]:
    """(key, value) of `COMPONENT.KEY=VALUE`; VALUE is TOML or a bare word. Raises: MixtureError."""
    key, equals, value = assignment.partition("=")
    if not equals or "." not in key:
        raise MixtureError(f"--set {shown(assignment)}: write COMPONENT.KEY=VALUE, such as raw.pin.python=0.4")
    try:
        return key.strip(), toml_text.parse_value(value)
    except TomlError as error:
        raise MixtureError(f"--set {shown(assignment)}: {error.reason}") from error


def check_document(document: Document) -> Mixture:
    """Raises: Fault for unknown or missing keys, values out of bounds, shares and pins that cannot be kept."""
    for key in document:
        if key in Extension.__struct_fields__ and key not in Mixture.__struct_fields__:
            raise Fault((key,), f" needs extends = 'NAME@VERSION' beside it; add that, or leave {key} out")
    mixture = check(document, Mixture)
    check_labels(mixture)
    for place, component in enumerate(mixture.component):
        check_component(component, ("component", place))
    total = sum(component.share for component in mixture.component)
    if abs(total - 1) > 1e-9:
        shares = listed((f"{component.share:g}" for component in mixture.component), " + ")
        last = ("component", len(mixture.component) - 1, "share")
        raise Fault(last, f": the components' shares {shares} sum to {total:.10g}; they must sum to 1")
    return mixture


def check_labels(mixture: Mixture) -> None:
    places: dict[str, int] = {}
    for place, label in enumerate(component.label for component in mixture.component):
        if not fits(label, Word):
            streams = shown(mixture.component[place].streams)
            raise Fault(("component", place), f": the first word of {streams} cannot be a name; add name = with one word")
        if places.setdefault(label, place) < place:
            said = f"component number {places[label] + 1} is called {label!r} already; add name = with another word"
            raise Fault(("component", place), f": {said}")


def check_component(component: Component, path: Path) -> None:
    """What no rule of one value says. Raises: Fault."""
    within, pins = component.within, sum(component.pin.values())
    if isinstance(within, dict) and not any(within.values()):
        raise Fault((*path, "within"), ": its weights sum to 0; give one above 0")
    has = isinstance(component.temperature, float)
    if has and within != "temperature":
        raise Fault(
            (*path, "temperature"),
            f" = {component.temperature:g} says nothing while within = {shown(within)}; "
            'set within = "temperature", or leave temperature out',
        )
    if within == "temperature" and not has:
        title = COMPONENT["temperature"]["title"]
        raise Fault((*path, "within"), f" = 'temperature': temperature is missing; add temperature, {title}, such as 3.0")
    named = not isinstance(component.like, UnsetType)
    if named and within != "like":
        said = f" = {shown(component.like)} says nothing while within = {shown(within)}; "
        raise Fault((*path, "like"), f'{said}set within = "like", or leave like out')
    if within == "like" and not named:
        title = COMPONENT["like"]["title"]
        raise Fault((*path, "within"), f" = 'like': like is missing; add like, {title}")
    if pins > 1 + 1e-9:
        raise Fault(
            (*path, "pin"), f" = {shown(component.pin)}: its pins sum to {pins:.6g}; at most 1 is possible, lower one"
        )
    if not isinstance(component.curve, UnsetType):
        check_curve(component, component.curve, (*path, "curve"))
    if component.best_tokens is None:
        return
    best = shown(component.best_tokens)
    if isinstance(component.best_share, float):
        said = f" = {component.best_share:g}: best_tokens = {best} says already how much; leave one of them out"
        raise Fault((*path, "best_share"), said)
    if not count_tokens(component.best_tokens, "best_tokens"):
        raise Fault((*path, "best_tokens"), f" = {best}: it must be {COMPONENT['best_tokens']['title']}")


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
