"""The steps of the two first pipelines: read and filter (any number of tasks), then deduplicate and hold out (one).

Always holds: every file that a source yields is either written, or counted under exactly one `DropReason` and recorded
(`CountedFilter`); the result does not depend on the number of tasks.
"""

import heapq
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from datatrove.data import Document as Passed
from datatrove.pipeline.base import PipelineStep

from streamer.corpus.counted_filter import CountedFilter
from streamer.corpus.progress import Progress
from streamer.corpus.recipe import Recipe
from streamer.corpus.rejected import MOST_EXCERPT_BYTES
from streamer.corpus.sources.admission import Admission
from streamer.corpus.sources.ingest import count_files, read_source
from streamer.corpus.sources.raw_file import RawFile
from streamer.corpus.spool import Kept, SpoolWriter, read_spool
from streamer.documents.document import Document, document_id
from streamer.documents.languages import depends_on_text, detect, key_of
from streamer.documents.notebooks import NOTEBOOK, Notebooks, read_notebook
from streamer.documents.text import DropReason, decode
from streamer.gates.filters import Filters, LanguageGates
from streamer.gates.flags import flags
from streamer.gates.origin import Sources
from streamer.gates.subject import Refusal, Subject
from streamer.likeness.near_duplicates import DuplicateIndex, Duplicates, sign
from streamer.privacy.replacing import Privacy, read_counts, replace
from streamer.publishing.heldout import is_held_out

BATCH_DOCUMENTS = 64
SOURCE_SHIFT = 40


class SourceReader(PipelineStep):  # type: ignore[misc]
    """Files of the recipe's sources, as bytes; task r of R takes every R-th."""

    type, name = "📖 - READER", "sources"

    def __init__(self, recipe: Recipe, progress: Progress) -> None:
        super().__init__()
        self.recipe, self.progress = recipe, progress
        self.total, self.admission = count_files(recipe.sources), Admission(recipe)

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        count = 0
        for number, source in enumerate(self.recipe.sources):
            for place, file in enumerate(read_source(source, seed=self.recipe.seed)):
                count += 1
                if place % world_size != rank:
                    continue
                self.admission.judge(file)
                self.stat_update("files")
                self.progress.report("read", count, self.total)
                order = (number << SOURCE_SHIFT) + place
                yield Passed(text="", id=str(order), metadata={"file": file, "order": order})


class DecodeFilter(CountedFilter):
    """Bytes to text, or why not."""

    name = "decode"

    def judge(self, doc: Passed) -> Refusal | None:
        file: RawFile = doc.metadata["file"]
        found = file.fault if file.fault is not None else decode(file.data)
        if isinstance(found, DropReason):
            doc.text = file.data[:MOST_EXCERPT_BYTES].decode("utf-8", "backslashreplace")
            return Refusal(reason=found, values={"bytes": len(file.data)})
        file.data = b""
        doc.text, file.encoding = found
        return None


class LanguageFilter(CountedFilter):
    """Keeps the 18 languages: what the source states when it is one of them, else what path and text say.

    Of headers and of files without an ending the text decides first, whatever the source states. Notebooks become text here.
    """

    name = "language"

    def __init__(self, folder: Path, notebooks: Notebooks) -> None:
        super().__init__(folder)
        self.notebooks = notebooks

    def judge(self, doc: Passed) -> Refusal | None:
        file: RawFile = doc.metadata["file"]
        stated = key_of(file.language) if file.language else None
        found = detect(file.path, doc.text)
        file.language = (found or stated) if depends_on_text(file.path) else (stated or found)
        if file.language is None:
            return Refusal(reason=DropReason.UNKNOWN_LANGUAGE)
        if file.language == NOTEBOOK:
            text = read_notebook(doc.text, self.notebooks)
            if isinstance(text, DropReason):
                return Refusal(reason=text)
            doc.text = text
        return None


class ContentFilter(CountedFilter):
    """Asks the gates of the recipe."""

    name = "content"

    def __init__(self, folder: Path, filters: Filters) -> None:
        super().__init__(folder)
        self.gates = LanguageGates(filters)

    def judge(self, doc: Passed) -> Refusal | None:
        return self.gates.judge(subject_of(doc.text, doc.metadata["file"]))


def subject_of(text: str, file: RawFile) -> Subject:
    assert file.language is not None
    return Subject(text, language=file.language, path=file.path, repository=file.repository)


class PrivateDataStep(PipelineStep):  # type: ignore[misc]
    """Replaces what is private in the texts; what follows, ids and duplicates among it, sees the replaced text alone."""

    type, name = "🔒 - REPLACER", "private data"

    def __init__(self, privacy: Privacy) -> None:
        super().__init__()
        self.privacy = privacy

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        for doc in data:
            found = replace(doc.text, self.privacy)
            doc.text, doc.metadata["file"].replaced = found.text, found.words
            yield doc


