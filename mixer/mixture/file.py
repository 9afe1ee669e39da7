"""A mixture file: TOML in, a mixture out, each mistake said in one line with its place, value and remedy.

Always holds: what passes is valid under `mixture_schema` and its shares and pins can be kept; two texts that differ only
in comments or spacing are the same mixture; a file that extends a version gives the same as the file written out.
"""

import copy
from collections.abc import Callable, Iterable, Sized
from typing import Any, NamedTuple

import msgspec

from mixer.errors import MixtureError
from mixer.mixture.grammar import COMPONENT, EXTENDED, TOP, WHOLE, Path, find_fault
from mixer.mixture.mixture import Component, Mixture, count_tokens
from mixer.mixture.places import Places, did_you_mean, label_of, plain, shown
from streamer.documents import toml_text
from streamer.errors import BadNameError, TomlError

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
    places = Places(name, document, text)
    extends = document.get("extends")
    if "extends" in document:
        document, places = expand(document, places, load)
    return Parsed(check_document(document, places), places, extends)


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
        raise MixtureError(f"{name}:{error.line}: {line} is no TOML: {error.reason}; correct the line") from error


def expand(document: Document, places: Places, load: Load) -> tuple[Document, Places]:
    """The document that a file with `extends` means. Raises: MixtureError."""
    for key in document:
        if key in TOP and key not in EXTENDED:
            raise MixtureError(
                f"{places.say(key)} cannot stand beside extends; change it with a line in [set], or leave extends out"
            )
        check_key(places, (key,), EXTENDED)
        check_value(places, (key,), document[key], TOP[key])
    try:
        base = load(document["extends"])
    except (MixtureError, BadNameError) as error:
        raise MixtureError(f"{places.say('extends')} = {shown(document['extends'])}: {error}") from error
    for key in ("set", "unset"):
        check_count(document.get(key, ()), places.say(key))
    found = {**copy.deepcopy(base), "name": document.get("name", base["name"])}
    moved: dict[Path, Path] = {("name",): ("name",)} if "name" in document else {}
    for key, value in document.get("set", {}).items():
        moved[assign(found, key, value, places.say("set", key))] = ("set", key)
    for place, key in enumerate(document.get("unset", [])):
        moved[remove(found, key, places.say("unset", place))] = ("unset", place)
    return found, Places(places.name, found, places.text, moved)


def change(document: Document, settings: dict[str, Any], said: str) -> Document:
    """The document with settings such as {"synthetic.pin.python": 0.35}; None removes. Raises: MixtureError."""
    check_count(settings, said)
    found = copy.deepcopy(document)
    for key, value in settings.items():
        where = f"{said}: {plain(key)}"
        if value is None:
            remove(found, key, where)
        else:
            assign(found, key, value, where)
    return found


def check_count(settings: Sized, said: str) -> None:
    """Raises: MixtureError for more settings than one change may have."""
    if len(settings) > MOST_SETTINGS:
        raise MixtureError(f"{said}: {len(settings):,} settings, at most {MOST_SETTINGS:,} are read; write the mixture out")


def assign(document: Document, key: str, value: Any, said: str) -> Path:
    """Sets COMPONENT.KEY or COMPONENT.KEY.ENTRY; returns the path in the document. Raises: MixtureError."""
    place, name, entry = target(document, key, said)
    table = document["component"][place]
    if entry is None:
        table[name] = value
        return ("component", place, name)
    before = table.get(name, COMPONENT[name].get("default", {}))
    if not isinstance(before, dict):
        raise MixtureError(
            f"{said}: {name} is {shown(before)}, not a table; set {key.removesuffix('.' + entry)} to a whole table or value"
        )
    table[name] = {**before, entry: value}
    return ("component", place, name, entry)


def remove(document: Document, key: str, said: str) -> Path:
    """Takes a setting away. Raises: MixtureError when it is not there."""
    place, name, entry = target(document, key, said)
    table = document["component"][place]
    if name not in table or (entry is not None and (not isinstance(table[name], dict) or entry not in table[name])):
        raise MixtureError(f"{said}: there is no {plain(key)} to unset; the component says {', '.join(table)}; leave it out")
    if entry is None:
        del table[name]
        return ("component", place)
    table[name] = {word: value for word, value in table[name].items() if word != entry}
    return ("component", place, name)


def target(document: Document, key: str, said: str) -> tuple[int, str, str | None]:
    """The component's place, the key and the entry that a setting means. Raises: MixtureError."""
    labels = [label_of(component) for component in document["component"]]
    fitting = [label for label in labels if key.startswith(f"{label}.")]
    if not fitting:
        first = key.split(".")[0]
        raise MixtureError(
            f"{said}: no component {plain(first)!r}; write COMPONENT.KEY with a component of {', '.join(labels)}"
            + did_you_mean(first, labels)
        )
    label = max(fitting, key=len)
    name, _, entry = key.removeprefix(f"{label}.").partition(".")
    if name not in COMPONENT:
        raise MixtureError(
            f"{said}: {plain(name)!r} is no key of a component; there are {', '.join(COMPONENT)}"
            + did_you_mean(name, COMPONENT)
        )
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


