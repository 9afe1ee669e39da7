"""Asks a judge about documents, many at once, and keeps its labels as it goes.

Always holds: what was labelled is kept within `KEEP_S` seconds and never asked again; a document that the judge refuses or
answers with nonsense has no label, and is counted by what was wrong with its answer; a judge that goes away ends the work
after a while, and the same command goes on with what is left.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from generators.engines.engine import Engine
from generators.errors import EngineAwayError, EngineError, JobRefusedError, NoCompletionError
from generators.judging.rubric import Rubric
from generators.queue.job import Job
from streamer.catalog.catalog import Catalog
from streamer.documents.document import Document
from streamer.scoring.labels import Label, append_labels, load_labels
from streamer.store.backoff import Backoff

KEEP_S, MOST_UNKEPT = 5.0, 64
AWAY_S = 300.0  # so long a judge that is away is waited for
NONSENSE, REFUSED = "no label in the answer", "refused by the judge"


class Judged(msgspec.Struct, kw_only=True):
    """What came of it: labels that were there before, new ones, and documents without one by what was wrong."""

    before: int = 0
    labels: int = 0
    without: Counter[str] = msgspec.field(default_factory=Counter)


async def judge_documents(
    catalog: Catalog,
    rubric: Rubric,
    documents: Iterable[Document],
    engine: Engine,
    *,
    runs: int = 1,
    concurrency: int = 32,
    away_s: float = AWAY_S,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Judged:
    """Labels every document in each of `runs` runs, those that are labelled already left out.

    Args: away_s, how long a judge that is away is waited for; progress, called with labels done and labels in all.
    Raises: EngineAwayError when the judge stays away; what is labelled by then is kept. StoreError, LogError.
    """
    await engine.check()
    there = {label.key for label in await asyncio.to_thread(load_labels, catalog, rubric.name)}
    every = [(document, run) for document in documents for run in range(runs)]
    wanted = [(one, run) for one, run in every if (rubric.label, engine.model, one.document, run) not in there]
    found, unkept, kept_s = Judged(before=len(every) - len(wanted)), list[Label](), time.monotonic()
    waiting, keeping = iter(wanted), asyncio.Lock()

    async def keep(*, all_of_them: bool = False) -> None:
        nonlocal kept_s
        async with keeping:
            if unkept and (all_of_them or len(unkept) >= MOST_UNKEPT or time.monotonic() - kept_s >= KEEP_S):
                taken = list(unkept)
                found.labels += await asyncio.to_thread(append_labels, catalog, rubric.name, taken)
                del unkept[: len(taken)]
                kept_s = time.monotonic()

    async def follow() -> None:
        for document, run in waiting:
            answer = await ask(engine, rubric, document, run, away_s)
            if isinstance(answer, Label):
                unkept.append(answer)
            else:
                found.without[answer] += 1
            await keep()
            progress(found.before + found.labels + len(unkept) + found.without.total(), len(every))

    tasks = [asyncio.create_task(follow()) for _ in range(max(1, min(concurrency, len(wanted))))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await keep(all_of_them=True)
    return found


async def ask(engine: Engine, rubric: Rubric, document: Document, run: int, away_s: float) -> Label | str:
    """The label of a document, or what was wrong with the answer. Raises: EngineAwayError."""
    job = Job(
        language=document.language,
        seed_document=document.document,
        recipe=rubric.label,
        model=engine.model,
        index=run,
        text=document.text[: rubric.file_characters],
        purpose="label",
        prompt=rubric.template,
        sampling=rubric.sampling,
    )
    backoff = Backoff(first_s=0.5, longest_s=10.0, total_s=away_s)
    while True:
        try:
            answer = await engine.complete(job)
        except JobRefusedError:
            return REFUSED
        except NoCompletionError:
            return NONSENSE
        except EngineAwayError:
            wait_s = backoff.next_wait_s()
            if wait_s is None:
                raise
            await asyncio.sleep(wait_s)
            try:
                await engine.check()
            except EngineError:
                continue
        else:
            values = rubric.read(answer.text)
            if values is None:
                return NONSENSE
            return Label(
                rubric=rubric.label, model=engine.model, document=document.document, language=document.language, run=run,
                prompt=answer.prompt, values=values,
            )  # fmt: skip
