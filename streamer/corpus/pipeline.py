"""Builds a corpus: sources to `raw/*`, `documents/*`, `scored/*/q*` and `heldout/*`, in stages of tasks.

Always holds: no stream appears under the root before every part is whole in the working folder; held-out repositories are
in `heldout/*` alone; the same recipe over the same files gives the same documents, tokenizer and parts, whatever the
number of tasks and workers, and whatever was killed on the way (scores: on the same machine).

How: read and filter, deduplicate, then beside each other the annotator (in its own process, its model loading from
the start) and the tokenizer; then one task a language scores, tokenises and packs; last, the parts are published. What a
task or a stage has done lies whole in the working folder, so that the same command goes on after a kill.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import xxhash

from streamer.catalog.catalog import Catalog
from streamer.catalog.redaction import merge
from streamer.corpus.annotation import (
    AnnotatorProcess,
    Chosen,
    NotedAnnotation,
    choose_sample,
    given_annotator,
    own_recipe,
)
from streamer.corpus.completion import BENCHMARKS, PACKED, PARTS, REJECTED, Packed, complete, publish_packed
from streamer.corpus.executors import LOCAL, Execution, run_stage
from streamer.corpus.parts.packing_steps import DocumentsReader, Encoder, PartsWriter, Scorer
from streamer.corpus.parts.part_manifest import read_manifests
from streamer.corpus.parts.publication import (
    BUILDS,
    check_bins,
    check_root,
    count_ended,
    filled_streams,
    finish,
    given_up,
    reports,
    unfinished_build,
)
from streamer.corpus.parts.report import CorpusReport, count_languages, count_padding, count_samples
from streamer.corpus.progress import Progress, Report, silent
from streamer.corpus.ranking.scoring import score_all, teach
from streamer.corpus.ranking.sources import Spools
from streamer.corpus.recipe import Recipe, check, identity_of
from streamer.corpus.sources.ingest import count_files
from streamer.corpus.spool import SPOOL, read_spool, write_through
from streamer.corpus.steps.deduplication import LanguageDeduplicator
from streamer.corpus.steps.old_documents import OLD, OldDocuments
from streamer.corpus.steps.reading import (
    ContaminationFilter,
    ContentFilter,
    DecodeFilter,
    KeptWriter,
    LanguageFilter,
    PrivateDataStep,
    SourceReader,
)
from streamer.corpus.work_folder import WorkFolder, key_of, told
from streamer.documents.text import DropReason
from streamer.errors import CorpusError
from streamer.likeness.contamination_file import encode_index
from streamer.likeness.decontamination import read_sets
from streamer.packing import tokenizer as tokenizers
from streamer.packing.grouping import Grouping, random_key
from streamer.packing.tokenizer_file import read_text
from streamer.privacy.span import Kind
from streamer.publishing.heldout import HoldOut, check_choice
from streamer.scoring.annotator_process import Fitted, Request
from streamer.scoring.score_sets import Scores
from streamer.scoring.sections import Sections
from streamer.scoring.student import EVERY, Student, encode_student, fit_student
from streamer.scoring.students import load_student
from streamer.scoring.trained import Trained, trained_of

TOTAL = "total"
TASKS_EACH = 4  # so many tasks for each worker: what a kill costs is a part of what they read
MOST_TASKS = 99_999


def build(
    catalog: Catalog,
    recipe: Recipe,
    *,
    tasks: int | None = None,
    executor: str = LOCAL,
    work: Path | None = None,
    progress: Report = silent,
) -> CorpusReport:
    """Builds the corpus of a recipe into a root, or adds what the recipe's sources have more than the root's corpus.

    Args: tasks, how many read the sources (None: 4 for each worker); executor, where tasks run; work, the working folder
        (None: `corpus/work` below the root); progress, called with (step, done, total or 0). Raises: CorpusError,
        StreamError, StoreError, PartError.
    """
    to_caller = Progress(progress)
    if unfinished_build(catalog) is not None:
        with WorkFolder(catalog, work) as folder, told(folder.path):
            packed = complete(catalog, folder, to_caller)
            if packed is not None:
                folder.remove()
        if packed is not None and packed.recipe == digest_of(recipe):
            return packed.report
    has = check_root(catalog, recipe.seq_len, recipe.dtype)
    check_choice(catalog, held_out_by(recipe))
    check_bins(catalog, recipe.bins)
    given = Given(given_tokenizer(recipe, catalog, has), given_annotator(catalog, recipe))
    tasks = TASKS_EACH * recipe.workers if tasks is None else tasks
    check("tasks", tasks, 1, MOST_TASKS, "change --tasks")
    old = {one.name: one.number for kind in ("documents", "heldout") for one in catalog.match(f"{kind}/*")}
    label = "" if given.annotator is None else given.annotator.label
    state = f"{given.tokenizer} {label} {count_ended(catalog)} {len(catalog.redaction_rules())} {old}"
    root = catalog.store.local_path("")
    without = [place for place in (catalog.store.url if root is None else root, work) if place is not None]
    key = key_of(recipe, tasks, state, without=without)
    with WorkFolder(catalog, work) as folder, told(folder.path):
        folder.resume(key)
        how = Execution(tasks, recipe.workers, executor)
        return Build(catalog, recipe, folder, to_caller, given, how, without).run(
            lambda: key_of(recipe, tasks, state, without=without) == key
        )


def digest_of(recipe: Recipe) -> str:
    return xxhash.xxh3_128_hexdigest(identity_of(recipe))


def held_out_by(recipe: Recipe) -> HoldOut:
    return HoldOut(share=recipe.heldout_share, key=recipe.heldout_key)


def given_tokenizer(recipe: Recipe, catalog: Catalog, has: str | None) -> str | None:
    """The text of the root's tokenizer.json, or of the recipe's, checked. Raises: CorpusError when it does not fit."""
    if has is not None:
        kept = catalog.store.get(f"tokenizers/{has}.json")
        if kept is None:
            raise CorpusError(f"tokenizer {has} of root {catalog.store.url} is missing; restore it from a copy")
        if recipe.tokenizer is not None:
            given = tokenizers.describe(read_text(recipe.tokenizer)).fingerprint
            if given != has:
                raise CorpusError(
                    f"tokenizer {recipe.tokenizer} is {given}, and the corpus of root {catalog.store.url} was made with "
                    f"{has}; leave it out of the recipe, or build into another root"
                )
        return kept.decode()
    if recipe.tokenizer is None:
        return None
    text = read_text(recipe.tokenizer)
    name = f"tokenizer {recipe.tokenizer}"
    tokenizers.check_dtype(tokenizers.parse(text, name=name), recipe.dtype, name=name)
    return text


class Given(NamedTuple):
    """What a build does not make itself: a tokenizer.json's text, and a version of an annotator."""

    tokenizer: str | None
    annotator: Trained | None


