"""Which files have tasks of benchmarks in them: verbatim, renamed, reformatted, or inside of larger files.

Always holds: the same tasks and rule give the same index; a verdict depends on index, text and language alone; an index
holds numbers, no text of a benchmark.

How, over the views of `code_views`:

- A passage is the letters of what a task says in words, or of its solution (StarCoder2's rule: docstrings and solutions
  without white space, as substrings). One of `min_letters` is enough. Shorter ones count where words and solution of one
  task stand in one file, `min_letters_together` of them.
- The structure of a solution is the set of its runs of 20 words without names. Those that stand close together in a file
  are weighed by how few solutions have them; the share `min_overlap` of a solution's weight is enough, if the solution has
  `min_words`.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from streamer.likeness.code_views import Codes, bare_code, letters, structure
from streamer.likeness.passages import WINDOW, Found, Passage, PassageFinder, Passages, index_passages
from streamer.likeness.structures import RUN, telling_runs, StructureFinder, Structures, index_structures
from streamer.likeness.tasks import Task


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From which length and likeness on a file counts as a copy of a task."""

    min_letters: int = 60
    min_letters_together: int = 60
    min_words: int = 50
    min_overlap: float = 0.7


class Match(NamedTuple):
    """A task that a file has, how much of it (1 is all), and the rule that found it."""

    task: str
    score: float
    rule: str


class Index(NamedTuple):
    """The tasks, as numbers, and their names."""

    rule: Rule
    names: tuple[str, ...]
    passages: Passages
    structures: Structures


def index_tasks(tasks: Iterable[Task], rule: Rule) -> Index:
    """The index of tasks. What several tasks have in common is the first one's."""
    names: list[str] = []
    known: set[object] = set()
    passages: list[Passage] = []
    structures: list[Codes] = []
    owners: list[int] = []
    for number, task in enumerate(tasks):
        names.append(task.name)
        for passage in passages_of(task, number, rule):
            key = (passage.data, number if len(passage.data) < rule.min_letters else -1, passage.is_solution)
            if key not in known:
                known.add(key)
                passages.append(passage)
        words = structure(code_of(task))
        if len(np.unique(telling_runs(words))) + RUN - 1 >= rule.min_words and words.tobytes() not in known:
            known.add(words.tobytes())
            structures.append(words)
            owners.append(number)
    return Index(rule, tuple(names), index_passages(passages), index_structures(structures, owners))


def code_of(task: Task) -> bytes:
    """The bare code of a solution with the head of its function."""
    solution = bare_code(encoded(task.solution), task.language)
    return encoded(task.head) + b"\n" + solution if task.solution else b""


def passages_of(task: Task, number: int, rule: Rule) -> Iterator[Passage]:
    """The passages of a task: its request, or all its words where that is short; its solution as it is and bare."""
    request, words = letters(encoded(task.request)), letters(encoded(task.words))
    request = request if len(request) >= rule.min_letters else max(request, words[: 4 * rule.min_letters], key=len)
    for data, is_solution in (
        (request, False),
        (letters(encoded(task.solution)), True),
        (letters(code_of(task)), True),
        (letters(bare_code(encoded(task.solution), task.language)), True),
    ):
        if len(data) >= WINDOW:
            yield Passage(data, number, is_solution)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


class Contamination:
    """Looks for the tasks of an index in files."""

    def __init__(self, index: Index) -> None:
        self._index, self._rule = index, index.rule
        self._passages, self._structures = PassageFinder(index.passages), StructureFinder(index.structures)

    def find(self, text: str, language: str) -> Match | None:
        """The task that a file has in it, or None."""
        data = encoded(text)
        code = bare_code(data, language)
        found = [*self._passages.find(letters(data)), *self._passages.find(letters(code))]
        return self._by_passages(found) or self._by_structure(structure(code))

    def _by_passages(self, found: list[Found]) -> Match | None:
        longest = max(found, default=None)
        if longest is None:
            return None
        if longest.size >= self._rule.min_letters:
            return Match(self._index.names[longest.task], 1.0, "solution" if longest.is_solution else "words")
        words: dict[int, int] = {}
        for one in found:
            if not one.is_solution:
                words[one.task] = max(one.size, words.get(one.task, 0))
        for one in found:
            if one.is_solution and one.task in words and one.size + words[one.task] >= self._rule.min_letters_together:
                return Match(self._index.names[one.task], 1.0, "words and solution")
        return None

    def _by_structure(self, codes: Codes) -> Match | None:
        best = max(self._structures.find(codes, self._rule.min_overlap), key=lambda one: one[1], default=None)
        if best is None:
            return None
        return Match(self._index.names[self._index.structures.tasks[best[0]]], best[1], "structure")
