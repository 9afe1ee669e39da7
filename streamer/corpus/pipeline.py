"""Builds a corpus: sources to `raw/*`, `documents/*`, `scored/*/q*` and `heldout/*`, by datatrove's local executor.

Always holds: nothing appears under the root before every part is whole in a working folder; held-out repositories are
in `heldout/*` alone; the same recipe over the same files gives the same documents, tokenizer and raw parts, whatever
`workers` is (scores: on the same machine).

How: read and filter, deduplicate, then beside each other the annotator (in its own process, its model loading from
the start) and the tokenizer; then one task a language scores, tokenises and packs; last, the parts are published.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from streamer.catalog.catalog import Catalog
from streamer.corpus.annotation import AnnotatorProcess, choose_positives, choose_random
from streamer.corpus.parts.packing_steps import DocumentsReader, Encoder, PartsWriter, Scorer
from streamer.corpus.parts.part_manifest import read_manifests
from streamer.corpus.parts.publication import begin, check_root, finish, publish
from streamer.corpus.parts.report import CorpusReport, count_languages
from streamer.corpus.progress import Progress, Report, silent
from streamer.corpus.recipe import Recipe
from streamer.corpus.rejected import publish_rejected
from streamer.corpus.spool import read_spool
from streamer.corpus.steps import (
    CompiledFilter,
    ContentFilter,
    DecodeFilter,
    DuplicateFilter,
    KeptReader,
    KeptWriter,
    LanguageFilter,
    LanguageWriter,
    PrivateDataStep,
    SourceReader,
)
from streamer.documents.text import DropReason
from streamer.errors import CorpusError
from streamer.packing import tokenizer as tokenizers
from streamer.packing.grouping import Grouping, random_key
from streamer.packing.tokenizer_file import read_text
from streamer.privacy.span import Kind
from streamer.publishing.heldout import HoldOut, check_choice
from streamer.scoring.annotator import Annotation
from streamer.scoring.annotator_process import Request
from streamer.scoring.student import Student, fit_student

TOTAL = "total"


def build(catalog: Catalog, recipe: Recipe, *, progress: Report = silent) -> CorpusReport:
    """Builds the corpus of a recipe into a root that has none.

    Args: progress, called with (step, done, total or 0). Raises: CorpusError, StreamError, StoreError,
        PartError.
    """
    check_root(catalog)
    check_choice(catalog, held_out_by(recipe))
    given = given_tokenizer(recipe)
    with tempfile.TemporaryDirectory(prefix="phasemix-corpus-") as aside:
        return Build(catalog, recipe, Path(aside), Progress(progress), given).run()


def held_out_by(recipe: Recipe) -> HoldOut:
    return HoldOut(share=recipe.heldout_share, key=recipe.heldout_key)


def given_tokenizer(recipe: Recipe) -> str | None:
    """The text of the recipe's tokenizer.json, checked. Raises: CorpusError when it does not fit."""
    if recipe.tokenizer is None:
        return None
    text = read_text(recipe.tokenizer)
    name = f"tokenizer {recipe.tokenizer}"
    tokenizers.check_dtype(tokenizers.parse(text, name=name), recipe.dtype, name=name)
    return text


def run_pipeline(steps: list[Any], folder: Path, name: str, *, tasks: int, workers: int) -> dict[str, int]:
    """Runs steps with datatrove's local executor, silently, and returns the totals of its statistics by name."""
    from datatrove.executor.local import LocalPipelineExecutor
    from loguru import logger

    logger.disable("datatrove")
    try:
        stats = LocalPipelineExecutor(
            steps, tasks=tasks, workers=min(workers, tasks), logging_dir=str(folder / "logs" / name)
        ).run()
    finally:
        logger.enable("datatrove")
    totals: dict[str, int] = {}
    for step in stats.stats:
        for label, metric in step.stats.items():
            totals[label] = totals.get(label, 0) + int(metric.total)
    return totals


