"""The tasks of benchmarks, read from their published files, for the corpus to be kept free of them.

Always holds: a file that cannot be read, a line that is no object, and a row that says nothing are errors that name file and
line; nothing is skipped.

The columns are those of HumanEval(+), MBPP(+), EvoEval, BigCodeBench, HumanEval-X, HumanEvalPack, MBXP and MultiPL-E. Any
other JSONL works that calls its columns by one of these names.
"""

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from streamer.documents.json_lines import Bad, Row, read_json_lines
from streamer.documents.languages import key_of
from streamer.errors import CorpusError
from streamer.likeness.code_views import BLANK, bare_code, comments_and_strings

NAMES = ("task_id", "name", "id")
WORDS = ("description", "docstring", "text", "instruction", "question", "problem")
PROMPTS = ("prompt", "complete_prompt", "declaration", "code_prompt")
SOLUTIONS = ("canonical_solution", "code", "solution", "completion", "output", "content")
LANGUAGE_OF_SET = {  # the first word of a task's name, where rows have no language
    "cpp": "cpp", "go": "go", "java": "java", "javascript": "javascript", "js": "javascript", "python": "python",
    "rust": "rust", "mbcpp": "cpp", "mbcsp": "csharp", "mbgp": "go", "mbjp": "java", "mbjsp": "javascript",
    "mbkp": "kotlin", "mbphp": "php", "mbrbp": "ruby", "mbscp": "scala", "mbswp": "swift", "mbtsp": "typescript",
}  # fmt: skip
END_OF_REQUEST = re.compile(
    r">>>|\bexamples?\b|\bassert\b|\bfor instance\b|\be\.g\."
    r"|\b(?:args|arguments|parameters|returns|raises|requirements|notes?|constants|input|output)\s{0,4}:",
    re.IGNORECASE,
)


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One task: what it says in words, the head of its function as the prompt has it, and its solution.

    Attributes:
        name: The file of the set and the name of the task in it, such as `HumanEval: HumanEval/0`.
        language: The language of its code.
        words: What it asks for, without marks of comments; empty when the set does not say.
        head: The code of the prompt from the head of the function on; empty when the solution has it.
        solution: The code that solves it; empty when the set has none.
    """

    name: str
    language: str
    words: str
    head: str
    solution: str

    @property
    def has_function(self) -> bool:
        """Whether the solution begins with the head of its function, rather than with an indented body."""
        return not self.solution.lstrip("\r\n")[:1].isspace()

    @property
    def request(self) -> str:
        """The words before the first example or list of parameters."""
        return END_OF_REQUEST.split(self.words, maxsplit=1)[0]


def read_tasks(paths: Iterable[str]) -> Iterator[Task]:
    """The tasks of JSONL files, compressed by gzip or not. Raises: CorpusError that names the file and the line."""
    for path in paths:
        name = Path(path).name.split(".")[0]
        try:
            with Path(path).open("rb") as bare, gzip.open(bare) if path.endswith(".gz") else bare as file:
                for line, row in read_json_lines(file):
                    yield read_task(row, name, f"{path}:{line}")
        except (OSError, EOFError, zlib.error) as error:
            raise CorpusError(
                f"Cannot read the benchmark {path} ({error}). Correct [decontamination] sets in the recipe."
            ) from error


def read_task(row: Row | Bad, set_name: str, where: str) -> Task:
    """One row as a task. Raises: CorpusError."""
    if isinstance(row, Bad):
        raise CorpusError(f"{where} is {row.value}. Give a JSONL file with one task on each line.")
    named = first_text(row, NAMES) or where.rpartition(":")[2]
    language = language_of(row, set_name, named)
    prompt, words, solution = first_text(row, PROMPTS), first_text(row, WORDS), first_text(row, SOLUTIONS)
    if not (prompt or words or solution):
        known = ", ".join((*PROMPTS, *WORDS, *SOLUTIONS))
        raise CorpusError(f"{where} has no text of a task. One of these columns must be a text: {known}.")
    data = prompt.encode("utf-8", "surrogatepass")
    return Task(
        name=f"{set_name}: {named}",
        language=language,
        words=words or words_of(comments_and_strings(data, language)).decode("utf-8", "replace"),
        head=head_of(
            bare_code(data, language).replace(BLANK, b" ").decode("utf-8", "replace"), str(row.get("entry_point") or "")
        ),
        solution=solution,
    )


def words_of(found: list[bytes]) -> bytes:
    """What a prompt says in words: its longest comment or string when that has several lines, else all its comments."""
    longest = max(found, key=len, default=b"")
    comments = b"\n".join(piece for piece in found if piece[:1] not in b"\"'`")
    return longest if b"\n" in longest or not comments else comments


def first_text(row: dict[str, Any], columns: Iterable[str]) -> str:
    found = (row.get(column) for column in columns)
    return next((str(text) for text in found if isinstance(text, str | int) and str(text).strip()), "")


def language_of(row: dict[str, Any], set_name: str, task_name: str) -> str:
    """What a row states, else what the names of its task or file say; Python otherwise, which most sets are of."""
    stated = str(row.get("language") or "").split("_")[0]
    first = task_name.split("/")[0].lower()
    last = set_name.replace("-", "_").rpartition("_")[2].lower()
    return key_of(stated) or LANGUAGE_OF_SET.get(first) or key_of(last) or LANGUAGE_OF_SET.get(last) or "python"


def head_of(code: str, entry_point: str) -> str:
    """The bare code of a prompt from the line on that names its function last."""
    lines = code.splitlines()
    named = re.compile(rf"\b{re.escape(entry_point)}\b") if entry_point else re.compile(r"\S")
    starts = [place for place, line in enumerate(lines) if named.search(line)]
    return "\n".join(lines[starts[-1] :]) if starts else ""
