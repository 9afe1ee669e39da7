"""What a root has already, so that a later build adds nothing twice.

Always holds: the documents of finished builds and of other publications are taken, those of a build that is not finished are
not, so that it finds the same again when it goes on; redacted documents and those of builds that were given up are left out.

How: documents are read from the document streams. What is held out the root has as samples alone; they give the text.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from datatrove.data import Document as Passed
from datatrove.pipeline.base import PipelineStep

from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo
from streamer.corpus.parts.publication import BUILDS, given_up, pending_build
from streamer.corpus.repacking import unpacked_documents
from streamer.corpus.spool import Kept, SignedWriter
from streamer.documents.document import Document
from streamer.likeness.near_duplicates import Duplicates, sign

OLD = "old"
BATCH_DOCUMENTS = 64


class OldDocuments(PipelineStep):  # type: ignore[misc]
    """The root's documents of each language to `kept/LANG/old.*`; task r of R takes every R-th language."""

    type, name = "📖 - READER", "old documents"

    def __init__(self, url: str, folder: Path, rule: Duplicates) -> None:
        super().__init__()
        self.url, self.folder, self.rule = url, folder, rule

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        catalog = Catalog(self.url)
        for folder in sorted((self.folder / "kept").iterdir())[rank::world_size]:
            with SignedWriter(folder / OLD) as writer:
                found = old_documents(catalog, folder.name)
                while batch := list(islice(found, BATCH_DOCUMENTS)):
                    texts, languages = [document.text for document in batch], [folder.name] * len(batch)
                    for document, signature in zip(batch, sign(texts, languages, self.rule), strict=True):
                        writer.write(Kept(order=0, document=document), signature)
        yield from ()


def old_documents(catalog: Catalog, language: str) -> Iterator[Document]:
    """The documents of a language that a root has, held-out ones included. Raises: StreamError, StoreError, PartError."""
    bodies = catalog.log(BUILDS).read()
    unfinished = {pending_build(bodies) or "", *given_up(bodies)}
    names = {found.name for found in catalog.streams() if found.samples}

    def is_old(part: PartInfo) -> bool:
        return part.extra.get("build") not in unfinished

    if f"documents/{language}" in names:
        yield from catalog.documents(f"documents/{language}", wanted=is_old)
    if f"heldout/{language}" in names:
        for part in catalog.stream(f"heldout/{language}").parts:
            if is_old(part):
                yield from unpacked_documents(catalog, f"heldout/{language}", part)