class Build:
    """One build in a working folder."""

    def __init__(
        self, catalog: Catalog, recipe: Recipe, folder: Path, progress: Progress, given_tokenizer: str | None
    ) -> None:
        self.catalog, self.recipe, self.folder, self.progress = catalog, recipe, folder, progress
        self.tokenizer_json = given_tokenizer
        self.rejected = folder / "rejected"
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

    def run(self) -> CorpusReport:
        with self.timed(TOTAL), AnnotatorProcess(self.recipe, self.folder) as annotator:
            self.ingest()
            build = self.identity()
            with self.timed("choose"):
                positives = choose_positives(self.recipe, self.documents("heldout"))
                chosen = choose_random(self.recipe, self.spools("corpus"), positives)
            annotator.ask(Request(positives=positives, negatives=[document.text for document in chosen]))
            with self.timed("tokenizer"):
                tokenizer_json = self.tokenizer_json or self.train_tokenizer()
            with self.timed("load writer"):
                import streaming  # noqa: F401  (9 s, beside the annotator)
            with self.timed("annotate"):
                annotation = annotator.answer(self.progress)
            with self.timed("student"):
                texts = [*positives, *(document.text for document in chosen)]
                scores = [*annotation.positive_scores, *annotation.negative_scores]
                student = fit_student(texts, scores, section_tokens=self.recipe.section_tokens)
            known = dict(zip((item.document for item in chosen), annotation.negative_scores, strict=True))
            with self.timed("score and pack"):
                self.pack(tokenizer_json, known, student)
            with self.timed("publish"):
                self.publish(build, tokenizer_json, annotation)
        report = self.report(build, tokenizer_json, annotation, student)
        finish(self.catalog, report)
        return report

    # steps

    def spools(self, kind: str) -> list[Path]:
        """The spools of `corpus` or `heldout`, one a language, sorted."""
        return sorted((self.folder / kind).glob("*.spool"))

    def documents(self, kind: str) -> Iterator[Any]:
        for spool in self.spools(kind):
            for kept in read_spool(spool):
                yield kept.document

    def count(self, totals: dict[str, int]) -> None:
        for name, number in totals.items():
            self.counts[name] = self.counts.get(name, 0) + number

    def ingest(self) -> None:
        """Files to documents, one spool a language. Raises: CorpusError when no document is left."""
        recipe, kept = self.recipe, self.folder / "kept"
        steps: list[Any]
        with self.timed("read"):
            reader = SourceReader(recipe, self.progress)
            steps = [
                reader,
                DecodeFilter(self.rejected),
                LanguageFilter(self.rejected, recipe.notebooks),
                ContentFilter(self.rejected, recipe.filters),
                PrivateDataStep(recipe.privacy),
                KeptWriter(kept, recipe.duplicates),
            ]
            self.count(run_pipeline(steps, self.folder, "read", tasks=recipe.workers, workers=recipe.workers))
        with self.timed("deduplicate"):
            left = self.counts.get("files", 0) - sum(self.dropped().values())
            steps = [
                KeptReader(kept),
                CompiledFilter(self.rejected, kept, recipe.filters),
                DuplicateFilter(self.rejected, recipe.duplicates),
                LanguageWriter(self.folder, recipe, self.progress, left),
            ]
            self.count(run_pipeline(steps, self.folder, "deduplicate", tasks=1, workers=1))
        if not self.spools("corpus"):
            reasons = ", ".join(f"{name} {number}" for name, number in self.dropped().items()) or "there was none"
            raise CorpusError(f"no document is left of {self.counts.get('files', 0)} files ({reasons}); name other sources")

    def identity(self) -> str:
        """What this build is called: a hash of the recipe and the documents."""
        digest = xxhash.xxh3_128(msgspec.json.encode(self.recipe))
        for kind in ("corpus", "heldout"):
            for document in self.documents(kind):
                digest.update(f"{kind} {document.document}".encode())
        return digest.hexdigest()[:16]

    def train_tokenizer(self) -> str:
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
        return str(tokenizer.to_str())

    def pack(self, tokenizer_json: str, known: dict[str, float], student: Student) -> None:
        """Documents to parts in the working folder."""
        recipe, corpus, held_out = self.recipe, self.spools("corpus"), self.spools("heldout")
        end = tokenizers.end_of_document_id(tokenizers.parse(tokenizer_json))
        encoder, total = Encoder(tokenizer_json), self.counts["corpus_documents"]

        def writer(*wanted: str) -> PartsWriter:
            return PartsWriter(self.folder / "parts", recipe, end, wanted)

        by_language = recipe.grouping == Grouping.LANGUAGE
        scorer = Scorer(known, student, self.progress, total)
        wanted = ("raw", "documents", "scored") if by_language else ("documents", "scored")
        steps: list[Any] = [DocumentsReader(corpus), scorer, encoder, writer(*wanted)]
        run_pipeline(steps, self.folder, "pack", tasks=len(corpus), workers=recipe.workers)
        if not by_language:
            steps = [DocumentsReader(corpus, together=True), encoder, writer("raw")]
            run_pipeline(steps, self.folder, "together", tasks=1, workers=1)
        if held_out:
            steps = [DocumentsReader(held_out), encoder, writer("heldout")]
            run_pipeline(steps, self.folder, "heldout", tasks=len(held_out), workers=1)

    def publish(self, build: str, tokenizer_json: str, annotation: Annotation) -> None:
        begin(self.catalog, build, held_out_by(self.recipe))
        publish_rejected(self.catalog.store, build, self.rejected, self.recipe.privacy)
        publish(
            self.catalog,
            self.folder / "parts",
            build=build,
            tokenizer=self.catalog.put_tokenizer(tokenizer_json),
            extra={"annotator": annotation.annotator.model, "seed": self.recipe.seed},
            progress=self.progress,
        )

    # numbers

    def dropped(self) -> dict[str, int]:
        """Files by drop reason, the reasons that occurred."""
        counts = {reason.value: self.counts.get(f"dropped_{reason}", 0) for reason in DropReason}
        return {reason: count for reason, count in counts.items() if count}

    def replaced(self) -> dict[str, int]:
        """What was private and replaced in the documents, by kind."""
        counts = {kind.value: self.counts.get(f"replaced_{kind}", 0) for kind in Kind}
        return {kind: count for kind, count in counts.items() if count}

    def report(self, build: str, tokenizer_json: str, annotation: Annotation, student: Student) -> CorpusReport:
        manifests = [manifest for _, manifest in read_manifests(self.folder / "parts")]
        described = tokenizers.describe(tokenizer_json)
        return CorpusReport(
            build=build,
            files=self.counts.get("files", 0),
            dropped=self.dropped(),
            replaced=self.replaced(),
            documents=self.counts.get("corpus_documents", 0),
            heldout_documents=self.counts.get("heldout_documents", 0),
            text_bytes=self.counts.get("text_bytes", 0),
            languages=count_languages(manifests),
            streams={manifest.stream: manifest.samples for manifest in manifests},
            tokenizer=described.fingerprint,
            vocabulary=described.vocabulary,
            annotator=annotation.annotator.model,
            annotated_files=len(annotation.positive_scores) + len(annotation.negative_scores),
            annotator_auc=round(annotation.annotator.auc, 4),
            student_correlation=round(student.rank_correlation, 4),
            seconds=self.seconds,
        )
