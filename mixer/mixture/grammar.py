"""The grammar of mixture files as JSON Schema for editors, made of the types that the parser checks by.

Always holds: what the parser takes is valid under `schema()`, and the other way round (tests/mixer/mixture).
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mixer.mixture.mixture import END, WORD, Component, Mixture, Tier, Word

Rule = dict[str, Any]


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


STRUCTS: list[type[msgspec.Struct]] = [Mixture, Extension, Component, Tier]
_, DEFINITIONS = msgspec.json.schema_components(STRUCTS, ref_template="#/$defs/{name}")
COMPONENT: Rule = DEFINITIONS["Component"]["properties"]
TOP: Rule = {**DEFINITIONS["Extension"]["properties"], **DEFINITIONS["Mixture"]["properties"]}


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
        "$defs": {name: DEFINITIONS[name] for name in ("Component", "Tier")},
    }
