"""The annotator of an ingest: a version that the root has, or one that learns from the sources; its process beside the other
work.

Always holds: no held-out document and no positive is among the random files; no positive is the text of a held-out
document; the choice depends on the documents and the seed alone; what a root's first ingest learned scores the later ones.
The process ends with its `with` block.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import msgspec
import numpy as np
import xxhash

from streamer.catalog.catalog import Catalog
from streamer.corpus.parts.publication import last_report
from streamer.corpus.progress import Progress
from streamer.corpus.recipe import Recipe, default_positives
from streamer.corpus.spool import read_spool, write_through
from streamer.documents.document import Document
from streamer.errors import CorpusError
from streamer.packing.grouping import random_key
from streamer.publishing.heldout import is_held_out
from streamer.scoring.annotator import NGRAMS
from streamer.scoring.annotator_process import Fitted, Request, fit_request
from streamer.scoring.annotator_recipe import AnnotatorRecipe, Positives, StudentRecipe
from streamer.scoring.positives import Text, read_files
from streamer.scoring.trained import Sample, Trained, load, load_embedder

OWN = "ingest"  # what an annotator is called that an ingest trains
POSITIVE_SHARE = 1 / 3
STANDARD_LIBRARY = "standard-library/*.py"
OWN_KEYS = {  # of a recipe of a corpus, with what they are of its own annotator's
    "annotator_model": "embedder",
    "section_tokens": "section_tokens",
    "positives": "positives",
    "sample_files": "files",
    "pass_on": "student",
}


class Chosen(NamedTuple):
    """What an ingest's own annotator learns from: good texts, then random documents, whose ids these are."""

    sample: Sample
    documents: list[str]


def given_annotator(catalog: Catalog, recipe: Recipe) -> Trained | None:
    """The version that scores an ingest: the root's, else the recipe's; None where it trains its own.

    Raises: CorpusError when the two differ, or there is none that is called so.
    """
    report = last_report(catalog)
    has = report.annotator if report is not None and "@" in report.annotator else None
    if recipe.annotator is None:
        return None if has is None else load(catalog, has)
    found = load(catalog, recipe.annotator)
    if has is not None and found.label != has:
        raise CorpusError(
            f"annotator {found.label} cannot score this ingest: scored/* of root {catalog.store.url} is scored by {has}, "
            "and two scales in one stream could not be told apart. Leave annotator out of the recipe, and rank by the other "
            f"one beside it with phasemix annotator rank {found.name}"
        )
    return found


def own_recipe(recipe: Recipe) -> AnnotatorRecipe:
    """The recipe of the annotator that an ingest trains."""
    is_embedded = recipe.annotator_model != NGRAMS
    return AnnotatorRecipe(
        name=OWN,
        embedder=recipe.annotator_model,
        section_tokens=recipe.section_tokens,
        positives=(Positives(files=recipe.positives or (STANDARD_LIBRARY,)),),
        files=recipe.sample_files,
        student=StudentRecipe(files=max(100, recipe.sample_files), pass_on=recipe.pass_on) if is_embedded else None,
        seed=recipe.seed,
    )


def overruled(recipe: Recipe, trained: Trained) -> list[str]:
    """The keys of a recipe that say otherwise what is good, or who says it, than the version that scores its ingest."""
    asked, usual = own_recipe(recipe), {field.name: field.default for field in msgspec.structs.fields(Recipe)}
    return [
        key
        for key, field in OWN_KEYS.items()
        if getattr(recipe, key) != usual[key] and getattr(asked, field) != getattr(trained.recipe, field)
    ]


def text_digest(text: str) -> bytes:
    return xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass"))


