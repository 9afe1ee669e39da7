"""The steps of the packing pipelines: one task reads one language, scores, tokenises, orders, packs and writes parts.

Always holds: a part is an MDS folder by mosaicml-streaming's MDSWriter beside a manifest that is written last, so
a folder without one is no part; the same documents, scores and recipe give the same bytes.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from datatrove.data import Document as Passed
from datatrove.pipeline.base import PipelineStep

from streamer.corpus.parts.part_manifest import PartManifest, write_manifest
from streamer.corpus.progress import Tally
from streamer.corpus.recipe import Recipe
from streamer.corpus.spool import read_at, read_places, read_spool
from streamer.documents.document import COLUMNS, Document
from streamer.packing.encoder import TextEncoder
from streamer.packing.grouping import Grouping, choose_order
from streamer.packing.packing import pack, sidecar_rows
from streamer.scoring.quality_bins import bin_name, cut_bins

BATCH_CHARACTERS = 1 << 20
PART_TOKENS = 1 << 26
PART_CHARACTERS = 1 << 27


class Shape(NamedTuple):
    """What samples look like."""

    seq_len: int
    dtype: str
    end_of_document_id: int


class DocumentsReader(PipelineStep):  # type: ignore[misc]
    """Documents of spools: of the task's own, or, with `together`, of all of them in one task."""

    type, name = "📖 - READER", "documents"

    def __init__(self, spools: Sequence[Path], *, together: bool = False) -> None:
        super().__init__()
        self.spools, self.together = list(spools), together

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        for spool in self.spools if self.together else self.spools[rank::world_size]:
            for place, kept in read_places(spool):
                document = kept.document
                yield Passed(
                    text=document.text, id=document.document, metadata={"document": document, "place": (spool, place)}
                )


class Scorer(PipelineStep):  # type: ignore[misc]
    """Gives every document of a language its score."""

    type, name = "📊 - SCORE", "scores"

    def __init__(self, scores: Sequence[Path], tallies: Path) -> None:
        super().__init__()
        self.scores, self.tallies = list(scores), tallies

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        scores: dict[str, float] = {}
        for path in self.scores[rank::world_size]:
            scores |= msgspec.msgpack.decode(path.read_bytes())
        with Tally(self.tallies, rank) as tally:
            for doc in data:
                doc.metadata["document"] = msgspec.structs.replace(doc.metadata["document"], score=scores[doc.id])
                tally.add(1)
                yield doc


class Encoder(PipelineStep):  # type: ignore[misc]
    """Adds each document's token ids."""

    type, name = "🔢 - TOKENIZER", "encode"

    def __init__(self, tokenizer_json: str) -> None:
        super().__init__()
        self.tokenizer_json = tokenizer_json

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        encoder = TextEncoder(self.tokenizer_json)
        for batch in batches(data, BATCH_CHARACTERS):
            with self.track_time("batch"):
                for doc, ids in zip(batch, encoder.encode([doc.text for doc in batch]), strict=True):
                    doc.metadata["ids"] = ids
            yield from batch


def batches(data: Iterable[Passed], most: int) -> Iterator[list[Passed]]:
    """Documents in batches of at most so many characters, or one document."""
    batch: list[Passed] = []
    left = most
    for doc in data:
        if batch and len(doc.text) > left:
            yield batch
            batch, left = [], most
        batch.append(doc)
        left -= len(doc.text)
    if batch:
        yield batch


