"""Scores of all documents of streams by a version of an annotator, kept beside the streams.

Always holds: what is kept is whole for a stream's new parts, or not there; a command that was killed goes on where it was
and ends with the same scores.

How: with a student in front, that gives every document a score, and of each language the best `pass_on` by it are read by
the annotator itself, whose scores stand for the student's. The student is fitted once for a version, to the annotator's
scores of random documents of every language, and kept with it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import Snapshot
from streamer.corpus.executors import Execution
from streamer.corpus.parts.publication import settled_parts, unsettled
from streamer.corpus.progress import Progress, Report, silent
from streamer.corpus.ranking.exact_scores import load_once, score_exactly
from streamer.corpus.ranking.listing import Listed, One, list_documents
from streamer.corpus.ranking.sources import Source, StreamParts
from streamer.corpus.work_folder import WorkFolder, told
from streamer.errors import CorpusError
from streamer.packing.grouping import random_key
from streamer.scoring.score_sets import Scores, put_scores, scored_parts
from streamer.scoring.sections import Sections
from streamer.scoring.student import Model, Student, fit_student
from streamer.scoring.students import keep_student, load_student
from streamer.scoring.trained import Trained

PLACE = "scores/work"
TEACH, SCORE = "student", "score"  # steps
FEWEST = 100


class StreamScores(msgspec.Struct, frozen=True, kw_only=True):
    """What was scored of a stream: `documents`, of which the annotator read `exact` itself."""

    stream: str
    annotator: str
    documents: int
    exact: int


def score_streams(
    catalog: Catalog, trained: Trained, glob: str, *, how: Execution, work: Path | None = None, progress: Report = silent
) -> list[StreamScores]:
    """Scores the documents of streams that have no score by this version yet.

    Args: how, where it runs and in how many processes; work, the working folder, None for the usual one.
    Raises: CorpusError when no stream has documents, or the embedder is not here or is another one; StreamError, PartError.
    """
    streams = [snapshot for snapshot in catalog.match(glob) if snapshot.kind == "documents"]
    if not streams:
        raise CorpusError(f"no stream of documents matches {glob} under {catalog.store.url}; see phasemix streams list")
    found = list[StreamScores]()
    while missing := without_scores(catalog, trained, streams):
        found += score_parts(catalog, trained, missing, how, work, Progress(progress))
    return found


def without_scores(catalog: Catalog, trained: Trained, streams: Sequence[Snapshot]) -> dict[str, list[str]]:
    """Ids of the parts of each stream that have no scores, but for those of ingests that are not done."""
    without, found = unsettled(catalog), {}
    for snapshot in streams:
        scored = scored_parts(catalog, trained.label, snapshot.name)
        parts = [part.part_id for part in settled_parts(snapshot, without) if part.part_id not in scored]
        if parts:
            found[snapshot.name] = parts
    return found


def score_parts(
    catalog: Catalog, trained: Trained, missing: dict[str, list[str]], how: Execution, work: Path | None, progress: Progress
) -> list[StreamScores]:
    """Scores some parts, or first those that a killed command had begun with."""
    with WorkFolder(catalog, work, place=PLACE, does="scores the documents of") as folder, told(folder.path):
        folder.resume(f"{trained.label} {trained.digest} {trained.fingerprint} {len(catalog.redaction_rules())}")
        missing = msgspec.json.decode(folder.once("parts", lambda: msgspec.json.encode(missing)))
        source = StreamParts(catalog, missing)
        student = None
        if trained.recipe.student is not None:
            student = load_student(catalog, trained.label)
            if student is None and (taught := teach(trained, source, folder.path, how, progress)) is not None:
                student = keep_student(catalog, trained.label, taught)
        found = score_all(trained, source, folder.path, how, progress, student)
        done = []
        for name, parts in missing.items():
            scores = join([found[key] for key in source.keys_of(name)])
            put_scores(catalog, trained.label, name, parts, scores)
            counts = {"documents": len(scores.documents), "exact": int(scores.exact.sum())}
            done.append(StreamScores(stream=name, annotator=trained.label, **counts))
        folder.remove()
    return done


def teach(trained: Trained, source: Source, folder: Path, how: Execution, progress: Progress) -> Student | None:
    """A student fitted to the annotator's scores of random documents, of each language as many as can be.

    None where there is nothing to learn from: the annotator then reads everything.
    """
    assert trained.recipe.student is not None
    listed = list_documents(source, folder, how, progress, step=TEACH)
    if sum(map(len, listed.by_language().values())) < FEWEST:
        return None
    chosen = [one for found in sample(listed, trained.recipe.student.files, seed=trained.recipe.seed) for one in found]
    scores = score_exactly(trained, source, listed.at(chosen), folder, how, progress, step=TEACH)
    texts = {
        one.document: (one.text, one.language) for key, places in listed.at(chosen).items() for one in source.at(key, places)
    }
    ids = sorted(texts)
    embedder = load_once(trained.recipe, folder / TEACH, workers=1)
    return fit_student(
        [texts[one][0] for one in ids],
        [texts[one][1] for one in ids],
        np.array([scores[one] for one in ids]),
        sections=Sections(trained.recipe.section_tokens, trained.recipe.sections),
        pass_on=trained.recipe.student.pass_on,
        chances=trained.recipe.head == "logistic",
        model=None if embedder.tokenizer is None else Model(embedder.embed, embedder.tokenizer),
    )


def sample(listed: Listed, files: int, *, seed: int) -> Iterator[list[One]]:
    """Random documents of every language: the same number of each, and what small ones lack of the others."""
    languages = sorted(listed.by_language().items(), key=lambda pair: (len(pair[1]), pair[0]))
    for place, (_, members) in enumerate(languages):
        most = min(len(members), files // (len(languages) - place))
        files -= most
        yield sorted(members, key=lambda one: random_key(seed, "student", listed.document(one)))[:most]


def score_all(
    trained: Trained,
    source: Source,
    folder: Path,
    how: Execution,
    progress: Progress,
    student: Student | None,
    known: Mapping[str, float] | None = None,
) -> dict[str, Scores]:
    """The scores of all documents of a source, by key.

    Args: known, scores of the annotator's by document. Raises: CorpusError.
    """
    listed = list_documents(source, folder, how, progress, step=SCORE, student=student)
    chosen = [one for members in listed.by_language().values() for one in passed_on(listed, members, student)]
    known = known or {}
    chosen = [one for one in chosen if listed.document(one) not in known]
    exact = score_exactly(trained, source, listed.at(chosen), folder, how, progress, step=SCORE) | dict(known)
    found = {}
    for key, listing in listed.by_key.items():
        is_exact = np.array([document in exact for document in listing.documents], np.bool_)
        foretold = listing.foretold or [0.0] * len(listing.documents)
        said = [exact.get(document, score) for document, score in zip(listing.documents, foretold, strict=True)]
        found[key] = Scores(listing.documents, np.array(said, np.float64), is_exact)
    return found


def passed_on(listed: Listed, members: Sequence[One], student: Student | None) -> Sequence[One]:
    """The documents of a language that the annotator reads itself: all, or the best by the student."""
    if student is None:
        return members
    ranked = sorted(members, key=lambda one: (-listed.foretold(one), listed.document(one)))
    return ranked[: int(len(ranked) * student.pass_on)]


def join(scores: Sequence[Scores]) -> Scores:
    """The scores of several keys as those of one."""
    return Scores(
        [document for one in scores for document in one.documents],
        np.concatenate([one.scores for one in scores]),
        np.concatenate([one.exact for one in scores]),
    )