def choose_sample(recipe: Recipe, spools: Sequence[Path], held_out: Iterable[Document]) -> Chosen:
    """What the annotator learns from. Raises: CorpusError with fewer than 2 texts of a kind."""
    good = choose_positives(recipe, held_out)
    other = choose_random(recipe, spools, [one.text for one in good])
    if len(other) < 2:
        raise CorpusError(
            f"an annotator needs 2 good and 2 random files at least, got {len(good)} and {len(other)}; check the positives "
            "and the sources"
        )
    texts = [*good, *(Text(one.path, one.text, one.language, one.repository) for one in other)]
    labels = np.repeat([1.0, 0.0], [len(good), len(other)])
    return Chosen(Sample(texts, labels, []), [one.document for one in other])


def choose_positives(recipe: Recipe, held_out: Iterable[Document]) -> list[Text]:
    """At most a third of the files that the annotator may read. Raises: CorpusError with fewer than 2."""
    refused = {text_digest(document.text) for document in held_out}
    found = {
        text_digest(one.text): (random_key(recipe.seed, "positive", one.text), one)
        for one in read_files(recipe.positives or default_positives())
        if one.text.strip()
    }
    kept = sorted(pair for digest, pair in found.items() if digest not in refused)
    if len(kept) < 2:
        raise CorpusError(f"only {len(kept)} positives are left of {len(found)}; name more good files in the recipe")
    return [one for _, one in kept[: max(2, int(recipe.sample_files * POSITIVE_SHARE))]]


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
    """The annotator's model loading, then learning, beside the caller's own work."""

    def __init__(self, recipe: AnnotatorRecipe, folder: Path) -> None:
        self.recipe = recipe
        self._request, self._result = folder / "annotator.request", folder / "annotator.result"
        self._errors = folder / "annotator.log"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "AnnotatorProcess":
        return self

    def start(self) -> None:
        """Lets the model load, unless it does so at once."""
        if self.recipe.embedder == NGRAMS or self._process is not None:
            return
        recipe = msgspec.json.encode(self.recipe).decode()
        command = [sys.executable, "-P", "-m", "streamer.scoring.annotator_process", recipe]
        command += [str(self._request), str(self._result)]
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
        """Lets the process learn from these texts."""
        self.start()
        self._request.write_bytes(msgspec.msgpack.encode(request))
        if self._process is not None and self._process.stdin is not None:
            try:
                self._process.stdin.write("annotate\n")
                self._process.stdin.flush()
            except BrokenPipeError:  # it ended with an error, which `answer` tells
                return

    def answer(self, progress: Progress) -> Fitted:
        """Waits for the annotator. Raises: CorpusError when it cannot work."""
        if self._process is None:
            request = msgspec.msgpack.decode(self._request.read_bytes(), type=Request)
            return fit_request(
                request, load_embedder(self.recipe), lambda done, total: progress.report("annotate", done, total)
            )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("annotated "):
                _, done, total = line.split()
                progress.report("annotate", int(done), int(total))
        if self._process.wait() != 0:
            said = self._errors.read_text(errors="replace").strip().splitlines() or ["no message"]
            raise CorpusError(said[-1].removeprefix("phasemix: "))
        return msgspec.msgpack.decode(self._result.read_bytes(), type=Fitted)

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
    """The annotator of a build in its working folder, with the texts that it learned from."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "annotation"

    def is_missing(self) -> bool:
        return not self._path.exists()

    def read(self, request: Request) -> Fitted | None:
        """The annotator, if it learned from these very texts."""
        if self.is_missing():
            return None
        digest, fitted = msgspec.msgpack.decode(self._path.read_bytes(), type=tuple[bytes, Fitted])
        return fitted if digest == request_digest(request) else None

    def write(self, request: Request, fitted: Fitted) -> Fitted:
        aside = self._path.with_name(f"{self._path.name}.part")
        write_through(aside, msgspec.msgpack.encode((request_digest(request), fitted)))
        aside.replace(self._path)
        return fitted


def request_digest(request: Request) -> bytes:
    return xxhash.xxh3_128_digest(msgspec.msgpack.encode(request))
