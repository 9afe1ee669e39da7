"""The steps of the packing pipelines: one task reads one language, scores, tokenises, orders, packs and writes parts.

Always holds: a part is an MDS folder by mosaicml-streaming's MDSWriter beside a manifest that is written last, so
a folder without one is no part; the same documents, scores and recipe give the same bytes.
"""

import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from datatrove.data import Document as Passed
from datatrove.pipeline.base import PipelineStep

from streamer.corpus.parts.part_manifest import PartManifest, write_manifest
from streamer.corpus.progress import Tally
from streamer.corpus.recipe import Recipe
from streamer.corpus.spool import read_spool
from streamer.documents.document import COLUMNS, Document
from streamer.packing import tokenizer as tokenizers
from streamer.packing.grouping import Grouping, choose_order
from streamer.packing.packing import pack, sidecar_rows
from streamer.scoring.quality_bins import bin_name, cut_bins
from streamer.scoring.student import Student

BATCH_DOCUMENTS = 256


class DocumentsReader(PipelineStep):  # type: ignore[misc]
    """Documents of spools: of the task's own, or, with `together`, of all of them in one task."""

    type, name = "📖 - READER", "documents"

    def __init__(self, spools: Sequence[Path], *, together: bool = False) -> None:
        super().__init__()
        self.spools, self.together = list(spools), together

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        for spool in self.spools if self.together else self.spools[rank::world_size]:
            for kept in read_spool(spool):
                document = kept.document
                yield Passed(text=document.text, id=document.document, metadata={"document": document})


class Scorer(PipelineStep):  # type: ignore[misc]
    """Gives every document a score: the annotator's where it read the file, else the student's."""

    type, name = "📊 - SCORE", "annotator and student"

    def __init__(self, known: dict[str, float], student: Student, tallies: Path) -> None:
        super().__init__()
        self.known, self.student, self.tallies = known, student, tallies

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        with Tally(self.tallies, rank) as tally:
            while batch := list(islice(data, BATCH_DOCUMENTS)):
                with self.track_time("batch"):
                    scores = self.student.score([doc.text for doc in batch])
                    for doc, score in zip(batch, scores.tolist(), strict=True):
                        number = round(self.known.get(doc.id, score), 6)
                        doc.metadata["document"] = msgspec.structs.replace(doc.metadata["document"], score=number)
                tally.add(len(batch))
                yield from batch


class Encoder(PipelineStep):  # type: ignore[misc]
    """Adds each document's token ids."""

    type, name = "🔢 - TOKENIZER", "encode"

    def __init__(self, tokenizer_json: str) -> None:
        super().__init__()
        self.tokenizer_json = tokenizer_json

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        tokenizer = tokenizers.parse(self.tokenizer_json)
        while batch := list(islice(data, BATCH_DOCUMENTS)):
            with self.track_time("batch"):
                for doc, ids in zip(batch, tokenizers.encode(tokenizer, [doc.text for doc in batch]), strict=True):
                    doc.metadata["ids"] = ids
            yield from batch


class PartsWriter(PipelineStep):  # type: ignore[misc]
    """Writes the parts that a language's documents give, under `folder`.

    `wanted`: which of `raw`, `documents`, `scored` and `heldout`.
    """

    type, name = "💽 - WRITER", "parts"

    def __init__(self, folder: Path, recipe: Recipe, end_of_document_id: int, wanted: Sequence[str]) -> None:
        super().__init__()
        self.folder, self.recipe = folder, recipe
        self.end_of_document_id, self.wanted = end_of_document_id, tuple(wanted)

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        passed = list(data)
        documents: list[Document] = [doc.metadata["document"] for doc in passed]
        ids = [doc.metadata["ids"] for doc in passed]
        for kind in self.wanted:
            if kind in ("raw", "heldout"):
                grouping = Grouping.LANGUAGE if kind == "heldout" else self.recipe.grouping
                for key, order in choose_order(documents, grouping, seed=self.recipe.seed).items():
                    self.write_samples(f"{kind}/{key}", documents, ids, order)
            elif documents and kind == "scored":
                scores = [document.score or 0.0 for document in documents]
                bins = cut_bins(scores, [document.document for document in documents], self.recipe.bins)
                for bound, order in bins.items():
                    self.write_samples(f"scored/{documents[0].language}/{bin_name(bound)}", documents, ids, order)
            elif documents:
                self.write_documents(f"documents/{documents[0].language}", documents)
        yield from passed

    def write_samples(self, stream: str, documents: list[Document], ids: list[list[int]], order: list[int]) -> None:
        """One part of a stream of tokens; nothing for no documents."""
        from streaming import MDSWriter

        if not order:
            return
        packed = pack(
            [ids[index] for index in order],
            seq_len=self.recipe.seq_len,
            dtype=self.recipe.dtype,
            end_of_document_id=self.end_of_document_id,
        )
        place = empty_folder(self.folder / stream.replace("/", "+"))
        columns = {"tokens": f"ndarray:{self.recipe.dtype}:{self.recipe.seq_len}"}
        with MDSWriter(out=str(place), columns=columns, max_workers=1) as writer:
            for row in packed.rows:
                writer.write({"tokens": row})
        sidecar = sidecar_rows(packed, [documents[index] for index in order])
        self.finish(place, stream, sidecar, len(order), len(packed.rows), packed.tokens)

    def write_documents(self, stream: str, documents: list[Document]) -> None:
        """One part of a stream of documents, ordered by repository and path."""
        from streaming import MDSWriter

        place = empty_folder(self.folder / stream.replace("/", "+"))
        with MDSWriter(out=str(place), columns=COLUMNS, max_workers=1) as writer:
            for document in sorted(documents, key=lambda item: (item.repository, item.path, item.document)):
                writer.write({name: getattr(document, name) for name in COLUMNS})
        self.finish(place, stream, None, len(documents), len(documents), 0)

    def finish(
        self, place: Path, stream: str, sidecar: list[dict[str, Any]] | None, documents: int, samples: int, tokens: int
    ) -> None:
        manifest = PartManifest(stream=stream, sidecar=sidecar, documents=documents, samples=samples, tokens=tokens)
        write_manifest(place, manifest)


def empty_folder(place: Path) -> Path:
    """A folder without what a task left there that was killed."""
    shutil.rmtree(place, ignore_errors=True)
    return place
