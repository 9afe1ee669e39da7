"""Solutions of benchmarks in any language, as strangers change them: other names, another layout, a larger file around.

Always holds: comments and strings stay as they are, and so does what a language or its library names; what is renamed is
what the text declares: its functions, parameters and variables.

How: for Python its own parser tells names and layout (`planted_tasks`); for the others a name is the text's own that is
assigned, counted, looped over, or listed in a head. No rule of a single language is complete; what it leaves is left.
"""

import gzip
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import planted_tasks
from benchmarks.planted_copies import BLOCKS
from streamer.likeness.code_views import C_PATTERN, CALLED, PATTERNS, bare_code, structure
from streamer.likeness.code_words import KEYWORDS, without_comments
from streamer.likeness.structures import telling_words
from streamer.likeness.tasks import Task, read_task

SETS = (  # which of them have solutions in the language of their name, or prompts alone
    "evalplus/HumanEvalPlus", "evalplus/MbppPlus", "bigcodebench/BigCodeBench", "evoeval/EvoEval_difficult",
    "evoeval/EvoEval_creative", "evoeval/EvoEval_combine", "humaneval-x/*", "mbxp/*", "multilingual-humaneval/*",
    "multipl-e/*",
)  # fmt: skip
NAME = r"\$?[A-Za-z_]\w*"
OWN = re.compile(
    rf"({NAME})(?=\s*(?::?=(?![=>])|[-+*/%&|^]=|\+\+|--|,\s*{NAME}\s*:?=(?!=)))"  # assigned, counted
    rf"|(?:\+\+|--)({NAME})|\b(?:let|var|val|const|mut|auto|int|long|double|float|bool|boolean|string|String)\s+({NAME})"
    rf"|({NAME})(?=\s*:(?![:=])\s*[\w&\[(])|({NAME})(?=\s+(?:in|of)\b)|\bas\s+({NAME})"
    rf"|\b(?:def|fn|func|fun|function)\s+({NAME})|\|\s*({NAME})"
)
LISTED = re.compile(rf"[(,][^(),:]*?({NAME})(?=\s*[,)])")
LISTED_IN_GO = re.compile(rf"[(,]\s*({NAME})(?=\s+[\w\[\]*.]+\s*[,)])")
USED = re.compile(rf"(?<![\w$])(?<!(?<!\.)\.)({NAME})(?![\w!])")
TYPES = frozenset((
    "int", "long", "double", "float", "bool", "boolean", "string", "char", "byte", "rune", "error", "any", "object",
    "float64", "float32", "int64", "int32", "i32", "i64", "u8", "u32", "u64", "f64", "usize", "isize", "vec", "map", "void",
    "default",
    "self", "$this", "auto", "mut", "var", "val", "unsigned",
    "array", "std", "vector", "end", "then", "begin", "each",
    "foreach", "of", "as", "echo", "typeof", "undefined", "loop", "where", "String",
))  # fmt: skip
IMPORT = re.compile(r"\s*(?:#|import\b|using\b|use\b|package\b)")
HEAD = re.compile(r"(?:[{=]|=>)\s*$|^\s*(?:def|fn|func|fun|function)\b", re.MULTILINE)
OPENING = re.compile(rb"^([ \t]*)(\S[^\n]*?)[ \t]*\{[ \t]*$", re.MULTILINE)
OWN_LINE = frozenset({"cpp", "csharp", "java", "php", "rust"})  # where a brace may stand on a line of its own


class Published(NamedTuple):
    """A task: its name, its language, its text with the solution, and how many words a structure of the solution has."""

    name: str
    language: str
    text: str
    has_solution: bool
    words: int


def read_published(folder: Path) -> Iterator[Published]:
    """The tasks that are planted; those of Python alone that Python can read."""
    for pattern in SETS:
        for path in sorted(folder.glob(f"{pattern}.jsonl.gz")):
            with gzip.open(path, "rt") as file:
                for number, row in enumerate(map(json.loads, file)):
                    set_name = path.name.split(".")[0]
                    task = read_task(row, set_name, f"{path}:{number}")
                    text = text_of(row, task)
                    if task.language != "python" or is_python(text):
                        words = telling_words(structure(task_code(task)))
                        yield Published(task.name, task.language, text, bool(task.solution), words)


