"""The steps of the first stage, in any number of tasks: read, filter, sign and write one spool a task and language.

Always holds: every file that a source yields is either written, or counted under exactly one `DropReason` and recorded
(`CountedFilter`); the result does not depend on the number of tasks.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from datatrove.data import Document as Passed
from datatrove.pipeline.base import PipelineStep

from streamer.corpus.progress import Tally
from streamer.corpus.recipe import Recipe
from streamer.corpus.rejected import MOST_EXCERPT_BYTES
from streamer.corpus.sources.admission import Admission
from streamer.corpus.sources.ingest import read_source
from streamer.corpus.sources.raw_file import RawFile, Share
from streamer.corpus.spool import Kept, SignedWriter
from streamer.corpus.steps.counted_filter import CountedFilter
from streamer.documents.document import Document, document_id
from streamer.documents.languages import depends_on_text, detect, key_of
from streamer.documents.notebooks import NOTEBOOK, Notebooks, read_notebook
from streamer.documents.text import DropReason, decode
from streamer.gates.filters import Filters, LanguageGates
from streamer.gates.flags import flags
from streamer.gates.subject import Refusal, Subject
from streamer.likeness.contamination import Contamination
from streamer.likeness.contamination_file import decode_index
from streamer.likeness.near_duplicates import Duplicates, sign
from streamer.privacy.replacing import Privacy, replace

BATCH_DOCUMENTS = 64
SOURCE_SHIFT = 48


class SourceReader(PipelineStep):  # type: ignore[misc]
    """Files of the recipe's sources, as bytes; task r of R takes every R-th file, or every R-th archive of a folder."""

    type, name = "📖 - READER", "sources"

    def __init__(self, recipe: Recipe, tallies: Path, without: Sequence[Path | str], work: Path) -> None:
        super().__init__()
        self.recipe, self.tallies, self.admission = recipe, tallies, Admission(recipe)
        self.without, self.work = without, work

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        with Tally(self.tallies, rank) as tally:
            for number, source in enumerate(self.recipe.sources):
                share = Share(rank, world_size)
                files = read_source(source, seed=self.recipe.seed, share=share, without=self.without, work=self.work)
                for file in files:
                    self.admission.judge(file)
                    self.stat_update("files")
                    self.stat_update("source_bytes", value=len(file.data))
                    tally.add()
                    order = (number << SOURCE_SHIFT) + file.order
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


class ContaminationFilter(CountedFilter):
    """Drops files that have a task of a benchmark in them, before any of them becomes the survivor of its duplicates."""

    name = "contamination"

    def __init__(self, folder: Path, index: Path) -> None:
        super().__init__(folder)
        self.index = index

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        contamination = Contamination(decode_index(self.index.read_bytes(), str(self.index)))
        yield from super().run(self.judged(data, contamination), rank, world_size)

    def judged(self, data: Any, contamination: Contamination) -> Iterator[Passed]:
        """The documents with the tasks that are found in them; many are looked at together."""
        while batch := list(islice(data, BATCH_DOCUMENTS)):
            languages = [doc.metadata["file"].language for doc in batch]
            for doc, match in zip(batch, contamination.find_all([doc.text for doc in batch], languages), strict=True):
                doc.metadata["match"] = match
                yield doc

    def judge(self, doc: Passed) -> Refusal | None:
        file, found = doc.metadata["file"], doc.metadata.pop("match")
        if found is None:
            return None
        document = document_id(file.repository, file.path, doc.text)
        return Refusal(reason=DropReason.CONTAMINATED, values={**found._asdict(), "document": document})


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
    """Signs documents for deduplication and writes, for each language, a spool and a file of signatures."""

    type, name = "💽 - WRITER", "kept documents"

    def __init__(self, folder: Path, rule: Duplicates) -> None:
        super().__init__()
        self.folder, self.rule = folder, rule

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        writers: dict[str, SignedWriter] = {}
        with ExitStack() as stack:
            while batch := list(islice(data, BATCH_DOCUMENTS)):
                languages = [doc.metadata["file"].language for doc in batch]
                signatures = sign([doc.text for doc in batch], languages, self.rule)
                for doc, language, signature in zip(batch, languages, signatures, strict=True):
                    if language not in writers:
                        path = self.folder / language / f"{rank:05d}"
                        writers[language] = stack.enter_context(SignedWriter(path))
                    file: RawFile = doc.metadata["file"]
                    kept = Kept(order=doc.metadata["order"], document=to_document(doc.text, file), standing=file.standing)
                    writers[language].write(kept, signature)
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
