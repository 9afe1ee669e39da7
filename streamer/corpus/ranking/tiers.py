"""Documents ranked by an annotator's scores into tiers, each a stream: `scored@NAME/LANG/qNN`, the best first.

Always holds: what is there is not changed; a tier holds documents that one version scored; documents that came after the
last ranking are ranked among all, and those that have a tier keep it. A ranking that was killed is completed by the same
command.
"""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec
import xxhash
from datatrove.data import Document as Passed
from datatrove.pipeline.base import PipelineStep

from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo
from streamer.corpus.executors import Execution, run_stage
from streamer.corpus.parts.packing_steps import Encoder, IdsFile, Shape, write_samples
from streamer.corpus.parts.publication import publish
from streamer.corpus.progress import Progress, Report, Tally, silent
from streamer.corpus.work_folder import WorkFolder, told
from streamer.documents.document import Document
from streamer.errors import CorpusError
from streamer.packing import tokenizer as tokenizers
from streamer.scoring.quality_bins import TIERS, bin_name, check_bounds, cut_bins
from streamer.scoring.score_sets import load_scores, scored_parts
from streamer.store.formats import check_format
from streamer.store.log import Bodies, Body

FORMAT, PLACE = "ranking/1", "rankings/work"


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """A ranking of some documents. `kind`: the first word of the tiers' streams; `parts`: ids of the documents' parts, by
    stream; `build`: what the tiers' parts say they belong to.
    """

    annotator: str
    kind: str
    bounds: tuple[int, ...]
    parts: dict[str, tuple[str, ...]]
    build: str


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """A stream of a ranking, with what it holds now."""

    stream: str
    samples: int
    tokens: int


def kind_for(name: str) -> str:
    return f"scored@{name}"


def rankings(bodies: Bodies) -> list[Ranking]:
    found = []
    for number, body in enumerate(bodies):
        with bodies.understood(number):
            check_format(CorpusError, f"ranking {number}", body["format"], FORMAT)
            found.append(msgspec.convert({name: body[name] for name in Ranking.__struct_fields__}, Ranking))
    return found


def rank(
    catalog: Catalog,
    annotator: str,
    glob: str,
    *,
    name: str,
    bounds: tuple[int, ...] = TIERS,
    how: Execution,
    work: Path | None = None,
    progress: Report = silent,
) -> list[Tier]:
    """Ranks the documents of streams that a version has scored into tiers.

    Args: annotator, NAME@VERSION; name, of the ranking: its streams are `scored@NAME/LANG/qNN`; bounds, the tiers' lower
        percentiles. Raises: CorpusError for documents without scores, or a ranking of that name by another version or with
        other tiers; StreamError, PartError, StoreError.
    """
    bounds, kind, log = check_bounds(bounds), kind_for(name), catalog.log(f"rankings/{name}")
    there = rankings(log.read())
    if there and (there[0].annotator, there[0].bounds) != (annotator, bounds):
        raise CorpusError(
            f"{kind}/* is ranked by {there[0].annotator} in {len(there[0].bounds)} tiers, and this would be by {annotator} "
            f"in {len(bounds)}; what is there stays as it is, so give this one another name with --as"
        )
    ranked = {part for one in there for parts in one.parts.values() for part in parts}
    new: dict[str, tuple[str, ...]] = {}
    for snapshot in catalog.match(glob):
        parts = [part.part_id for part in snapshot.parts if part.part_id not in ranked]
        if snapshot.kind == "documents" and parts:
            without = set(parts) - scored_parts(catalog, annotator, snapshot.name)
            if without:
                raise CorpusError(
                    f"{len(without)} parts of stream {snapshot.name} have no scores by {annotator}; score them first with "
                    f"phasemix annotator score {annotator} --streams '{glob}'"
                )
            new[snapshot.name] = tuple(parts)
    if new:
        build = xxhash.xxh3_128_hexdigest(msgspec.json.encode((annotator, kind, bounds, new), order="sorted"))[:16]
        one = Ranking(annotator=annotator, kind=kind, bounds=bounds, parts=new, build=build)
        with WorkFolder(catalog, work, place=PLACE, does="ranks the documents of") as folder, told(folder.path):
            folder.resume(build)
            write_tiers(catalog, one, there, folder.path, how, Progress(progress))
            body: Body = {"format": FORMAT, **msgspec.to_builtins(one)}
            log.append(lambda bodies: None if any(old.build == build for old in rankings(bodies)) else body)
            folder.remove()
    return [
        Tier(stream=snapshot.name, samples=snapshot.samples, tokens=snapshot.tokens)
        for snapshot in catalog.match(f"{kind}/*")
    ]