class Annotating(NamedTuple):
    """What scores the documents of a build. `known`: scores by document that need not be asked for; `fitted`: what the build
    itself trained; `is_new`: whether it fitted the student.
    """

    trained: Trained
    student: Student | None
    known: dict[str, float]
    fitted: Fitted | None
    is_new: bool


class Build:
    """One build in its working folder."""

    def __init__(
        self,
        catalog: Catalog,
        recipe: Recipe,
        work: WorkFolder,
        progress: Progress,
        given: Given,
        execution: Execution,
        without: list[Path | str],
    ) -> None:
        self.catalog, self.recipe, self.work, self.progress = catalog, recipe, work, progress
        self.folder, self.execution, self.without = work.path, execution, without
        self.given = given
        self.rejected = self.folder / REJECTED
        self.seconds: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Adds the seconds of a block to the report; announces each step, not the whole."""
        start_s = time.monotonic()
        if step != TOTAL:
            self.progress.report(step, 0, 0)
        yield
        self.seconds[step] = round(self.seconds.get(step, 0) + time.monotonic() - start_s, 2)

    def run(self, is_unchanged: Callable[[], bool]) -> CorpusReport:
        own = self.given.annotator is None
        with self.timed(TOTAL), AnnotatorProcess(own_recipe(self.recipe), self.folder) as annotator:
            noted = NotedAnnotation(self.folder)
            if own and noted.is_missing():
                annotator.start()
            self.read()
            if self.execution.tasks > 1 and not is_unchanged():
                raise CorpusError(
                    "a source changed while it was read, and tasks may have seen different files; run the same command "
                    "again, it begins anew (with --tasks 1 a change does not matter)"
                )
            self.deduplicate()
            with self.timed("choose"):
                chosen = self.choose() if own else None
            build = self.identity(chosen)
            fitted = None
            if chosen is not None:
                texts, labels = chosen.sample.texts, chosen.sample.labels.tolist()
                request = Request(recipe=annotator.recipe, texts=texts, labels=labels)
                fitted = noted.read(request)
                if fitted is None:
                    annotator.ask(request)
            with self.timed("tokenizer"):
                tokenizer_json = self.given.tokenizer or self.work.once("tokenizer", self.train_tokenizer).decode()
            with self.timed("load writer"):
                import streaming  # noqa: F401  (9 s, beside the annotator)
            with self.timed("annotate"):
                if chosen is not None and fitted is None:
                    fitted = noted.write(request, annotator.answer(self.progress))
            with self.timed("student"):
                annotating = self.given_student() if chosen is None or fitted is None else own_student(chosen, fitted)
            with self.timed("score"):
                scores = self.score(annotating)
            with self.timed("pack"):
                self.pack(tokenizer_json, annotating.trained.label)
            packed = Packed(
                recipe=digest_of(self.recipe),
                held_out=held_out_by(self.recipe),
                privacy=self.recipe.privacy,
                seed=self.recipe.seed,
                tokenizer_json=tokenizer_json,
                annotator=None if annotating.fitted is None else annotating.fitted.body,
                student=encode_student(annotating.student) if annotating.student and annotating.is_new else None,
                report=self.report(build, tokenizer_json, annotating, scores),
            )
            self.work.once(PACKED, lambda: msgspec.json.encode(packed))
            with self.timed("publish"):
                report = publish_packed(self.catalog, self.folder, packed, self.progress)
        report = msgspec.structs.replace(report, seconds=self.seconds)
        finish(self.catalog, report)
        self.work.remove()
        return report

    # steps

    def spools(self, kind: str) -> list[Path]:
        """The spools of `corpus` or `heldout`, one a language, sorted."""
        return sorted((self.folder / kind).glob("*.spool"))

    def documents(self, kind: str) -> Iterator[Any]:
        for spool in self.spools(kind):
            for kept in read_spool(spool):
                yield kept.document

    def read(self) -> None:
        """Files to documents, one spool for each task and language."""
        recipe, kept = self.recipe, self.folder / "kept"
        self.work.keep_listings(recipe, self.without)
        reading: list[Any] = [
            SourceReader(recipe, self.tallies("read"), self.without, self.folder),
            DecodeFilter(self.rejected),
            LanguageFilter(self.rejected, recipe.notebooks),
            ContentFilter(self.rejected, recipe.filters),
            *self.decontamination(),
            PrivateDataStep(recipe.privacy),
            KeptWriter(kept, recipe.duplicates),
        ]
        self.stage("read", reading, tasks=self.execution.tasks, total=count_files(recipe.sources))

    def deduplicate(self) -> None:
        """Documents that are not there yet, one spool a language. Raises: CorpusError when none is left."""
        recipe, kept = self.recipe, self.folder / "kept"
        left = self.counts.get("files", 0) - sum(self.dropped().values())
        languages = len(list(kept.iterdir())) if kept.exists() else 0
        if languages:
            if filled_streams(self.catalog):
                old: list[Any] = [OldDocuments(self.catalog.store.url, self.folder, recipe.duplicates)]
                run_stage(old, self.folder, "old", self.execution._replace(tasks=languages))
            redacted = merge(self.catalog.redaction_rules())
            self.stage("deduplicate", [LanguageDeduplicator(self.folder, recipe, redacted)], tasks=languages, total=left)
        if not self.spools("corpus"):
            reasons = ", ".join(f"{name} {number}" for name, number in self.dropped().items()) or "there was none"
            self.work.remove()
            if filled_streams(self.catalog):
                raise CorpusError(
                    f"nothing in these sources is new to root {self.catalog.store.url}: {self.counts.get('files', 0)} files "
                    f"({reasons}); name other sources"
                )
            raise CorpusError(f"no document is left of {self.counts.get('files', 0)} files ({reasons}); name other sources")

    def decontamination(self) -> list[ContaminationFilter]:
        """The step that drops tasks of benchmarks, with their index; none when the recipe names no benchmark."""
        wanted = self.recipe.decontamination
        if not wanted.sets:
            return []
        self.work.once(BENCHMARKS, lambda: encode_index(read_sets(wanted)))
        return [ContaminationFilter(self.rejected, self.folder / BENCHMARKS)]

    def tallies(self, step: str) -> Path:
        return self.folder / "tallies" / step

    def stage(self, step: str, steps: list[Any], *, tasks: int, total: int) -> None:
        """Runs what is left of a stage, with its progress, and counts what it found."""
        with self.timed(step), self.progress.watching(step, self.tallies(step), total):
            for name, number in run_stage(steps, self.folder, step, self.execution._replace(tasks=tasks)).items():
                self.counts[name] = self.counts.get(name, 0) + number

    def choose(self) -> Chosen:
        """What the build's own annotator learns from."""
        old = sorted((self.folder / "kept").glob(f"*/{OLD}{SPOOL}"))
        return choose_sample(self.recipe, [*self.spools("corpus"), *old], self.documents("heldout"))

    def given_student(self) -> Annotating:
        """A version that the root has, with its student, fitted now where its recipe wants one that is not there."""
        trained = self.given.annotator
        assert trained is not None
        if trained.recipe.student is None:
            return Annotating(trained, None, {}, None, is_new=False)
        student = load_student(self.catalog, trained.label)
        if student is not None:
            return Annotating(trained, student, {}, None, is_new=False)
        corpus = Spools(self.spools("corpus"))
        student = teach(trained, corpus, self.folder, self.execution, self.progress)
        return Annotating(trained, student, {}, None, is_new=True)

    def score(self, annotating: Annotating) -> dict[str, Scores]:
        """The scores of all documents, which are kept in the working folder, by language."""
        source = Spools(self.spools("corpus"))
        found = score_all(
            annotating.trained, source, self.folder, self.execution, self.progress, annotating.student,
            known=annotating.known,
        )  # fmt: skip
        for spool, scores in found.items():
            by_document = dict(zip(scores.documents, scores.scores.tolist(), strict=True))
            write_through(self.scores(Path(spool)), msgspec.msgpack.encode(by_document))
        return found

    def scores(self, spool: Path) -> Path:
        return self.folder / f"{spool.stem}.scores"

    def identity(self, chosen: Chosen | None) -> str:
        """What this build is called: a hash of the recipe, the documents and what says what is good."""
        digest = xxhash.xxh3_128(identity_of(self.recipe))
        if again := given_up(self.catalog.log(BUILDS).read()):
            digest.update(f"after {len(again)} that were given up")
        if chosen is None:
            assert self.given.annotator is not None
            digest.update(f"{self.given.annotator.label} {self.given.annotator.digest}")
        else:
            for text, label in zip(chosen.sample.texts, chosen.sample.labels, strict=True):
                digest.update(text.text.encode("utf-8", "surrogatepass") if label else b"")
        for kind in ("corpus", "heldout"):
            for document in self.documents(kind):
                digest.update(f"{kind} {document.document}".encode())
        return digest.hexdigest()[:16]

    def train_tokenizer(self) -> bytes:
        """A tokenizer trained on random documents of the corpus, up to `tokenizer_mb` of text."""
        seed = self.recipe.seed
        keys = sorted((random_key(seed, "tokenizer", d.document), d.document, len(d.text)) for d in self.documents("corpus"))
        chosen, left = set(), self.recipe.tokenizer_mb * 1e6
        for _, document, size in keys:
            if left > 0:
                chosen.add(document)
                left -= size
        texts = (document.text for document in self.documents("corpus") if document.document in chosen)
        tokenizer = tokenizers.train(texts, vocabulary=self.recipe.vocabulary)
        tokenizers.check_dtype(tokenizer, self.recipe.dtype)
        return str(tokenizer.to_str()).encode()

    def pack(self, tokenizer_json: str, annotator: str) -> None:
        """Documents to parts in the working folder."""
        recipe, corpus, held_out = self.recipe, self.spools("corpus"), self.spools("heldout")
        scored_by, old = {report.annotator for report in reports(self.catalog)}, dict[str, Path]()
        if scored_by == {annotator}:
            old = {path.parent.name: path for path in (self.folder / "kept").glob(f"*/{OLD}{SPOOL}")}
        end = tokenizers.end_of_document_id(tokenizers.parse(tokenizer_json))
        encoder = Encoder(tokenizer_json)

        def writer(*wanted: str) -> PartsWriter:
            return PartsWriter(self.folder / PARTS, recipe, end, wanted, old)

        by_language = recipe.grouping == Grouping.LANGUAGE_REPO
        scorer = Scorer([self.scores(spool) for spool in corpus], self.tallies("pack"))
        wanted = ("raw", "documents", "scored") if by_language else ("documents", "scored")
        steps: list[Any] = [DocumentsReader(corpus), scorer, encoder, writer(*wanted)]
        total = self.counts["corpus_documents"]
        with self.progress.watching("pack", self.tallies("pack"), total):
            run_stage(steps, self.folder, "pack", self.execution._replace(tasks=len(corpus)))
        if not by_language:
            steps = [DocumentsReader(corpus, together=True), encoder, writer("raw")]
            run_stage(steps, self.folder, "together", self.execution._replace(tasks=1))
        if held_out:
            steps = [DocumentsReader(held_out), encoder, writer("heldout")]
            run_stage(steps, self.folder, "heldout", self.execution._replace(tasks=len(held_out)))

    # numbers

    def dropped(self) -> dict[str, int]:
        """Files by drop reason, the reasons that occurred."""
        counts = {reason.value: self.counts.get(f"dropped_{reason}", 0) for reason in DropReason}
        return {reason: count for reason, count in counts.items() if count}

    def replaced(self) -> dict[str, int]:
        """What was private and replaced in the documents, by kind."""
        counts = {kind.value: self.counts.get(f"replaced_{kind}", 0) for kind in Kind}
        return {kind: count for kind, count in counts.items() if count}

    def report(self, build: str, tokenizer_json: str, annotating: Annotating, scores: dict[str, Scores]) -> CorpusReport:
        manifests = [manifest for _, manifest in read_manifests(self.folder / PARTS)]
        described = tokenizers.describe(tokenizer_json)
        agreement = {} if annotating.student is None else annotating.student.agreement
        return CorpusReport(
            build=build,
            files=self.counts.get("files", 0),
            source_bytes=self.counts.get("source_bytes", 0),
            dropped=self.dropped(),
            replaced=self.replaced(),
            duplicates=self.recipe.duplicates,
            documents=self.counts.get("corpus_documents", 0),
            heldout_documents=self.counts.get("heldout_documents", 0),
            text_bytes=self.counts.get("text_bytes", 0),
            languages=count_languages(manifests),
            streams=count_samples(manifests),
            padding=count_padding(manifests, self.recipe.seq_len),
            tokenizer=described.fingerprint,
            vocabulary=described.vocabulary,
            annotator=annotating.trained.label,
            embedder=annotating.trained.embedder,
            bins=self.recipe.bins,
            annotated_files=sum(int(found.exact.sum()) for found in scores.values()),
            annotator_auc=round(annotating.trained.figure, 4),
            student_correlation=agreement[EVERY].rank_correlation if EVERY in agreement else 1.0,
            agreement=agreement,
            seconds=self.seconds,
        )


def own_student(chosen: Chosen, fitted: Fitted) -> Annotating:
    """The annotator that a build trained, and its student where its recipe wants one, fitted to what both learned from."""
    trained = trained_of(fitted.body, str(fitted.body["recipe"]["name"]), 0)
    beside = len(fitted.unseen) - len(chosen.documents)
    known = {document: round(score, 6) for document, score in zip(chosen.documents, fitted.unseen[beside:], strict=True)}
    student = None
    if trained.recipe.student is not None:
        student = fit_student(
            [one.text for one in chosen.sample.texts],
            [one.language for one in chosen.sample.texts],
            fitted.unseen,
            sections=Sections(trained.recipe.section_tokens, trained.recipe.sections),
            pass_on=trained.recipe.student.pass_on,
            beside=beside,
        )
    return Annotating(trained, student, known, fitted, is_new=student is not None)
