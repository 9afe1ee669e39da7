"""Documents checked by the types of the structs that they become; what does not fit is named by place, value and rule.

Always holds: a fault is one line; it says the `title` of the type's `Meta`, what a value may be, and one of its `examples`,
or what msgspec says where there is no title.

How: msgspec says which path of a document breaks which rule. What it leaves out (the entry of a table, the names that were
possible) is found from the document and the JSON Schema of the same types, so only its first words are relied on.
"""

import copy
import re
from typing import Any, TypeVar

import msgspec

from mixer.errors import MixerError
from streamer.wording import did_you_mean, plain, shown

Path = tuple[str | int, ...]
Rule = dict[str, Any]
T = TypeVar("T")
KINDS = {"integer": "an integer", "number": "a number", "string": "text", "boolean": "true or false", "array": "a list"}


class Fault(MixerError):
    """A mistake at a path of a document. `said` follows the name of that place, or of `of` where it is given.

    Who knows more of the document (a file's name and lines, a run) says it in an error of its own.
    """

    def __init__(self, path: Path, said: str, *, of: Path | None = None) -> None:
        self.path, self.said, self.of = path, said, path if of is None else of
        super().__init__(f"{dotted(self.of)}{said}" if self.of else said.removeprefix(": "))


def check(document: Any, kind: type[T], *, strict: bool = True) -> T:
    """The document as a value of that type. Not `strict`: text may be a number. Raises: Fault for the first mistake."""
    try:
        return msgspec.convert(document, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise fault_of(str(error), document, kind) from None


def fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def fault_of(problem: str, document: Any, kind: Any) -> Fault:
    """What msgspec says of a document, as a fault."""
    said, _, place = problem.partition(" - at `")
    words = re.findall(r"\.(\w+)|\[(\d+|\.\.\.)\]", place)
    path: Path = tuple(name or (int(number) if number.isdigit() else number) for name, number in words)
    while "..." in path:  # msgspec does not say in which entry of a table
        outer, inner = path[: path.index("...")], path[path.index("...") + 1 :]
        path = next((*outer, key, *inner) for key in look_up(document, outer) if not fits(only(document, outer, key), kind))
    value, rule = look_up(document, path), rule_at(kind, path)
    if place.startswith("key` in `"):
        key = next(key for key in value if not fits(only(document, path, key), kind))
        return Fault((*path, key), f" has no key {plain(key)!r}; a key is {such_as(rule['propertyNames'], '')}", of=path)
    if said.startswith("Object contains unknown field"):
        known = list(rule["properties"])
        key = next(key for key in value if key not in known)
        near = did_you_mean(key, known)
        return Fault((*path, key), f" has no key {plain(key)!r}; its keys are {', '.join(known)}{near}", of=path)
    if said.startswith("Object missing required field"):
        key = next(key for key in rule["required"] if key not in value)
        return Fault(path, f": {key} is missing; add {key}{such_as(rule_at(kind, (*path, key)), ', ')}")
    choices = [word for one in rule.get("anyOf", [rule]) for word in one.get("enum", [])]
    near = did_you_mean(value, choices) if isinstance(value, str) else ""
    if "title" not in rule and choices:
        return Fault(path, f" = {shown(value)}: it must be one of {', '.join(map(str, choices))}{near}")
    if "title" not in rule:
        kinds = kinds_of(rule) if said.startswith("Expected `") else []
        rules = f"it must be {' or '.join(kinds)}" if kinds else said[:300]
        return Fault(path, f" = {shown(value)}: {rules}")
    return Fault(path, f" = {shown(value)}: it must be {(near and rule['title'] + near) or such_as(rule, '')}")


def kinds_of(rule: Rule) -> list[str]:
    """What kinds of value a rule allows, in words; empty where one has no word."""
    kinds = [one.get("type") for one in rule.get("anyOf", [rule]) if one.get("type") != "null"]
    return [KINDS[kind] for kind in kinds] if all(kind in KINDS for kind in kinds) else []


def such_as(rule: Rule, before: str) -> str:
    """What a value may be, with an example; empty where nothing is known."""
    if "title" not in rule:
        return ""
    examples = rule.get("examples", []) if "such as" not in rule["title"] else []
    return before + str(rule["title"]) + (f", such as {shown(examples[0])}" if examples else "")


def rule_at(kind: Any, path: Path) -> Rule:
    """The rule of the values at a path, in JSON Schema; of a value of several kinds with what is said of each."""
    (rule,), definitions = msgspec.json.schema_components([kind], ref_template="{name}")

    def whole(rule: Rule) -> Rule:
        if "$ref" in rule:
            rule = {**definitions[rule["$ref"]], "title": "a table", **rule}
        for one in rule.get("anyOf", []):
            rule = {**whole(one), **rule}
        return rule

    rule = whole(rule)
    for word in path:
        rules = rule["items"] if isinstance(word, int) else rule.get("properties", {}).get(word)
        rule = whole(rules or rule["additionalProperties"])
    return rule


def look_up(document: Any, path: Path) -> Any:
    """The value at a path."""
    for word in path:
        document = document[word]
    return document


def only(document: Any, path: Path, key: str) -> Any:
    """The document, in whose table at a path one entry alone is left."""
    if not path:
        return {key: document[key]}
    copied = copy.copy(document)
    copied[path[0]] = only(document[path[0]], path[1:], key)
    return copied


def dotted(path: Path) -> str:
    """`pin.python`, `streams[2]`; what is odd is quoted, so that it stays on one line."""
    words = (f"[{word + 1}]" if isinstance(word, int) else f".{plain(word)}" for word in path)
    return "".join(words).removeprefix(".")
