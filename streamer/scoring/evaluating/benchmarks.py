"""Annotators judged on benchmarks: their solutions against documents that no annotator has learned from.

Always holds: a benchmark is only scored, never learned from; the documents are chosen by the seed, and each is scored once
by every annotator; annotators that read texts alike embed them once.
"""

import gzip
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamer.catalog.catalog import Catalog
from streamer.documents.json_lines import Bad, read_json_lines
from streamer.errors import CorpusError
from streamer.likeness.decontamination import find_files
from streamer.likeness.tasks import NAMES, PROMPTS, SOLUTIONS, first_text, language_of
from streamer.packing.grouping import random_key
from streamer.scoring.evaluating.evaluation import Figures, Scored, compare, scored
from streamer.scoring.positives import Draw, Text, read_streams
from streamer.scoring.trained import Trained, is_seen, reading_of, score_alike

RANDOM, PER_LANGUAGE = 1000, 500
Progress = Callable[[int, int], None]


class Documents(NamedTuple):
    """Random documents, and of each language some of its own. Both are places in `texts`."""

    texts: list[Text]
    together: list[int]
    by_language: dict[str, list[int]]


class Judged(NamedTuple):
    """What was found of one annotator: its figures, and what they are of. `by_language`: documents of each language."""

    annotator: Trained
    figures: list[Figures]
    solutions: dict[str, Scored]
    documents: Scored
    by_language: dict[str, Scored]


def read_solutions(patterns: Sequence[str]) -> dict[str, list[Text]]:
    """The solutions of benchmarks, by set: files that are called alike up to the first `_`, `-` or `.` are one.

    A solution that is the body of its prompt's function stands behind the prompt. Tasks without one are left out.
    Raises: CorpusError for a pattern that finds nothing, a line that is no object, and where there is no solution at all.
    """
    found: dict[str, list[Text]] = defaultdict(list)
    for path in find_files(tuple(patterns), remedy="Correct --sets."):
        name = Path(path).name.split(".")[0].replace("-", "_").partition("_")[0]
        found[name] += solutions_in(path)
    if not any(found.values()):
        raise CorpusError(f"{', '.join(patterns)} have no solutions; name files with one of {', '.join(SOLUTIONS)}")
    return {name: texts for name, texts in sorted(found.items()) if texts}


def solutions_in(path: str) -> Iterator[Text]:
    set_name = Path(path).name.split(".")[0]
    try:
        with Path(path).open("rb") as bare, gzip.open(bare) if path.endswith(".gz") else bare as file:
            for line, row in read_json_lines(file):
                if isinstance(row, Bad):
                    raise CorpusError(f"{path}:{line} is {row.value}; give a JSONL file with one task on each line")
                solution, prompt = first_text(row, SOLUTIONS), first_text(row, PROMPTS)
                if solution:
                    named = first_text(row, NAMES) or str(line)
                    is_body = solution.lstrip("\r\n")[:1].isspace()
                    yield Text(named, prompt + solution if is_body else solution, language_of(row, set_name, named))
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"benchmark {path} cannot be read ({error}); correct the path") from error


def choose_documents(
    catalog: Catalog, pattern: str, annotators: Sequence[Trained], languages: Iterable[str], *, files: int, seed: int
) -> Documents:
    """Random documents that no annotator has learned from, and of each language at most `PER_LANGUAGE`.

    Raises: CorpusError when there is none.
    """
    drawn, by_language = Draw(files), {language: Draw(PER_LANGUAGE) for language in languages}
    for one in read_streams(catalog, pattern):
        if not any(is_seen(trained, one.text) for trained in annotators):
            key = random_key(seed, "unseen", one.text)
            drawn.add(key, one)
            if one.language in by_language:
                by_language[one.language].add(key, one)
    together = drawn.sorted()
    if not together:
        raise CorpusError(f"every document of {pattern} is one that an annotator learned from; ingest more, or name others")
    of_each = {language: found.sorted() for language, found in by_language.items()}
    every = dict(sorted({key: one for found in (together, *of_each.values()) for key, one in found.items()}.items()))
    places = {key: place for place, key in enumerate(every)}
    return Documents(
        list(every.values()),
        [places[key] for key in together],
        {language: [places[key] for key in found] for language, found in of_each.items() if found},
    )


def judge(
    annotators: Sequence[Trained],
    solutions: dict[str, list[Text]],
    documents: Documents,
    *,
    seed: int = 0,
    progress: Callable[[str], Progress] = lambda _: lambda *_: None,
) -> list[Judged]:
    """The figures of every set by each annotator, over all languages and within each.

    Args: progress, which gives for the annotators that are at work, by their labels, what gets texts done and texts in all.
    Raises: CorpusError when an embedder is not here.
    """
    texts = [*documents.texts, *(one for found in solutions.values() for one in found)]
    found = dict[str, Judged]()
    for reading in dict.fromkeys(reading_of(trained.recipe) for trained in annotators):
        alike = [trained for trained in annotators if reading_of(trained.recipe) == reading]
        report = progress(", ".join(trained.label for trained in alike))
        for trained, scores in zip(alike, score_alike(alike, [one.text for one in texts], report), strict=True):
            every = scored(scores, [one.text for one in texts], [one.language for one in texts])
            found[trained.label] = judge_scores(trained, every, solutions, documents, seed=seed)
    return [found[trained.label] for trained in annotators]


def judge_scores(
    trained: Trained, every: Scored, solutions: dict[str, list[Text]], documents: Documents, *, seed: int
) -> Judged:
    """The figures of one annotator. `every`: the documents, then the solutions of each set."""
    others, start = pick(every, range(len(documents.texts))), len(documents.texts)
    together = pick(others, documents.together)
    by_language = {language: pick(others, places) for language, places in documents.by_language.items()}
    figures, by_set = list[Figures](), dict[str, Scored]()
    for name, found in solutions.items():
        mine = by_set[name] = pick(every, range(start, start + len(found)))
        start += len(found)
        figures.append(compare(name, None, mine, together, seed=seed))
        for language in sorted(set(mine.languages.tolist()) & by_language.keys()):
            figures.append(compare(name, language, mine.of(language), by_language[language], seed=seed))
    return Judged(trained, figures, by_set, together, by_language)


def pick(found: Scored, places: Sequence[int] | range) -> Scored:
    at = np.asarray(places, np.int64)
    return Scored(found.scores[at], found.lengths[at], found.languages[at])