class PartsWriter(PipelineStep):  # type: ignore[misc]
    """Writes the parts that a language's documents give, under `folder`.

    `wanted`: which of `raw`, `documents`, `scored` and `heldout`. Ids wait in a file, and texts are read from the spools
    again, so that memory holds what else is known of the documents, about 1 KB each, and one part. `old`: spools of each
    language's documents that the root has with scores by the same annotator, which keep their tiers.
    """

    type, name = "💽 - WRITER", "parts"

    def __init__(
        self, folder: Path, recipe: Recipe, end_of_document_id: int, wanted: Sequence[str], old: dict[str, Path]
    ) -> None:
        super().__init__()
        self.folder, self.recipe, self.wanted, self.old = folder, recipe, tuple(wanted), old
        self.shape = Shape(recipe.seq_len, recipe.dtype, end_of_document_id)

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        documents: list[Document] = []
        places: list[tuple[Path, int]] = []
        sizes: list[int] = []
        with IdsFile(self.folder / f"{self.wanted[0]}-{rank:05d}.ids") as ids:
            for doc in data:
                documents.append(msgspec.structs.replace(doc.metadata["document"], text=""))
                places.append(doc.metadata["place"])
                sizes.append(len(doc.text))
                ids.append(doc.metadata["ids"])
            for kind in self.wanted:
                if kind in ("raw", "heldout"):
                    grouping = Grouping.LANGUAGE_REPO if kind == "heldout" else self.recipe.grouping
                    for key, order in choose_order(documents, grouping, seed=self.recipe.seed).items():
                        write_samples(self.folder, f"{kind}/{key}", documents, ids, order, self.shape)
                elif documents and kind == "scored":
                    scores = [document.score or 0.0 for document in documents]
                    names, old = [one.document for one in documents], self.old_scores(documents[0].language)
                    bins = cut_bins(scores, names, self.recipe.bins, old=old)
                    for bound, order in bins.items():
                        stream = f"scored/{documents[0].language}/{bin_name(bound)}"
                        write_samples(self.folder, stream, documents, ids, order, self.shape)
                elif documents:
                    self.write_documents(f"documents/{documents[0].language}", documents, places, sizes)
        yield from ()

    def old_scores(self, language: str) -> list[tuple[float, str]]:
        if language not in self.old:
            return []
        found = (kept.document for kept in read_spool(self.old[language]))
        return [(one.score, one.document) for one in found if one.score is not None]

    def write_documents(
        self, stream: str, documents: list[Document], places: list[tuple[Path, int]], sizes: list[int]
    ) -> None:
        """A stream of documents, ordered by repository and path, in parts of `PART_CHARACTERS` at most or one document."""
        from streaming import MDSWriter

        order = sorted(
            range(len(documents)),
            key=lambda index: (documents[index].repository, documents[index].path, documents[index].document),
        )
        (spool,) = {path for path, _ in places}
        with spool.open("rb") as file:
            for number, members in enumerate(cut_parts(order, [sizes[index] for index in order], PART_CHARACTERS)):
                place = empty_folder(self.folder / part_name(stream, number))
                with MDSWriter(out=str(place), columns=COLUMNS, max_workers=1) as writer:
                    for index in members:
                        text = read_at(file, places[index][1]).document.text
                        document = msgspec.structs.replace(documents[index], text=text)
                        writer.write({name: getattr(document, name) for name in COLUMNS})
                manifest = PartManifest(
                    stream=stream, number=number, has_sidecar=False, documents=len(members), samples=len(members), tokens=0
                )
                write_manifest(place, manifest, None)


class IdsFile:
    """The token ids of documents in a file that is removed with the `with` block."""

    def __init__(self, path: Path) -> None:
        self._path, self._ends = path, [0]
        path.parent.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "IdsFile":
        self._file = self._path.open("w+b")
        return self

    def append(self, ids: npt.NDArray[np.uint32]) -> None:
        self._file.write(ids.tobytes())
        self._ends.append(self._ends[-1] + len(ids))

    def length(self, index: int) -> int:
        return self._ends[index + 1] - self._ends[index]

    def read(self, index: int) -> npt.NDArray[np.uint32]:
        """The ids of a document, by its place in the order of `append`."""
        self._file.seek(4 * self._ends[index])
        return np.frombuffer(self._file.read(4 * self.length(index)), np.uint32)

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink()


def write_samples(
    folder: Path, stream: str, documents: Sequence[Document], ids: IdsFile, order: Sequence[int], shape: Shape
) -> None:
    """A stream of tokens below a folder, in parts of at most `PART_TOKENS` or one document; nothing for no documents."""
    from streaming import MDSWriter

    columns = {"tokens": f"ndarray:{shape.dtype}:{shape.seq_len}"}
    for number, members in enumerate(cut_parts(order, [ids.length(index) + 1 for index in order], PART_TOKENS)):
        packed = pack((ids.read(index) for index in members), **shape._asdict())
        place = empty_folder(folder / part_name(stream, number))
        with MDSWriter(out=str(place), columns=columns, max_workers=1) as writer:
            for row in packed.rows:
                writer.write({"tokens": row})
        manifest = PartManifest(
            stream=stream, number=number, has_sidecar=True, documents=len(members), samples=len(packed.rows),
            tokens=packed.tokens,
        )  # fmt: skip
        write_manifest(place, manifest, sidecar_rows(packed, [documents[index] for index in members]))


def cut_parts(order: Sequence[int], sizes: Sequence[int], most: int) -> Iterator[list[int]]:
    """The members of each part: as many in a row as have at most `most` together, but at least one."""
    members: list[int] = []
    left = most
    for index, size in zip(order, sizes, strict=True):
        if members and size > left:
            yield members
            members, left = [], most
        members.append(index)
        left -= size
    if members:
        yield members


def part_name(stream: str, number: int) -> str:
    return f"{stream.replace('/', '+')}.{number:05d}"


def empty_folder(place: Path) -> Path:
    """A folder without what a task left there that was killed."""
    shutil.rmtree(place, ignore_errors=True)
    return place