class KeptWriter(PipelineStep):  # type: ignore[misc]
    """Signs documents for deduplication and writes one spool a task."""

    type, name = "💽 - WRITER", "kept documents"

    def __init__(self, folder: Path, rule: Duplicates) -> None:
        super().__init__()
        self.folder, self.rule = folder, rule

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        with SpoolWriter(self.folder / f"{rank:05d}.spool") as writer:
            while batch := list(islice(data, BATCH_DOCUMENTS)):
                languages = [doc.metadata["file"].language for doc in batch]
                signatures = sign([doc.text for doc in batch], languages, self.rule)
                for doc, signature in zip(batch, signatures, strict=True):
                    document = to_document(doc.text, doc.metadata["file"])
                    writer.write(Kept(order=doc.metadata["order"], document=document, signature=signature.tobytes()))
                yield from batch


def to_document(text: str, file: RawFile) -> Document:
    """The document of a file."""
    assert file.language is not None
    return Document(
        text=text,
        path=file.path,
        repository=file.repository,
        language=file.language,
        license=file.license,
        encoding=file.encoding,
        flags=" ".join(flags(subject_of(text, file))),
        replaced=file.replaced,
        document=document_id(file.repository, file.path, text),
    )


class KeptReader(PipelineStep):  # type: ignore[misc]
    """All kept documents in the order of the sources, whatever the number of tasks that wrote them."""

    type, name = "📖 - READER", "kept documents"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        spools = [read_spool(path) for path in sorted(self.folder.glob("*.spool"))]
        for kept in heapq.merge(*spools, key=lambda kept: kept.order):
            yield Passed(text=kept.document.text, id=kept.document.document, metadata={"kept": kept})


class CompiledFilter(CountedFilter):
    """Drops what was compiled from a TypeScript source that was kept too; looks at all documents twice, so one task."""

    name = "compiled"

    def __init__(self, folder: Path, kept: Path, filters: Filters) -> None:
        super().__init__(folder)
        self.kept, self.is_on = kept, filters.build_output.on

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        documents = (kept.document for path in sorted(self.kept.glob("*.spool")) for kept in read_spool(path))
        self.sources = Sources((document.repository, document.path) for document in documents) if self.is_on else Sources(())
        yield from super().run(data, rank, world_size)

    def judge(self, doc: Passed) -> Refusal | None:
        document = doc.metadata["kept"].document
        source = self.sources.source_of(
            Subject(doc.text, language=document.language, path=document.path, repository=document.repository)
        )
        return Refusal(reason=DropReason.BUILD_OUTPUT, values={"source": source}) if source else None


class DuplicateFilter(CountedFilter):
    """Drops exact and near duplicates of documents kept before; needs to see all documents, so one task."""

    name = "duplicates"

    def __init__(self, folder: Path, rule: Duplicates) -> None:
        super().__init__(folder)
        self.rule = rule

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        assert world_size == 1
        self.index = DuplicateIndex(self.rule)
        yield from super().run(data, rank, world_size)

    def judge(self, doc: Passed) -> Refusal | None:
        signature = np.frombuffer(doc.metadata["kept"].signature, dtype=np.uint32)
        reason = self.index.add(doc.text, doc.metadata["kept"].document.language, signature)
        return None if reason is None else Refusal(reason=reason)


class LanguageWriter(PipelineStep):  # type: ignore[misc]
    """One spool for each language, held-out repositories apart: `corpus/LANG.spool` and `heldout/LANG.spool`."""

    type, name = "💽 - WRITER", "languages"

    def __init__(self, folder: Path, recipe: Recipe, progress: Progress, total: int) -> None:
        super().__init__()
        self.folder, self.recipe, self.progress, self.total = folder, recipe, progress, total

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        writers: dict[tuple[str, str], SpoolWriter] = {}
        with ExitStack() as stack:
            for count, doc in enumerate(data, start=1):
                kept: Kept = doc.metadata["kept"]
                held_out = is_held_out(
                    kept.document.repository, share=self.recipe.heldout_share, key=self.recipe.heldout_key
                )
                key = ("heldout" if held_out else "corpus", kept.document.language)
                if key not in writers:
                    path = self.folder / key[0] / f"{key[1]}.spool"
                    writers[key] = stack.enter_context(SpoolWriter(path))
                writers[key].write(Kept(order=kept.order, document=kept.document))
                self.stat_update(f"{key[0]}_documents")
                self.stat_update("text_bytes", value=len(doc.text.encode()))
                for kind, count in read_counts(kept.document.replaced).items():
                    self.stat_update(f"replaced_{kind}", value=count)
                self.progress.report("deduplicate", count, self.total)
                yield doc
