"""Which files the annotator reads, and the annotator's process beside the other work.

Always holds: no held-out document and no positive is among the random files; no positive is the text of a held-out
document; the choice depends on the documents and the seed alone. The process ends with its `with` block.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

import msgspec
import xxhash

from streamer.corpus.progress import Progress
from streamer.corpus.recipe import Recipe, default_positives
from streamer.corpus.spool import read_spool
from streamer.documents.document import Document
from streamer.errors import CorpusError
from streamer.packing.grouping import random_key
from streamer.publishing.heldout import is_held_out
from streamer.scoring.annotator import NGRAMS, Annotation, annotate, embed_files, load_embedder
from streamer.scoring.annotator_process import Request
from streamer.scoring.positives import read_files

POSITIVE_SHARE = 1 / 3


def text_digest(text: str) -> bytes:
    return xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass"))


def choose_positives(recipe: Recipe, held_out: Iterable[Document]) -> list[str]:
    """At most a third of the files that the annotator may read. Raises: CorpusError with fewer than 2."""
    refused = {text_digest(document.text) for document in held_out}
    found = {
        text_digest(text): (random_key(recipe.seed, "positive", text), text)
        for _, text, *_ in read_files(recipe.positives or default_positives())
        if text.strip()
    }
    kept = sorted(pair for digest, pair in found.items() if digest not in refused)
    if len(kept) < 2:
        raise CorpusError(f"only {len(kept)} positives are left of {len(found)}; name more good files in the recipe")
    return [text for _, text in kept[: max(2, int(recipe.sample_files * POSITIVE_SHARE))]]


def choose_random(recipe: Recipe, spools: Sequence[Path], positives: Sequence[str]) -> list[Document]:
    """Random documents of the corpus for what is left of the annotator's files, none of them held out."""
    refused = {text_digest(text) for text in positives}

    def is_free(document: Document) -> bool:
        is_out = is_held_out(document.repository, share=recipe.heldout_share, key=recipe.heldout_key)
        return not is_out and text_digest(document.text) not in refused

    keys = sorted(
        (random_key(recipe.seed, "sample", kept.document.document), kept.document.document)
        for spool in spools
        for kept in read_spool(spool)
        if is_free(kept.document)
    )[: recipe.sample_files - len(positives)]
    chosen = {document for _, document in keys}
    found = {
        kept.document.document: kept.document
        for spool in spools
        for kept in read_spool(spool)
        if kept.document.document in chosen
    }
    return [found[document] for _, document in keys]


class AnnotatorProcess:
    """The annotator's model loading, then scoring, beside the caller's own work."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe = recipe
        self._request, self._result = folder / "annotator.request", folder / "annotator.result"
        self._errors = folder / "annotator.log"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "AnnotatorProcess":
        return self

    def start(self) -> None:
        """Lets the model load, unless it does so at once."""
        if self.recipe.annotator_model == NGRAMS or self._process is not None:
            return
        command = [sys.executable, "-P", "-m", "streamer.scoring.annotator_process", self.recipe.annotator_model]
        command += [str(self.recipe.section_tokens), str(self._request), str(self._result)]
        paths = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=paths,
                start_new_session=True,  # an interrupt is for the process that waits for it, which then ends it
            )

    def ask(self, request: Request) -> None:
        """Lets the process annotate these files."""
        self.start()
        self._request.write_bytes(msgspec.msgpack.encode(request))
        if self._process is not None and self._process.stdin is not None:
            try:
                self._process.stdin.write("annotate\n")
                self._process.stdin.flush()
            except BrokenPipeError:  # it ended with an error, which `answer` tells
                return

    def answer(self, progress: Progress) -> Annotation:
        """Waits for the scores. Raises: CorpusError when the annotator cannot work."""
        if self._process is None:
            return annotate_here(msgspec.msgpack.decode(self._request.read_bytes(), type=Request), self.recipe, progress)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("annotated "):
                _, done, total = line.split()
                progress.report("annotate", int(done), int(total))
        if self._process.wait() != 0:
            said = self._errors.read_text(errors="replace").strip().splitlines() or ["no message"]
            raise CorpusError(said[-1].removeprefix("phasemix: "))
        return msgspec.msgpack.decode(self._result.read_bytes(), type=Annotation)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue


class NotedAnnotation:
    """The scores of a build in its working folder, with the files that they are for."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "annotation"

    def is_missing(self) -> bool:
        return not self._path.exists()

    def read(self, request: Request) -> Annotation | None:
        """The scores, if these very files were annotated."""
        if self.is_missing():
            return None
        digest, annotation = msgspec.msgpack.decode(self._path.read_bytes(), type=tuple[bytes, Annotation])
        return annotation if digest == request_digest(request) else None

    def write(self, request: Request, annotation: Annotation) -> Annotation:
        aside = self._path.with_name(f"{self._path.name}.part")
        aside.write_bytes(msgspec.msgpack.encode((request_digest(request), annotation)))
        aside.replace(self._path)
        return annotation


def request_digest(request: Request) -> bytes:
    return xxhash.xxh3_128_digest(msgspec.msgpack.encode(request))


def annotate_here(request: Request, recipe: Recipe, progress: Progress) -> Annotation:
    """The same without a process, for a model that loads at once."""
    embed, label = load_embedder(recipe.annotator_model, section_tokens=recipe.section_tokens)
    features = embed_files(
        [*request.positives, *request.negatives],
        embed,
        section_tokens=recipe.section_tokens,
        progress=lambda done, total: progress.report("annotate", done, total),
    )
    return annotate(features, len(request.positives), model=label, section_tokens=recipe.section_tokens)