def text_of(row: dict[str, Any], task: Task) -> str:
    """Prompt and solution as their authors join them."""
    prompt = str(row.get("complete_prompt") or row["prompt"])
    declaration = str(row.get("declaration") or "") if task.language == "rust" else ""
    between = "" if task.solution[:1].isspace() and "\n" in prompt[-1:] + task.solution[:1] else "\n"
    return (prompt + declaration + between + task.solution).replace("<?php", "")


def task_code(task: Task) -> bytes:
    return task.head.encode() + b"\n" + bare_code(task.solution.encode(), task.language)


def is_python(text: str) -> bool:
    try:
        planted_tasks.without_words(text)
    except SyntaxError:
        return False
    return True


def code_alone(text: str, language: str) -> str:
    """Without comments and, in Python, docstrings."""
    return planted_tasks.without_words(text) if language == "python" else without_comments(text, language)


def renamed(text: str, language: str, chance: random.Random) -> str:
    """With another name for every function, parameter and variable of its own."""
    if language == "python":
        return planted_tasks.renamed(text)
    names = own_names(bare_code(text.encode(), language).decode(), LISTED_IN_GO if language == "go" else LISTED)
    others = {name: f"{'$' * name.startswith('$')}thing_{number}" for number, name in enumerate(sorted(names))}

    def other(found: "re.Match[str]") -> str:
        is_known = found[1].lower() in CALLED and found.string[found.end() :].lstrip().startswith("(")
        return found[1] if is_known else others.get(found[1], found[1])

    def change(code: str) -> str:
        lines = code.split("\n")
        return "\n".join(line if IMPORT.match(line) else USED.sub(other, line) for line in lines)

    return in_code(text, language, change)


def own_names(code: str, listed: "re.Pattern[str]") -> set[str]:
    """What the text declares, as far as one can see without a parser."""
    lines = [line for line in code.split("\n") if not IMPORT.match(line)]
    found = {next(filter(None, one.groups())) for line in lines for one in OWN.finditer(line)}
    found |= {one[1] for line in lines if HEAD.search(line) for one in listed.finditer(line)}
    return {name for name in found if name not in TYPES and name.lower() not in KEYWORDS}


def in_code(text: str, language: str, change: Callable[[str], str]) -> str:
    """The text with a change of what stands between its comments and strings."""
    data, pieces, place = text.encode(), [], 0
    for found in PATTERNS.get(language, C_PATTERN).finditer(data):
        pieces += [change(data[place : found.start()].decode()), found[0].decode()]
        place = found.end()
    return "".join([*pieces, change(data[place:].decode())])


def reformatted(text: str, language: str, chance: random.Random) -> str:
    """With tabs, braces on lines of their own, empty lines, and line ends of Windows."""
    if language == "python":
        return planted_tasks.reformatted(text, chance)
    if language in OWN_LINE:
        text = OPENING.sub(rb"\1\2\n\1{", text.encode()).decode()
    lines = []
    for line in text.split("\n"):
        bare = line.lstrip(" ")
        lines.append("\t" * ((len(line) - len(bare) + 1) // 2) + bare)
    return "\r\n".join(each for line in lines for each in ((line, "") if chance.random() < 0.2 else (line,)))


def inside(text: str, host: str, language: str, chance: random.Random) -> str:
    """The text between two pieces of a larger file that begin at the margin, and not in a comment or a string."""
    hidden = [found.span() for found in PATTERNS.get(language, C_PATTERN).finditer(host.encode("ascii", "replace"))]
    places = [found.end() for found in BLOCKS.finditer(host)]
    places = [place for place in places if not any(start < place < end for start, end in hidden)] or [len(host)]
    place = chance.choice(places)
    return f"{host[:place]}\n{text}\n\n{host[place:]}"


CHANGES: dict[str, Callable[[str, str, random.Random], str]] = {
    "verbatim": lambda text, language, chance: text,
    "renamed": renamed,
    "reformatted": reformatted,
}
