"""The page of the mixer service's routes, made of its OpenAPI document, which is made of the service's structs."""

from __future__ import annotations

import json
import re
import tempfile
from typing import Any

Rule = dict[str, Any]
HEAD = """# HTTP

The routes of the mixer service, with what each takes and answers. [The service](../service.md) has what holds for all of
them. A name in **bold** below is a table of keys under [Tables](#tables). A mistake is answered by 4xx and a **Mistake**.
"""


def http() -> str:
    """The page."""
    from deploy.local.service_process import application

    with tempfile.TemporaryDirectory() as root:
        document = application(root).openapi()
    linked = set(re.findall(r"#/components/schemas/([\w.]+)", json.dumps(document)))
    lines = [HEAD]
    for path, methods in document["paths"].items():
        for method, rule in methods.items():
            lines += [f"## {method.upper()} {path}", "", sentence(rule["summary"]), "", *route(rule)]
    lines += ["## Tables", ""]
    for name, rule in sorted(document["components"]["schemas"].items(), key=lambda pair: short(pair[0])):
        if name in linked:
            lines += [
                f"### {short(name)} {{ #{anchor(name)} }}",
                "",
                sentence(" ".join(rule.get("description", "").split())),
                "",
            ]
            lines += table(rule.get("properties", {}), set(rule.get("required", ())))
    return "\n".join(lines)


def route(rule: Rule) -> list[str]:
    """A route's query, body and answer."""
    lines = []
    query = [one for one in rule.get("parameters", []) if one["in"] == "query"]
    if query:
        properties = {one["name"]: one["schema"] for one in query}
        lines += ["Query:", "", *table(properties, {one["name"] for one in query if one["required"]})]
    for what, found in (("Body", rule.get("requestBody", {})), ("Answer", rule["responses"]["200"])):
        if "content" in found:
            lines += [f"{what}: {type_of(found['content']['application/json']['schema'])}", ""]
    return lines


def table(properties: dict[str, Rule], needed: set[str]) -> list[str]:
    if not properties:
        return ["It has no keys.", ""]
    lines = ["| key | type | default |", "| --- | --- | --- |"]
    for key, rule in properties.items():
        default = "required" if key in needed else "" if rule.get("default") is None else f"`{rule['default']}`"
        lines.append(f"| `{key}` | {type_of(rule)} | {default} |")
    return [*lines, ""]


def type_of(rule: Rule) -> str:
    """A rule of JSON Schema in words."""
    if "$ref" in rule:
        name = rule["$ref"].rpartition("/")[2]
        return f"**[{short(name)}](#{anchor(name)})**"
    if "anyOf" in rule:
        return " or ".join(dict.fromkeys(type_of(one) for one in rule["anyOf"]))
    if "enum" in rule:
        return ", ".join(f"`{word}`" for word in rule["enum"])
    if "title" in rule and "properties" not in rule:
        return str(rule["title"]).replace("|", "\\|")
    kind = rule.get("type")
    if kind == "array":
        return f"list of {type_of(rule['items'])}" if rule.get("items") else "list"
    if kind == "object":
        values = rule.get("additionalProperties")
        return f"object of {type_of(values)}" if isinstance(values, dict) and values else "object"
    words = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false", "null": "null"}
    return words.get(str(kind), "any value") + bounds(rule)


def bounds(rule: Rule) -> str:
    """What a rule allows beyond its type."""
    if "minimum" in rule and "maximum" in rule:
        return f" from {rule['minimum']:,} to {rule['maximum']:,}"
    return f", at most {rule['maxLength']:,} long" if "maxLength" in rule else ""


def short(name: str) -> str:
    """A struct's own name; one of a request that has the name of an answer says so."""
    module, _, word = name.rpartition(".")
    return f"{word} of a query" if module.endswith("requests") else word


def anchor(name: str) -> str:
    return f"keys-{short(name).lower().replace(' ', '-')}"


def sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "." * bool(text)
