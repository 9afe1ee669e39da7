"""The licence that a repository states for itself: an SPDX expression in its package's description.

Always holds: what is no SPDX expression of known licences is none; a description that cannot be read states none.
"""

import json
import tomllib
from collections.abc import Callable
from typing import Any

MOST_BYTES = 1 << 20
LONGEST = 200
NONE = frozenset({"UNLICENSED", "NOASSERTION", "NONE"})  # words that packages write where there is no licence


def in_package_json(found: Any) -> Any:
    licence = found.get("license")
    return licence.get("type") if isinstance(licence, dict) else licence


def in_composer_json(found: Any) -> Any:
    licence = found.get("license")
    return " OR ".join(licence) if isinstance(licence, list) else licence


def in_pyproject(found: Any) -> Any:
    licence = found.get("project", {}).get("license")
    return licence.get("text") if isinstance(licence, dict) else licence


def in_cargo(found: Any) -> Any:
    licence = found.get("package", {}).get("license")
    return licence.replace("/", " OR ") if isinstance(licence, str) else None  # as Cargo wrote it before 2018


DESCRIPTIONS: dict[str, tuple[Callable[[str], Any], Callable[[Any], Any]]] = {
    "package.json": (json.loads, in_package_json),
    "pyproject.toml": (tomllib.loads, in_pyproject),
    "Cargo.toml": (tomllib.loads, in_cargo),
    "composer.json": (json.loads, in_composer_json),
}


def stated_licence(read: Callable[[str], bytes | None]) -> str | None:
    """The SPDX expression that the first description states which states one. `read`: a file at the top, None for none."""
    for name, (parse, take) in DESCRIPTIONS.items():
        data = read(name)
        if data is None or len(data) > MOST_BYTES:
            continue
        try:
            found = take(parse(data.decode()))
        except (ValueError, AttributeError, TypeError, RecursionError):
            continue
        if isinstance(found, str) and is_known(found):
            return found
    return None


def is_known(expression: str) -> bool:
    """Whether an expression is of licences that SPDX knows."""
    from license_expression import ExpressionError, get_spdx_licensing

    if not expression.strip() or len(expression) > LONGEST or expression.upper() in NONE:
        return False
    try:
        return not get_spdx_licensing().validate(expression).errors
    except (ExpressionError, ValueError, TypeError, AttributeError, RecursionError):  # AttributeError: a fault of its own
        return False
