"""Which files have tasks of benchmarks in them: verbatim, renamed, reformatted, or inside of larger files.

Always holds: the same tasks and rule give the same index; a verdict depends on index, text and language alone; an index
holds numbers and the names of tasks, no text of a benchmark.

How, over the views of `code_views`:

- A passage is the letters of a sentence that a task says, or of its solution. What StarCoder2's rule finds (docstrings
  and solutions in lower case and without white space, as substrings) is found, from a length on. Shorter ones count where
  words and solution of the same task stand in one file.
- The structure of a solution is the set of its runs of 16 words without names. What stands of it in one place of a file is
  weighed by how few solutions have each run.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from streamer.likeness.code_views import bare_code, letters, structure, structures
from streamer.likeness.passages import BETWEEN, Found, Kind, Passage, PassageFinder, Passages, index_passages, is_varied
from streamer.likeness.structures import Shared, StructureFinder, Structures, index_structures, telling_words
from streamer.likeness.tasks import Task

SENTENCE = re.compile(r"[.!?:;]\s|\n[ \t]*+\n")


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From which length and likeness on a file counts as a copy of a task; `Decontamination` explains each threshold."""

    min_letters: int = 40
    min_function_letters: int = 20
    min_letters_together: int = 40
    min_words: int = 26
    min_words_whole: int = 22
    min_overlap: float = 0.65


class Match(NamedTuple):
    """A task that a file has, how much of it (1 is all), and what was found.

    `found` is `words`, `body`, `function`, `words and solution` or `structure`.
    """

    task: str
    score: float
    found: str


class Index(NamedTuple):
    """The tasks: the rule, their names, and what they are found by."""

    rule: Rule
    names: tuple[str, ...]
    passages: Passages
    structures: Structures


def index_tasks(tasks: Iterable[Task], rule: Rule) -> Index:
    """The index of tasks. What several tasks have in common is the first one's."""
    names: list[str] = []
    known: set[object] = set()
    passages: list[Passage] = []
    solutions: list[bytes] = []
    owners: list[int] = []
    for number, task in enumerate(tasks):
        names.append(task.name)
        for passage in passages_of(task, number, rule):
            name = passage.data if len(passage.data) >= rule.min_letters else passage
            if name not in known:
                known.add(name)
                passages.append(passage)
        codes = structure(code_of(task))
        if (codes, "structure") not in known and telling_words(codes) >= min(rule.min_words, rule.min_words_whole):
            known.add((codes, "structure"))
            solutions.append(codes)
            owners.append(number)
    return Index(rule, tuple(names), index_passages(passages), index_structures(solutions, owners))


def code_of(task: Task) -> bytes:
    """The bare code of a solution, with the head of its function."""
    solution = bare_code(encoded(task.solution), task.language)
    return encoded(task.head) + b"\n" + solution if task.solution else b""


def passages_of(task: Task, number: int, rule: Rule) -> Iterator[Passage]:
    """The passages of a task: the long sentences of its request, or else its words as a whole; its solution in each form."""
    sentences = [letters(encoded(sentence)) for sentence in SENTENCE.split(task.request)]
    words = [sentence for sentence in sentences if len(sentence) >= rule.min_letters]
    if not words:
        all_words = letters(encoded(task.words))[: 2 * rule.min_letters]
        words = [max(letters(encoded(task.request)), all_words, key=len)]
    solution = encoded(task.solution)
    own = Kind.FUNCTION if task.has_function else Kind.BODY
    found = [(data, Kind.WORDS) for data in words]
    found += [(letters(solution), own), (letters(bare_code(solution, task.language)), own)]
    if task.head:
        found.append((letters(code_of(task)), Kind.FUNCTION))
    for data, kind in dict.fromkeys(found):
        if is_varied(data):
            yield Passage(data, number, kind)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


class Contamination:
    """Looks for the tasks of an index in files."""

    def __init__(self, index: Index) -> None:
        self._index, self._rule = index, index.rule
        self._passages, self._structures = PassageFinder(index.passages), StructureFinder(index.structures)

    def find(self, text: str, language: str) -> Match | None:
        """The task that a file has in it, or None."""
        return self.find_all([text], [language])[0]

    def find_all(self, texts: Sequence[str], languages: Sequence[str]) -> list[Match | None]:
        """The same for several files, in half the time."""
        data = [encoded(text) for text in texts]
        codes = [bare_code(one, language) for one, language in zip(data, languages, strict=True)]
        views = [letters(one) + BETWEEN + letters(code) for one, code in zip(data, codes, strict=True)]
        found = [self._by_passages(passages) for passages in self._passages.find_all(views)]
        for file, match in self._by_structure(structures(codes)).items():
            found[file] = found[file] or match
        return found

    def _by_passages(self, found: list[Found]) -> Match | None:
        found.sort(reverse=True)
        for one in found:
            if one.size >= (self._rule.min_function_letters if one.kind is Kind.FUNCTION else self._rule.min_letters):
                return Match(self._index.names[one.task], 1.0, one.kind.name.lower())
        words = {one.task: one.size for one in reversed(found) if one.kind is Kind.WORDS}
        for one in found:
            together = one.size + words.get(one.task, 0)
            if one.kind is not Kind.WORDS and one.task in words and together >= self._rule.min_letters_together:
                return Match(self._index.names[one.task], 1.0, "words and solution")
        return None

    def _by_structure(self, codes: Sequence[bytes]) -> dict[int, Match]:
        """The task of which each file has most, for those that have enough of one."""
        rule, best = self._rule, dict[int, Shared]()
        for one in self._structures.find_all(codes, min_overlap=rule.min_overlap):
            if one.words < (rule.min_words_whole if one.score == 1 else rule.min_words):
                continue
            if one.file not in best or one.score > best[one.file].score:
                best[one.file] = one
        tasks = self._index.structures.tasks
        return {file: Match(self._index.names[tasks[one.structure]], one.score, "structure") for file, one in best.items()}
