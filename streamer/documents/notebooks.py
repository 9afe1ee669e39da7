"""Notebooks as text to train on: a script, or prose with code between fences. Outputs are cut, pictures with them.

Always holds: no JSON of the notebook comes out; what is broken or has nothing to say is a named reason, never raised.
"""

import json
from enum import StrEnum
from typing import Any

from streamer.documents.text import DropReason

NOTEBOOK = "jupyter-notebook"
COMMENTS = {
    "//": ("scala", "java", "kotlin", "javascript", "typescript", "go", "rust", "c++", "cpp", "c", "csharp", "c#", "f#",
           "fsharp", "swift", "php", "dart", "groovy"),
    "--": ("sql", "haskell", "lua"),
    "%": ("matlab", "octave", "prolog"),
}  # fmt: skip
MARKS = {language: mark for mark, languages in COMMENTS.items() for language in languages}
MAGIC = ("%", "!", "?")


class Notebooks(StrEnum):
    """What a notebook becomes: `script`, code with markdown in comments, or `text`, markdown with code in fences."""

    SCRIPT = "script"
    TEXT = "text"


def read_notebook(text: str, form: Notebooks = Notebooks.SCRIPT) -> str | DropReason:
    """The text that a notebook of format 3 or 4 becomes, or why there is none."""
    try:
        book = json.loads(text)
    except (ValueError, RecursionError):
        return DropReason.BROKEN_NOTEBOOK
    cells = cells_of(book)
    if cells is None:
        return DropReason.BROKEN_NOTEBOOK
    language = kernel_language(book)
    found = []
    for cell in cells:
        source = source_of(cell)
        if source is None:
            return DropReason.BROKEN_NOTEBOOK
        if source.strip():
            is_code = cell.get("cell_type") == "code"
            found.append(
                script_cell(source, is_code, language) if form == Notebooks.SCRIPT else text_cell(source, is_code, language)
            )
    whole = "\n\n".join(found)
    if not whole.strip():
        return DropReason.EMPTY_NOTEBOOK
    return DropReason.LONE_SURROGATES if not is_whole(whole) else DropReason.NUL_BYTES if "\0" in whole else whole + "\n"


def as_script(text: str) -> str:
    """The script of a notebook; a text that is no notebook as it is, but broken JSON as nothing."""
    if not text.lstrip().startswith("{"):
        return text
    found = read_notebook(text)
    return "" if isinstance(found, DropReason) else found


def cells_of(book: Any) -> list[dict[str, Any]] | None:
    """The cells; None for what is no notebook."""
    if not isinstance(book, dict) or not isinstance(book.get("nbformat"), int):
        return None
    cells = book.get("cells")
    if cells is None and isinstance(sheets := book.get("worksheets"), list):  # format 3
        cells = [cell for sheet in sheets if isinstance(sheet, dict) for cell in sheet.get("cells") or ()]
    return cells if isinstance(cells, list) and all(isinstance(cell, dict) for cell in cells) else None


def source_of(cell: dict[str, Any]) -> str | None:
    """A cell's own text; None where it is none."""
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    return source.replace("\r\n", "\n").strip("\n") if isinstance(source, str) else None


def kernel_language(book: dict[str, Any]) -> str:
    """The language of the cells in lower case: what the metadata say, or Python."""
    metadata = book.get("metadata")
    places = (("kernelspec", "language"), ("language_info", "name"))
    if isinstance(metadata, dict):
        for table, key in places:
            found = metadata.get(table)
            if isinstance(found, dict) and isinstance(found.get(key), str) and found[key].strip():
                return str(found[key].strip().lower()[:40])
    return "python"


def script_cell(source: str, is_code: bool, language: str) -> str:
    """Code as it is, with what only a notebook runs (`%time`, `!ls`) in comments; anything else in comments."""
    mark = MARKS.get(language, "#")
    lines = source.split("\n")
    if not is_code or lines[0].startswith("%%"):
        return "\n".join(f"{mark} {line}".rstrip() for line in lines)
    return "\n".join(
        f"{mark} {line}" if line.lstrip().startswith(MAGIC) and language == "python" else line for line in lines
    )


def text_cell(source: str, is_code: bool, language: str) -> str:
    return f"```{language}\n{source}\n```" if is_code else source


def is_whole(text: str) -> bool:
    """Whether a text has no half of a surrogate pair, which JSON can write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
