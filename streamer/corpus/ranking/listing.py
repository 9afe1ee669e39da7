"""Lists all documents of a source, with what a student says of each: tasks in many processes that go on after a kill."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from datatrove.pipeline.base import PipelineStep

from streamer.corpus.executors import Execution, run_stage
from streamer.corpus.progress import Progress, Tally
from streamer.corpus.ranking.sources import Source
from streamer.corpus.spool import write_through
from streamer.scoring.student import Student

BATCH = 256
MOST_TASKS = 1000
One = tuple[str, int]  # a document, by its key and its number there


class Listing(msgspec.Struct, array_like=True):
    """The documents of a key, in order. `foretold`: the student's scores, none without a student."""

    key: str
    places: list[int]
    documents: list[str]
    languages: list[str]
    foretold: list[float]


class Listed:
    """All documents of a source: where they lie, and what the student says of them."""

    def __init__(self, listings: Sequence[Listing]) -> None:
        self.by_key = {one.key: one for one in listings}

    def by_language(self) -> dict[str, list[One]]:
        """Of each language its documents."""
        found: dict[str, list[One]] = defaultdict(list)
        for key, listing in self.by_key.items():
            for number, language in enumerate(listing.languages):
                found[language].append((key, number))
        return found

    def at(self, chosen: Sequence[One]) -> dict[str, list[int]]:
        """The places of some documents, by key, in the order of the source."""
        found: dict[str, list[int]] = defaultdict(list)
        for key, number in sorted(chosen):
            found[key].append(self.by_key[key].places[number])
        return dict(found)

    def document(self, one: One) -> str:
        return self.by_key[one[0]].documents[one[1]]

    def foretold(self, one: One) -> float:
        return self.by_key[one[0]].foretold[one[1]]


class Lister(PipelineStep):  # type: ignore[misc]
    """Lists the documents of each task's keys."""

    type, name = "📖 - LIST", "documents"

    def __init__(self, source: Source, tasks: list[list[str]], student: Student | None, folder: Path) -> None:
        super().__init__()
        self.source, self.tasks, self.student, self.folder = source, tasks, student, folder

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        found = []
        with Tally(self.folder / "tallies", rank) as tally:
            for key in self.tasks[rank]:
                listing, rows = Listing(key, [], [], [], []), iter(self.source.read(key))
                while batch := list(islice(rows, BATCH)):
                    languages = [one.language for one in batch]
                    listing.places += [one.place for one in batch]
                    listing.documents += [one.document for one in batch]
                    listing.languages += languages
                    if self.student is not None:
                        scores = self.student.score([one.text for one in batch], languages)
                        listing.foretold += np.round(scores, 6).tolist()
                    tally.add(len(batch))
                found.append(listing)
        write_through(self.folder / f"{rank:05d}", msgspec.msgpack.encode(found))
        yield from ()


def list_documents(
    source: Source, folder: Path, how: Execution, progress: Progress, *, step: str, student: Student | None = None
) -> Listed:
    """Lists the documents of a source. Raises: CorpusError.

    Args: folder, the working folder, in which a step lists one source alone.
    """
    keys = source.keys()
    size = -(-len(keys) // MOST_TASKS) or 1
    tasks = [list(keys[at : at + size]) for at in range(0, len(keys), size)]
    mine = folder / f"{step}-listed"
    mine.mkdir(parents=True, exist_ok=True)
    if tasks:
        with progress.watching(step, mine / "tallies", 0):
            run_stage([Lister(source, tasks, student, mine)], folder, mine.name, how._replace(tasks=len(tasks)))
    found = [msgspec.msgpack.decode((mine / f"{rank:05d}").read_bytes(), type=list[Listing]) for rank in range(len(tasks))]
    return Listed([listing for listings in found for listing in listings])
