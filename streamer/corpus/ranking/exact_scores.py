"""The annotator's own scores of many documents: tasks in many processes that go on after a kill.

Always holds: a task's documents depend on what is to be scored alone, never on the number of processes, so that what was
killed gives the same scores when it goes on; a task that is done is not done again. A process that computes on a GPU has
that one to itself.
"""

import fcntl
import socket
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import msgspec
from datatrove.pipeline.base import PipelineStep

from streamer.corpus.executors import LOCAL, Execution, cores, run_stage
from streamer.corpus.progress import Progress, Tally
from streamer.corpus.ranking.sources import Source
from streamer.corpus.spool import write_through
from streamer.scoring import trained as annotators
from streamer.scoring.annotator import NGRAMS
from streamer.scoring.annotator_recipe import AnnotatorRecipe
from streamer.scoring.trained import Embedder, Trained

FEWEST_DOCUMENTS, FEWEST_NGRAMS, MOST_TASKS = 256, 8192, 1000  # of a task, of a task for n-grams, in all
BATCH = 8192
Task = list[tuple[str, list[int]]]  # places by key


class ExactScorer(PipelineStep):  # type: ignore[misc]
    """Scores the documents of one task and writes their scores, in order."""

    type, name = "📊 - SCORE", "annotator"

    def __init__(self, trained: Trained, source: Source, folder: Path, workers: int) -> None:
        super().__init__()
        self.trained, self.source, self.folder, self.workers = trained, source, folder, workers

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        task = msgspec.msgpack.decode(task_path(self.folder, rank).read_bytes(), type=Task)
        with Tally(self.folder / "tallies", rank) as tally:
            rows: list[tuple[str, float]] = []
            for key, places in task:
                for at in range(0, len(places), BATCH):
                    found = list(self.source.at(key, places[at : at + BATCH]))
                    embedder = load_once(self.trained.recipe, self.folder, self.workers)
                    scores = annotators.score(self.trained, [one.text for one in found], embedder=embedder)
                    rows += [(one.document, round(score, 6)) for one, score in zip(found, scores.tolist(), strict=True)]
                    tally.add(len(found))
            write_through(scores_path(self.folder, rank), msgspec.msgpack.encode(rows))
        yield from ()


def task_path(folder: Path, rank: int) -> Path:
    return folder / "tasks" / f"{rank:05d}"


def scores_path(folder: Path, rank: int) -> Path:
    return folder / "scores" / f"{rank:05d}"


@lru_cache(maxsize=1)
def load_once(recipe: AnnotatorRecipe, folder: Path, workers: int) -> Embedder:
    """One embedder for all tasks of a process, on a GPU of its own or on its share of the cores."""
    if recipe.embedder == NGRAMS:
        return annotators.load_embedder(recipe)
    import torch

    torch.set_num_threads(max(1, cores() // workers))
    if torch.cuda.is_available():
        torch.cuda.set_device(take_device(folder / "devices", torch.cuda.device_count()))
    return annotators.load_embedder(recipe)


HELD: list[IO[bytes]] = []  # the locks of devices, until the process ends


def take_device(folder: Path, devices: int) -> int:
    """The first device of this machine that no other process of a stage has; 0 where there are more processes."""
    folder.mkdir(exist_ok=True)
    for device in range(devices):
        file = (folder / f"{socket.gethostname()}-{device}").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            continue
        HELD.append(file)
        return device
    return 0


def cut_tasks(wanted: dict[str, list[int]], fewest: int) -> Iterator[Task]:
    """Tasks of equally many documents, at most `MOST_TASKS`, and of no fewer than `fewest` but for the last."""
    total = sum(map(len, wanted.values()))
    size = max(fewest, -(-total // MOST_TASKS))
    task, room = Task(), size
    for key, places in wanted.items():
        at = 0
        while at < len(places):
            taken = places[at : at + room]
            task.append((key, taken))
            at, room = at + len(taken), room - len(taken)
            if room == 0:
                yield task
                task, room = Task(), size
    if task:
        yield task


def score_exactly(
    trained: Trained,
    source: Source,
    wanted: dict[str, list[int]],
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
    is_light = trained.recipe.embedder == NGRAMS
    tasks = list(cut_tasks(wanted, FEWEST_NGRAMS if is_light else FEWEST_DOCUMENTS))
    if not tasks:
        return {}
    for part in ("tasks", "scores"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for rank, task in enumerate(tasks):
        write_through(task_path(folder, rank), msgspec.msgpack.encode(task))
    workers = min(how.workers, len(tasks))
    if how.executor == LOCAL and not is_light:
        import torch

        workers = min(workers, torch.cuda.device_count() or workers)
    scorer = ExactScorer(trained, source, folder, workers if how.executor == LOCAL else 1)
    with progress.watching(step, folder / "tallies", sum(map(len, wanted.values()))):
        run_stage([scorer], base, step, how._replace(tasks=len(tasks), workers=workers))
    found: dict[str, float] = {}
    for rank in range(len(tasks)):
        found |= dict(msgspec.msgpack.decode(scores_path(folder, rank).read_bytes()))
    return found
