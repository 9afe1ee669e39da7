"""Which benchmarks a corpus is kept free of, as a recipe says it.

Always holds: the files are read once, before anything else is; a pattern that finds no file is an error.
"""

from collections.abc import Iterator
from glob import glob

from streamer.errors import CorpusError
from streamer.likeness.contamination import Index, Rule, index_tasks
from streamer.likeness.tasks import read_tasks


class Decontamination(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The benchmarks, and from which length and likeness on a file counts as a copy of one of their tasks.

    Attributes:
        min_letters: How many letters and digits a sentence of a task, or the body of its solution, must have to be looked
            for alone.
        min_function_letters: The same for a whole function, from its name on.
        min_letters_together: The same for words and solution together, where a file has both, each of 16 or more.
        min_words: How many words of a solution's structure a file must have. Names and numbers count, but are not compared;
            comments, strings and parentheses do not count.
        min_words_whole: The same where all of a solution stands in the file, and not a share of it.
        min_overlap: Which share of a solution's structure a file must have, in one place.
        sets: Paths or globs of the benchmarks: JSONL files, compressed by gzip or not, in the columns of HumanEval, MBPP,
            EvoEval, BigCodeBench, HumanEval-X, MBXP or MultiPL-E, or with columns of the same names. Without them nothing
            is looked for.
    """

    sets: tuple[str, ...] = ()

    @property
    def rule(self) -> Rule:
        """The thresholds alone."""
        return Rule(**{name: getattr(self, name) for name in Rule.__struct_fields__})


def read_sets(wanted: Decontamination) -> Index:
    """The index of the benchmarks of a recipe. Raises: CorpusError."""
    return index_tasks(read_tasks(find_files(wanted.sets)), wanted.rule)


def find_files(patterns: tuple[str, ...], *, remedy: str = "Correct [decontamination] sets in the recipe.") -> Iterator[str]:
    """The files that paths and globs name, those of a glob sorted. Raises: CorpusError for one that names none."""
    for pattern in patterns:
        found = sorted(glob(pattern, recursive=True))
        if not found:
            raise CorpusError(f"There is no benchmark {pattern}. {remedy}")
        yield from found