def write_tiers(
    catalog: Catalog, one: Ranking, before: list[Ranking], folder: Path, how: Execution, progress: Progress
) -> None:
    """Packs and publishes the tiers of a ranking, those parts that are missing. Raises: CorpusError."""
    shapes = {(found.tokenizer, found.seq_len, found.dtype) for found in catalog.streams("raw/*") if found.samples}
    if len(shapes) != 1:
        raise CorpusError(
            f"root {catalog.store.url} has {len(shapes)} shapes of samples in raw/*, and tiers take theirs from there; "
            "ingest a corpus with phasemix corpus ingest"
        )
    tokenizer, seq_len, dtype = shapes.pop()
    text = catalog.tokenizer_text(tokenizer)
    end = tokenizers.end_of_document_id(tokenizers.parse(text))
    assert seq_len is not None
    assert dtype is not None
    tasks = len({key_of(stream) for stream in one.parts})
    steps: list[Any] = [
        RankedDocuments(catalog, one, folder / "tallies"),
        Encoder(text),
        TiersWriter(catalog, one, before, folder / "parts", Shape(seq_len, dtype, end)),
    ]
    with progress.watching("pack", folder / "tallies", 0):
        run_stage(steps, folder, "pack", how._replace(tasks=tasks))
    publish(
        catalog,
        folder / "parts",
        build=one.build,
        tokenizer=str(tokenizer),
        extra={"annotator": one.annotator},
        progress=progress,
    )


def is_in(parts: Collection[str]) -> Callable[[PartInfo], bool]:
    return lambda part: part.part_id in parts


def key_of(stream: str) -> str:
    return stream.split("/")[1]


def streams_of(one: Ranking, rank: int) -> list[str]:
    """The streams of the n-th key."""
    key = sorted({key_of(stream) for stream in one.parts})[rank]
    return [stream for stream in one.parts if key_of(stream) == key]


class RankedDocuments(PipelineStep):  # type: ignore[misc]
    """The documents of one key's new parts, with their scores. Redacted ones are left out."""

    type, name = "📖 - READER", "scored documents"

    def __init__(self, catalog: Catalog, one: Ranking, tallies: Path) -> None:
        super().__init__()
        self.catalog, self.one, self.tallies = catalog, one, tallies

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        with Tally(self.tallies, rank) as tally:
            for stream in streams_of(self.one, rank):
                scores = load_scores(self.catalog, self.one.annotator, stream)
                for document in self.catalog.documents(stream, wanted=is_in(self.one.parts[stream])):
                    scored = msgspec.structs.replace(document, score=scores[document.document][0])
                    yield Passed(text=document.text, id=document.document, metadata={"document": scored})
                    tally.add(1)


class TiersWriter(PipelineStep):  # type: ignore[misc]
    """Writes the tiers' parts of one key, the best documents of each first."""

    type, name = "💽 - WRITER", "tiers"

    def __init__(self, catalog: Catalog, one: Ranking, before: list[Ranking], folder: Path, shape: Shape) -> None:
        super().__init__()
        self.catalog, self.one, self.before, self.folder, self.shape = catalog, one, before, folder, shape

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        key = key_of(streams_of(self.one, rank)[0])
        documents: list[Document] = []
        with IdsFile(self.folder / f"{key}.ids") as ids:
            for doc in data:
                documents.append(msgspec.structs.replace(doc.metadata["document"], text=""))
                ids.append(doc.metadata["ids"])
            scores, names = [one.score or 0.0 for one in documents], [one.document for one in documents]
            tiers = cut_bins(scores, names, self.one.bounds, old=self.old(key, set(names)))
            for bound, order in tiers.items():
                write_samples(self.folder, f"{self.one.kind}/{key}/{bin_name(bound)}", documents, ids, order, self.shape)
        yield from ()

    def old(self, key: str, new: set[str]) -> list[tuple[float, str]]:
        """Scores and ids of the key's documents that have a tier."""
        streams = sorted({stream for one in self.before for stream in one.parts if key_of(stream) == key})
        found = (load_scores(self.catalog, self.one.annotator, stream) for stream in streams)
        return [(score, document) for scores in found for document, (score, _) in scores.items() if document not in new]
