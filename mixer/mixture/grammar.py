"""The grammar of a mixture file as JSON Schema: the one that the parser checks by and that editors read.

Always holds: a value that the parser takes is valid under `schema()`, and the other way round (tests/mixer); `title` says
what a value may be, `description` what it means, `examples` how it is written.

How: only the few words of JSON Schema that `find_fault` knows are used.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

Rule = dict[str, Any]
Path = tuple[str | int, ...]

TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str, "integer": int, "number": (int, float), "array": list, "object": dict
}  # fmt: skip
WORD = "^[a-z0-9][a-z0-9._-]{0,63}$"
WHEN_DRY = ["stop", "wait", "share"]
WITHIN = ["tokens", "equal", "temperature"]
SHARE = {"type": "number", "minimum": 0, "maximum": 1, "title": "a number from 0 to 1", "examples": [0.5]}
WEIGHT = {"type": "number", "minimum": 0, "maximum": 1e12, "title": "a number from 0 to 1e12", "examples": [3]}
GLOB = {"type": "string", "minLength": 1, "maxLength": 400, "title": "a glob that is not empty", "examples": ["raw/*"]}


def globs_rule(least: int, description: str, example: str) -> Rule:
    many = {"type": "array", "items": GLOB, "minItems": least, "title": "a list of globs"}
    said = "a glob such as 'raw/*', or a list " + ("that names at least one" if least else "of globs")
    return {"anyOf": [GLOB, many], "title": said, "description": description, "examples": [example]}


def table_rule(rule: Rule, title: str) -> Rule:
    return {"type": "object", "additionalProperties": rule, "title": title}


COMPONENT: dict[str, Rule] = {
    "streams": globs_rule(
        1, "The streams of the component: a glob over the catalog's names, or a list; * crosses /.", "raw/*"
    ),
    "share": {**SHARE, "description": "Of the run's tokens. The shares of all components sum to 1 within 1e-9."},
    "exclude": globs_rule(0, "Globs of streams that are left out.", "raw/sql/*"),
    "name": {
        "type": "string",
        "pattern": WORD,
        "title": "one word of a-z, 0-9 and '._-', at most 64 long",
        "description": "What errors and settings call the component; its own. By default the first word of its first glob.",
        "examples": ["raw"],
    },
    "within": {
        "anyOf": [
            {"enum": WITHIN},
            table_rule(WEIGHT, "a table of weights by stream or key"),
        ],
        "title": "'tokens', 'equal', 'temperature' or a table of weights by stream or key",
        "description": "How the component's streams share: by unique tokens, equally, by weights, or keys by tokens^(1/T).",
        "default": "tokens",
        "examples": ["tokens", {"python": 3, "go": 1}],
    },
    "temperature": {
        "type": "number",
        "minimum": 0.1,
        "maximum": 1000,
        "title": "a number from 0.1 to 1000",
        "description": "T of within = 'temperature': a key gets tokens^(1/T). 1 is 'tokens', more is flatter.",
        "examples": [3.0],
    },
    "pin": {
        **table_rule(SHARE, "a table of shares by key or stream"),
        "description": "Shares of this component that are fixed, by key (second word) or whole stream name; the other keys "
        "keep their proportions to each other.",
        "examples": [{"python": 0.5}],
    },
    "best_tokens": {
        "anyOf": [
            {"type": "string", "pattern": r"^[0-9][0-9_]*(\.[0-9]+)?[KMBT]?$", "maxLength": 32},
            {"type": "integer", "minimum": 1, "maximum": 10**18},
        ],
        "title": "a number of tokens from 1 to 1e18, such as 12500000 or '12.5B'",
        "description": "The best tokens of each key up to this sum, the keys' shares in the corpus kept.",
        "examples": ["12.5B"],
    },
    "best_share": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 1,
        "title": "a number above 0 and at most 1",
        "description": "The same as best_tokens, as a fraction of the component's tokens.",
        "examples": [0.03],
    },
    "max_passes": {
        "type": "integer",
        "minimum": 1,
        "maximum": 2**31 - 1,
        "title": "a whole number from 1 to 2147483647",
        "description": "How often a sample of the component may be seen, by the run and the runs that it goes on from. "
        "Without it there is no limit.",
        "examples": [4],
    },
    "when_dry": {
        "enum": WHEN_DRY,
        "title": "'stop', 'wait' or 'share'",
        "description": "At max_passes: the run ends, waits for new parts, or the stream's share goes to the others.",
        "default": "stop",
        "examples": ["stop"],
    },
}
TOP: dict[str, Rule] = {
    "name": {
        "type": "string",
        "pattern": WORD,
        "title": "one word of a-z, 0-9 and '._-', at most 64 long",
        "description": "What versions of this mixture are called: name@1, name@2, ...",
        "examples": ["enhanced"],
    },
    "seq_len": {
        "type": "integer",
        "minimum": 1,
        "maximum": 2**24,
        "title": "a whole number from 1 to 16777216",
        "description": "Tokens of a sample; every stream must have it.",
        "examples": [8192],
    },
    "component": {
        "type": "array",
        "minItems": 1,
        "maxItems": 1000,
        "items": {
            "type": "object",
            "properties": COMPONENT,
            "required": ["streams", "share"],
            "additionalProperties": False,
            "title": "a table [[component]]",
        },
        "title": "one or more tables [[component]]",
        "description": "Globs over the catalog, each with its share of the run's tokens.",
        "examples": [[{"streams": "raw/*", "share": 1.0}]],
    },
    "extends": {
        "type": "string",
        "pattern": WORD[:-1] + "@[1-9][0-9]{0,8}$",
        "title": "a mixture and its version, such as 'enhanced@3'",
        "description": "The version that this one is made of; instead of seq_len and components.",
        "examples": ["enhanced@3"],
    },
    "set": {
        "type": "object",
        "title": 'a table of settings such as "synthetic.pin.python" = 0.4',
        "description": "What differs from the version that is extended; each key is COMPONENT.KEY or "
        "COMPONENT.KEY.ENTRY, in quotes.",
        "examples": [{"synthetic.pin.python": 0.4}],
    },
    "unset": {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "title": "a setting such as 'synthetic.max_passes'"},
        "title": "a list of settings such as 'synthetic.max_passes'",
        "description": "What the extended version says and this one does not.",
        "examples": [["synthetic.max_passes"]],
    },
}
WHOLE, EXTENDED = ["name", "seq_len", "component"], ["name", "extends", "set", "unset"]


def schema() -> Rule:
    """The whole JSON Schema."""
    absent = [{"required": [key]} for key in TOP if key not in EXTENDED]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "phasemix mixture",
        "description": "A recipe for shares over the streams of a catalog. docs/mixtures.md explains it.",
        "type": "object",
        "properties": TOP,
        "additionalProperties": False,
        "if": {"required": ["extends"]},
        "then": {"not": {"anyOf": absent}},
        "else": {"required": WHOLE, "not": {"anyOf": [{"required": ["set"]}, {"required": ["unset"]}]}},
    }


def find_fault(value: Any, rule: Rule, path: Path = ()) -> tuple[Path, Any, Rule] | None:
    """The first value inside `value` that breaks its rule, with its path and that rule."""
    if "anyOf" in rule:
        if any(find_fault(value, one) is None for one in rule["anyOf"]):
            return None
        inner = [one for one in rule["anyOf"] if one.get("type") in ("array", "object") and is_a(value, one["type"])]
        found = find_fault(value, inner[0], path) if inner else None
        return (path, value, rule) if found is None or found[0] == path else found
    if "enum" in rule:
        return None if isinstance(value, str) and value in rule["enum"] else (path, value, rule)
    if not is_a(value, rule["type"]) or not fits(value, rule):
        return (path, value, rule)
    return next((fault for one in entries(value, rule) if (fault := find_fault(one[1], one[2], (*path, one[0])))), None)


def is_a(value: Any, name: str) -> bool:
    return isinstance(value, TYPES[name]) and not isinstance(value, bool)


def fits(value: Any, rule: Rule) -> bool:
    """Whether a value of the right type is within the rule's bounds; not-a-number never is."""
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if isinstance(value, int | float):
        low, above = rule.get("minimum", -math.inf), rule.get("exclusiveMinimum", -math.inf)
        return bool(low <= value <= rule.get("maximum", math.inf) and value > above)
    least: Any = rule.get("minLength") or rule.get("minItems") or 0
    most: Any = rule.get("maxLength") or rule.get("maxItems") or math.inf
    return bool(least <= len(value) <= most) and bool(
        "pattern" not in rule or not isinstance(value, str) or re.fullmatch(rule["pattern"].strip("^$"), value)
    )


def entries(value: Any, rule: Rule) -> Iterator[tuple[str | int, Any, Rule]]:
    """The (place, value, rule) inside an array or a table of one kind of value."""
    if rule["type"] == "array" and "properties" not in rule["items"]:
        yield from ((place, one, rule["items"]) for place, one in enumerate(value))
    elif rule["type"] == "object" and "additionalProperties" in rule and "properties" not in rule:
        yield from ((key, one, rule["additionalProperties"]) for key, one in value.items())
