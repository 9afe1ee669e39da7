"""The OpenAPI document, made of the table of routes and of the structs that it names."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from mixer.service.requests import Name
from mixer.service.route import Route

VERSION = "1"
PREFIX = "/api/v1"


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """What every refusal says: one line, and the name of the error's class."""

    error: str
    kind: str


def document(routes: Sequence[Route], others: dict[str, str]) -> dict[str, Any]:
    """The document. `others`: paths outside the API, and what they answer."""
    types = [found for route in routes for found in (route.answer, route.body, route.query) if found is not None]
    schemas, components = msgspec.json.schema_components([*types, Mistake, Name], ref_template="#/components/schemas/{name}")
    components = plain_pairs(components)
    by_type = {id(found): schema for found, schema in zip([*types, Mistake, Name], schemas, strict=True)}
    paths: dict[str, Any] = {}
    for route in routes:
        operation = operation_of(route, by_type, components)
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = operation
    for path, said in others.items():
        answers = {"200": {"description": said}, "503": refusal("what it needs is away")}
        paths[path] = {"get": {"summary": said, "operationId": path.strip("/"), "responses": answers, "security": []}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "phasemix mixer", "version": VERSION},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def operation_of(route: Route, by_type: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": word, "in": "path", "required": True, "schema": word_schema(word, by_type)}
        for word in re.findall(r"{(\w+)}", route.path)
    ]
    query = resolve(by_type[id(route.query)], components)
    for name, schema in query.get("properties", {}).items():
        needed = name in query.get("required", ())
        parameters.append({"name": name, "in": "query", "required": needed, "schema": schema})
    answers: dict[str, Any] = {
        "200": {"description": route.does, "content": {"application/json": {"schema": by_type[id(route.answer)]}}},
        "4XX": refusal("a mistake of the request, in one line"),
        "503": refusal("the store is away"),
    }
    if route.version is not None:
        answers["304"] = {"description": "as it was: If-None-Match has its ETag"}
        parameters.append({"name": "If-None-Match", "in": "header", "required": False, "schema": {"type": "string"}})
    words = re.sub(r"[{}]", "", route.path).strip("/").replace("/", "_")
    operation: dict[str, Any] = {
        "summary": route.does,
        "operationId": f"{route.method.lower()}_{words}",
        "parameters": parameters,
        "responses": answers,
    }
    if route.body is not None:
        schema = by_type[id(route.body)]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def word_schema(word: str, by_type: dict[int, Any]) -> Any:
    return {"type": "integer", "minimum": 1} if word == "version" else by_type[id(Name)]


def resolve(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = components[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def plain_pairs(schema: Any) -> Any:
    """Says tuples of one type without `prefixItems`, which not every reader of OpenAPI knows."""
    if isinstance(schema, list):
        return [plain_pairs(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: plain_pairs(inner) for key, inner in schema.items()}
    places = found.get("prefixItems")
    if places and all(place == places[0] for place in places):
        del found["prefixItems"]
        found["items"] = places[0]
    return found


def refusal(said: str) -> dict[str, Any]:
    return {"description": said, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Mistake"}}}}
