"""The annotator's own scores of many documents: tasks in many processes that go on after a kill.

Always holds: a task's documents depend on what is to be scored alone, never on the number of processes, so that what was
killed gives the same scores when it goes on; a task that is done is not done again.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
from datatrove.pipeline.base import PipelineStep

from streamer.catalog.catalog import Catalog
from streamer.catalog.shard_rows import iterate_shard
from streamer.corpus.executors import Execution, cores, run_stage
from streamer.corpus.progress import Progress, Tally
from streamer.corpus.spool import read_at, read_places, write_through
from streamer.scoring import trained as annotators
from streamer.scoring.annotator import NGRAMS
from streamer.scoring.annotator_recipe import AnnotatorRecipe
from streamer.scoring.trained import Embedder, Trained

TASK_DOCUMENTS, TASK_NGRAMS = 256, 8192
Place = tuple[int, int]  # where a document lies in its source


class Placed(NamedTuple):
    """A document and where it lies."""

    place: Place
    document: str
    language: str
    text: str


class Source(Protocol):
    """Documents under keys, such as streams, that can be read in order and by their places."""

    def names(self) -> Sequence[str]: ...

    def read(self, key: str) -> Iterator[Placed]: ...

    def at(self, key: str, places: Sequence[Place]) -> Iterator[Placed]:
        """Those at some places, in order."""


class StreamParts:
    """Some parts of streams of documents, given as part ids by stream. A place is a part's number and a row."""

    def __init__(self, catalog: Catalog, parts: dict[str, list[str]]) -> None:
        self.catalog, self.parts = catalog, parts

    def names(self) -> Sequence[str]:
        return list(self.parts)

    def read(self, key: str) -> Iterator[Placed]:
        yield from self._rows(key, None)

    def at(self, key: str, places: Sequence[Place]) -> Iterator[Placed]:
        yield from self._rows(key, set(places))

    def _rows(self, key: str, wanted: set[Place] | None) -> Iterator[Placed]:
        snapshot, redacted = self.catalog.stream(key), self.catalog.redacted(key)
        mine = set(self.parts[key])
        numbers = None if wanted is None else {number for number, _ in wanted}
        for part in snapshot.parts:
            if part.part_id not in mine or (numbers is not None and part.number not in numbers):
                continue
            first = 0
            for shard in part.shards:
                span, first = range(first, first + shard.samples), first + shard.samples
                if wanted is not None and not any((part.number, row) in wanted for row in span):
                    continue
                rows = iterate_shard(self.catalog.store, part, shard, ("document", "language", "text"))
                for row, found in zip(span, rows, strict=True):
                    place = (part.number, row)
                    if (wanted is None or place in wanted) and not redacted.has(*place):
                        yield Placed(place, found["document"], found["language"], found["text"])


class Spools:
    """The documents of spools. A place is an offset in the file."""

    def __init__(self, spools: Sequence[Path]) -> None:
        self.spools = list(spools)

    def names(self) -> Sequence[str]:
        return [str(spool) for spool in self.spools]

    def read(self, key: str) -> Iterator[Placed]:
        for place, kept in read_places(Path(key)):
            yield Placed((0, place), kept.document.document, kept.document.language, kept.document.text)

    def at(self, key: str, places: Sequence[Place]) -> Iterator[Placed]:
        with Path(key).open("rb") as file:
            for place in places:
                found = read_at(file, place[1]).document
                yield Placed(place, found.document, found.language, found.text)


class Task(msgspec.Struct, frozen=True, array_like=True):
    """Documents of one key."""

    key: str
    places: list[Place]


class ExactScorer(PipelineStep):  # type: ignore[misc]
    """Scores the documents of one task and writes their scores, in order."""

    type, name = "📊 - SCORE", "annotator"

    def __init__(self, trained: Trained, source: Source, folder: Path, threads: int) -> None:
        super().__init__()
        self.trained, self.source, self.folder, self.threads = trained, source, folder, threads

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        task = msgspec.msgpack.decode(task_path(self.folder, rank).read_bytes(), type=Task)
        with Tally(self.folder / "tallies", rank) as tally:
            found = list(self.source.at(task.key, task.places))
            embedder = load_once(self.trained.recipe, self.threads)
            scores = annotators.score(self.trained, [one.text for one in found], embedder=embedder)
            rows = [(one.document, round(score, 6)) for one, score in zip(found, scores.tolist(), strict=True)]
            write_through(scores_path(self.folder, rank), msgspec.msgpack.encode(rows))
            tally.add(len(found))
        yield from ()


def task_path(folder: Path, rank: int) -> Path:
    return folder / "tasks" / f"{rank:05d}"


def scores_path(folder: Path, rank: int) -> Path:
    return folder / "scores" / f"{rank:05d}"


@lru_cache(maxsize=2)
def load_once(recipe: AnnotatorRecipe, threads: int) -> Embedder:
    """One embedder for all tasks of a process."""
    if recipe.embedder != NGRAMS:
        import torch

        torch.set_num_threads(threads)
    return annotators.load_embedder(recipe)


def score_exactly(
    trained: Trained,
    source: Source,
    wanted: dict[str, list[Place]],
    folder: Path,
    how: Execution,
    progress: Progress,
    *,
    step: str,
) -> dict[str, float]:
    """Scores by the annotator itself, by document. Raises: CorpusError.

    Args: wanted, the places by key; folder, the working folder, in which a step is one choice of documents alone.
    """
    base, folder = folder, folder / step
    size = TASK_NGRAMS if trained.recipe.embedder == NGRAMS else TASK_DOCUMENTS
    tasks = [Task(key, places[at : at + size]) for key, places in wanted.items() for at in range(0, len(places), size)]
    if not tasks:
        return {}
    for part in ("tasks", "scores"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for rank, task in enumerate(tasks):
        write_through(task_path(folder, rank), msgspec.msgpack.encode(task))
    workers = min(how.workers, len(tasks))
    scorer = ExactScorer(trained, source, folder, threads=max(1, cores() // workers))
    with progress.watching(step, folder / "tallies", sum(len(task.places) for task in tasks)):
        run_stage([scorer], base, step, how._replace(tasks=len(tasks), workers=workers))
    found: dict[str, float] = {}
    for rank in range(len(tasks)):
        found |= dict(msgspec.msgpack.decode(scores_path(folder, rank).read_bytes()))
    return found
