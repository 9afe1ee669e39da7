"""Tables of the keys of a recipe's structs.

Always holds: a key that its struct's docstring does not explain under `Attributes:` fails the build of the site.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

import msgspec


def struct(title: str, kind: type[msgspec.Struct]) -> list[str]:
    """A heading, what the docstring says, and a table of keys, types, defaults and meanings. Raises: SystemExit."""
    says, _, attributes = (inspect.getdoc(kind) or "").partition("\n\nAttributes:\n")
    meanings = explanations(attributes)
    keys = [field.name for field in msgspec.structs.fields(kind)]
    if list(meanings) != keys:
        raise SystemExit(
            f"{kind.__module__}.{kind.__qualname__} has the keys {', '.join(keys)}, and its docstring explains under "
            f"Attributes: {', '.join(meanings) or 'none'}. Explain each key, in the same order."
        )
    lines = [f"## {title}", "", says, "", "| key | what it is | type | default |", "| --- | --- | --- | --- |"]
    for field in msgspec.structs.fields(kind):
        kind_of = name_of(msgspec.inspect.type_info(field.type))
        lines.append(f"| `{field.name}` | {meanings[field.name]} | {kind_of} | {default_of(field)} |")
    return [*lines, ""]


def explanations(attributes: str) -> dict[str, str]:
    """The lines below `Attributes:` by the key that each explains."""
    found = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", attributes, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def name_of(kind: Any) -> str:
    """A type in words that TOML has."""
    words = {
        msgspec.inspect.StrType: "text",
        msgspec.inspect.IntType: "whole number",
        msgspec.inspect.FloatType: "number",
        msgspec.inspect.BoolType: "true or false",
        msgspec.inspect.NoneType: "nothing",
    }
    if type(kind) in words:
        return words[type(kind)]
    if isinstance(kind, msgspec.inspect.UnionType):
        return " or ".join(name_of(one) for one in kind.types if not isinstance(one, msgspec.inspect.NoneType))
    if isinstance(kind, msgspec.inspect.LiteralType):
        return ", ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, msgspec.inspect.EnumType):
        return ", ".join(f"`{one.value}`" for one in kind.cls)
    if isinstance(kind, msgspec.inspect.VarTupleType | msgspec.inspect.ListType):
        return f"list of {name_of(kind.item_type)}"
    if isinstance(kind, msgspec.inspect.Metadata):
        return name_of(kind.type)
    return "table"


def default_of(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "must be given"
    if isinstance(field.default, msgspec.Struct):
        return "its defaults"
    if field.default in (None, msgspec.NODEFAULT):
        return ""
    return f"`{json.dumps(msgspec.to_builtins(field.default))}`"
