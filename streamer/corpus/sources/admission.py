"""Which files of a source may be taken at all: by their licence, and unless somebody asked for them to be left out.

Always holds: the licence that a file itself states goes before that of its repository; an expression is allowed where its
alternatives leave a choice of allowed licences alone; what is not understood is not allowed.
"""

import fnmatch
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from streamer.catalog.names import LONGEST_GLOB
from streamer.corpus.recipe import Recipe
from streamer.corpus.sources.raw_file import RawFile
from streamer.documents.text import DropReason
from streamer.errors import CorpusError

HEAD_BYTES = 4096
LONGEST_EXPRESSION = 500
STATED = re.compile(rb"SPDX-License-Identifier:[ \t]*+([A-Za-z0-9(][A-Za-z0-9.+()\- \t]{0,200}+)")


class Admission:
    """The rules of a recipe."""

    def __init__(self, recipe: Recipe) -> None:
        self._allowed = frozenset(name.lower() for name in recipe.licenses)
        entries = read_opt_out(recipe.opt_out)
        self._repositories = frozenset(entries)
        self._globs = [entry for entry in entries if "/" in entry]

    def judge(self, file: RawFile) -> None:
        """Notes the licence that a file states, and drops a file that may not be taken."""
        stated = STATED.search(file.data[:HEAD_BYTES])
        if stated is not None:
            file.license = stated[1].decode().strip()
        if file.fault is not None:
            return
        if self._is_opted_out(file):
            file.fault, file.data = DropReason.OPTED_OUT, b""
        elif self._allowed and not is_allowed(file.license, self._allowed):
            file.fault, file.data = DropReason.LICENSE, b""

    def _is_opted_out(self, file: RawFile) -> bool:
        if file.repository in self._repositories:
            return True
        where = f"{file.repository}/{file.path}"
        return any(fnmatch.fnmatchcase(where, glob) for glob in self._globs)


def read_opt_out(path: str | None) -> list[str]:
    """The entries of a list of what is left out. Raises: CorpusError."""
    if path is None:
        return []
    try:
        lines = Path(path).expanduser().read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"opt_out {path} cannot be read ({error}); give a text file with an entry a line") from error
    entries = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    for entry in entries:
        if len(entry) > LONGEST_GLOB:
            raise CorpusError(f"opt_out {path} has an entry of {len(entry):,} characters; at most {LONGEST_GLOB} are read")
    return entries


@lru_cache(maxsize=4096)
def is_allowed(expression: str, allowed: frozenset[str]) -> bool:
    """Whether an SPDX expression leaves a choice of allowed licences alone. `allowed`: names in lower case."""
    from license_expression import ExpressionError, get_spdx_licensing

    if len(expression) > LONGEST_EXPRESSION:
        return False
    try:
        return holds(get_spdx_licensing().parse(expression), allowed)
    except (ExpressionError, ValueError, TypeError, RecursionError):
        return expression.lower() in allowed


def holds(node: Any, allowed: frozenset[str]) -> bool:
    """The same of a parsed expression; an exception, as in `GPL-2.0-only WITH Classpath-exception-2.0`, is named with it."""
    if node is None:
        return False
    operator = type(node).__name__
    if operator in ("AND", "OR"):
        each = (holds(part, allowed) for part in node.args)
        return all(each) if operator == "AND" else any(each)
    return str(node).lower() in allowed
