"""Checks a document by the types of the structs that it becomes, and gives editors the JSON Schema of the same types.

Always holds: what the parser takes is valid under `schema()`, and the other way round (tests/mixer/mixture).
"""

import re
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mixer.mixture.faults import Fault, Path, did_you_mean, plain, shown
from mixer.mixture.mixture import END, WORD, Component, Mixture, Share, Weight, Word

Document = dict[str, Any]
Rule = dict[str, Any]
T = TypeVar("T")


class Extension(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file says that is made of another version."""

    name: Word | UnsetType = UNSET
    extends: Annotated[
        str,
        Meta(
            pattern=f"{WORD}@[1-9][0-9]{{0,8}}{END}",
            title="a mixture and its version, such as 'enhanced@3'",
            description="The version that this one is made of; instead of seq_len and components.",
            examples=["enhanced@3"],
        ),
    ]
    set: Annotated[
        dict[str, Any],
        Meta(
            title='a table of settings such as "synthetic.pin.python" = 0.4',
            description="What differs from the version that is extended; each key is COMPONENT.KEY or "
            "COMPONENT.KEY.ENTRY, in quotes.",
            examples=[{"synthetic.pin.python": 0.4}],
        ),
    ] = {}
    unset: Annotated[
        list[Annotated[str, Meta(min_length=1, title="a setting such as 'synthetic.max_passes'")]],
        Meta(
            title="a list of settings such as 'synthetic.max_passes'",
            description="What the extended version says and this one does not.",
            examples=[["synthetic.max_passes"]],
        ),
    ] = []


STRUCTS: list[type[msgspec.Struct]] = [Mixture, Extension, Component]
_, DEFINITIONS = msgspec.json.schema_components(STRUCTS, ref_template="#/$defs/{name}")
COMPONENT: Rule = DEFINITIONS["Component"]["properties"]
TOP: Rule = {**DEFINITIONS["Extension"]["properties"], **DEFINITIONS["Mixture"]["properties"]}
ENTRIES = {"pin": Share, "within": Weight}  # of a component, what the entries of its tables are


def schema() -> Rule:
    """The whole JSON Schema."""
    whole, extension = Mixture.__struct_fields__, Extension.__struct_fields__
    absent = [[{"required": [key]} for key in keys if key not in beside] for keys, beside in
              ((whole, extension), (extension, whole))]  # fmt: skip
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "phasemix mixture",
        "description": "A recipe for shares over the streams of a catalog. docs/mixtures.md explains it.",
        "type": "object",
        "properties": TOP,
        "additionalProperties": False,
        "if": {"required": ["extends"]},
        "then": {"not": {"anyOf": absent[0]}},
        "else": {"required": list(whole), "not": {"anyOf": absent[1]}},
        "$defs": {"Component": DEFINITIONS["Component"]},
    }


def check(document: Document, kind: type[T]) -> T:
    """The document as a Mixture or an Extension. Raises: Fault for the first thing in it that does not fit."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise fault_of(str(error), document, kind) from None


def fault_of(problem: str, document: Document, kind: Any) -> Fault:
    """What msgspec says of a document, as a fault that names place, value and what is allowed."""
    said, _, place = problem.partition(" - at `$")
    words = re.findall(r"\.(\w+)|\[(\d+|\.\.\.)\]", place)
    path: Path = tuple(name or (int(number) if number.isdigit() else number) for name, number in words)
    value = look_up(document, path)
    if said.startswith(("Object contains unknown field", "Object missing required field")):
        struct: Any = Component if path else kind
        if said.startswith("Object contains"):
            key = next(key for key in value if key not in struct.__struct_fields__)
            return unknown(path, key, list(struct.__struct_fields__))
        key = next(field.name for field in msgspec.structs.fields(struct) if field.required and field.name not in value)
        rule = rule_at((*path, key))
        return Fault(path, f": {key} is missing; add {key}, {rule['title']}, such as {shown(rule['examples'][0])}")
    if path[-1:] == ("...",):  # msgspec does not say in which entry of a table
        path = next((*path[:-1], key) for key, entry in value.items() if not fits(entry, ENTRIES[str(path[-2])]))
        value = value[path[-1]]
    rule = rule_at(path)
    choices = [word for one in rule.get("anyOf", [rule]) for word in one.get("enum", [])]
    near = did_you_mean(value, choices) if isinstance(value, str) else ""
    examples = rule.get("examples", []) if not near and "such as" not in rule["title"] else []
    such = f", such as {shown(examples[0])}" if examples else ""
    return Fault(path, f" = {shown(value)}: it must be {rule['title']}{such}{near}")


def unknown(path: Path, key: str, known: list[str]) -> Fault:
    """A table at a path has a key that it cannot have."""
    said = f" has no key {plain(key)!r}; its keys are {', '.join(known)}{did_you_mean(key, known)}"
    return Fault((*path, key), said, of=path)


def look_up(document: Any, path: Path) -> Any:
    """The value at a path; of a table whose entry is not known the table."""
    for word in path:
        document = document if word == "..." else document[word]
    return document


def fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def rule_at(path: Path) -> Rule:
    """The rule of the values at a path."""
    rule: Rule = {"properties": TOP}
    for word in path:
        choices = [rule, *rule.get("anyOf", [])]
        if isinstance(word, int):
            rule = next(one["items"] for one in choices if "items" in one)
        else:
            tables = [one.get("properties", {}).get(word) or one.get("additionalProperties") for one in choices]
            rule = next(one for one in tables if one)
        if "$ref" in rule:
            rule = {**DEFINITIONS[rule["$ref"].rpartition("/")[2]], **rule}
    return rule