def check_document(document: Document, places: Places) -> Mixture:
    """Raises: MixtureError for unknown or missing keys, values out of bounds, shares and pins that cannot be kept."""
    for key in document:
        check_key(places, (key,), TOP)
        if key not in WHOLE:
            raise MixtureError(f"{places.say(key)} needs extends = 'NAME@VERSION' beside it; add that, or leave {key} out")
    check_required(places, (), document, WHOLE)
    for key in WHOLE:
        check_value(places, (key,), document[key], TOP[key])
    for place, component in enumerate(document["component"]):
        path: Path = ("component", place)
        if not isinstance(component, dict):
            raise MixtureError(f"{places.say(*path)} = {shown(component)}: it must be a table [[component]]")
        for key in component:
            check_key(places, (*path, key), COMPONENT)
        check_required(places, path, component, ["streams", "share"])
        for key, value in component.items():
            check_value(places, (*path, key), value, COMPONENT[key])
    mixture = msgspec.convert(document, Mixture)
    check_labels(mixture, places)
    for place, component in enumerate(mixture.component):
        check_component(component, ("component", place), places)
    total = sum(component.share for component in mixture.component)
    if abs(total - 1) > 1e-9:
        shares = " + ".join(f"{component.share:g}" for component in mixture.component)
        last = len(mixture.component) - 1
        raise MixtureError(
            f"{places.say('component', last, 'share')}: the components' shares {shares} sum to {total:.10g}; "
            "they must sum to 1"
        )
    return mixture


def check_key(places: Places, path: Path, known: Iterable[str]) -> None:
    key, known = path[-1], list(known)
    if key not in known:
        inside = f"{places.where(*path)}: {places.what(path[:-1]) if path[:-1] else 'the mixture'}"
        raise MixtureError(
            f"{inside} has no key {plain(str(key))!r}; its keys are {', '.join(known)}{did_you_mean(str(key), known)}"
        )


def check_required(places: Places, path: Path, table: Document, keys: Iterable[str]) -> None:
    for key in keys:
        if key not in table:
            rule = (COMPONENT if path else TOP)[key]
            raise MixtureError(
                f"{places.say(*path)}: {key} is missing; add {key}, {rule['title']}, such as {shown(rule['examples'][0])}"
            )


def check_value(places: Places, path: Path, value: Any, rule: Any) -> None:
    if path == ("component",) and isinstance(value, list) and value:
        rule = {**rule, "items": {"properties": {}}}  # each is looked at for itself
    fault = find_fault(value, rule, path)
    if fault is None:
        return
    where, found, broken = fault
    words = [word for one in broken.get("anyOf", [broken]) for word in one.get("enum", [])]
    near = did_you_mean(found, words) if isinstance(found, str) else ""
    examples = broken.get("examples") or rule.get("examples") or []
    said = broken.get("title", rule["title"])
    such = f", such as {shown(examples[0])}" if examples and broken is rule and not near and "such as" not in said else ""
    raise MixtureError(f"{places.say(*where)} = {shown(found)}: it must be {said}{such}{near}")


def check_labels(mixture: Mixture, places: Places) -> None:
    labels = [component.label for component in mixture.component]
    for place, label in enumerate(labels):
        if find_fault(label, COMPONENT["name"]) is not None:
            raise MixtureError(
                f"{places.say('component', place)}: the first word of {shown(mixture.component[place].streams)} is no name; "
                "add name = with one word"
            )
        if label in labels[:place]:
            raise MixtureError(
                f"{places.say('component', place)}: component number {labels.index(label) + 1} is called {label!r} "
                "already; add name = with another word"
            )


def check_component(component: Component, path: Path, places: Places) -> None:
    """What no rule of one value says. Raises: MixtureError."""
    if isinstance(component.within, dict) and not any(component.within.values()):
        raise MixtureError(f"{places.say(*path, 'within')}: its weights sum to 0; give one above 0")
    has = isinstance(component.temperature, float)
    if has and component.within != "temperature":
        raise MixtureError(
            f"{places.say(*path, 'temperature')} = {component.temperature:g} says nothing while within = "
            f'{shown(component.within)}; set within = "temperature", or leave temperature out'
        )
    if component.within == "temperature" and not has:
        raise MixtureError(
            f"{places.say(*path, 'within')} = 'temperature': temperature is missing; add temperature, "
            f"{COMPONENT['temperature']['title']}, such as 3.0"
        )
    if sum(component.pin.values()) > 1 + 1e-9:
        raise MixtureError(
            f"{places.say(*path, 'pin')} = {shown(component.pin)}: its pins sum to {sum(component.pin.values()):.6g}; "
            "at most 1 is possible, lower one"
        )
    if component.best_tokens is not None:
        if isinstance(component.best_share, float):
            raise MixtureError(
                f"{places.say(*path, 'best_share')} = {component.best_share:g}: best_tokens = "
                f"{shown(component.best_tokens)} says already how much; leave one of them out"
            )
        if not count_tokens(component.best_tokens, places.say(*path, "best_tokens")):
            raise MixtureError(
                f"{places.say(*path, 'best_tokens')} = {shown(component.best_tokens)}: it must be "
                f"{COMPONENT['best_tokens']['title']}"
            )
