"""Whether a text is a file of a language: by tree-sitter, by JSON for notebooks.

Always holds: a text that does not parse without an error node is refused; a language without a parser is an error.
"""

import json
from functools import cache
from typing import Any, cast

from generators.errors import GeneratorError

PARSERS = {"shell": "bash", "csharp": "csharp"}
NOTEBOOK = "jupyter-notebook"


def parses(text: str, language: str) -> bool:
    """Whether the whole text parses. Raises: GeneratorError for a language without a parser."""
    if language == NOTEBOOK:
        return is_notebook(text)
    tree = parser(language).parse(text.encode())
    return not tree.root_node.has_error and tree.root_node.named_child_count > 0


def is_notebook(text: str) -> bool:
    """Whether a text is a notebook of nbformat 4 with at least one cell."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("nbformat") == 4 and bool(found.get("cells"))


@cache
def parser(language: str) -> Any:
    from tree_sitter_language_pack import get_parser

    try:
        return get_parser(cast("Any", PARSERS.get(language, language)))
    except LookupError as error:
        raise GeneratorError(f"no parser for language {language}; use one of the 18 languages") from error
