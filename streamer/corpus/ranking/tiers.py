"""Documents ranked by an annotator's scores into tiers, each a stream: `scored@NAME/LANG/qNN`, the best first.

Always holds: what is there is not changed; a tier holds documents that one version scored; documents that came after the
last ranking are ranked among all, and those that have a tier keep it. No document has two tiers, whatever a ranking that was
killed has published.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import xxhash
from datatrove.data import Document as Passed
from datatrove.pipeline.base import PipelineStep

from streamer.catalog import parts
from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo
from streamer.catalog.names import check_stream_name, kind_of
from streamer.corpus.executors import Execution, run_stage
from streamer.corpus.parts.packing_steps import Encoder, IdsFile, Shape, write_samples
from streamer.corpus.parts.publication import publish, settled_parts, unsettled
from streamer.corpus.progress import Progress, Report, Tally, silent
from streamer.corpus.work_folder import WorkFolder, told
from streamer.documents.document import Document
from streamer.errors import CorpusError
from streamer.packing import tokenizer as tokenizers
from streamer.scoring.quality_bins import TIERS, bin_name, check_bounds, cut_bins
from streamer.scoring.score_sets import load_scores, scored_parts
from streamer.store.formats import check_format
from streamer.store.log import Bodies, Body

FORMAT, PLACE = "ranking/1", "ranking/work"
LONGEST_KEY = 32


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """A ranking of some documents. `kind`: the first word of the tiers' streams; `parts`: ids of the documents' parts, by
    stream; `build`: what the tiers' parts say they belong to.
    """

    annotator: str
    kind: str
    bounds: tuple[int, ...]
    parts: dict[str, tuple[str, ...]]
    build: str


class RankedTier(msgspec.Struct, frozen=True, kw_only=True):
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


def check_ranking(catalog: Catalog, annotator: str, *, name: str, bounds: Sequence[int]) -> None:
    """Raises: CorpusError, before any work is done, when there can be no such ranking; StreamError."""
    bounds = check_bounds(bounds)
    check_stream_name(f"{kind_for(name)}/{'x' * LONGEST_KEY}/q00")
    if kind_of(kind_for(name)) != kind_for(name):
        raise CorpusError(
            f"{name} cannot be the name of a ranking: it ends like a length of samples; give another with --as"
        )
    shape_of(catalog)
    there = rankings(catalog.log(f"rankings/{name}").read())
    if there and (there[0].annotator, there[0].bounds) != (annotator, bounds):
        raise CorpusError(
            f"{kind_for(name)}/* is ranked by {there[0].annotator} with the bounds {list(there[0].bounds)}, and this would "
            f"be by {annotator} with {list(bounds)}; what is there stays as it is, so give this one another name with --as"
        )


def rank(
    catalog: Catalog,
    annotator: str,
    glob: str,
    *,
    name: str,
    bounds: Sequence[int] = TIERS,
    how: Execution,
    work: Path | None = None,
    progress: Report = silent,
) -> list[RankedTier]:
    """Ranks the documents of streams that a version has scored into tiers.

    Args: annotator, NAME@VERSION; name, of the ranking: its streams are `scored@NAME/LANG/qNN`; bounds, the tiers' lower
        percentiles. Raises: CorpusError for documents without scores, or a ranking of that name by another version or with
        other tiers; StreamError, PartError, StoreError.
    """
    check_ranking(catalog, annotator, name=name, bounds=bounds)
    kind, log, without = kind_for(name), catalog.log(f"rankings/{name}"), unsettled(catalog)
    with WorkFolder(catalog, work, place=PLACE, does="ranks the documents of") as folder, told(folder.path):
        ranked = {part for one in rankings(log.read()) for parts in one.parts.values() for part in parts}
        new: dict[str, tuple[str, ...]] = {}
        for snapshot in catalog.match(glob):
            parts = [part.part_id for part in settled_parts(snapshot, without) if part.part_id not in ranked]
            if snapshot.kind == "documents" and parts:
                missing = set(parts) - scored_parts(catalog, annotator, snapshot.name)
                if missing:
                    raise CorpusError(
                        f"{len(missing)} parts of stream {snapshot.name} have no scores by {annotator}; score them first "
                        f"with phasemix annotator score {annotator} --streams '{glob}'"
                    )
                new[snapshot.name] = tuple(parts)
        if new:
            state = (annotator, kind, tuple(bounds), new, len(catalog.redaction_rules()))
            build = xxhash.xxh3_128_hexdigest(msgspec.json.encode(state, order="sorted"))[:16]
            one = Ranking(annotator=annotator, kind=kind, bounds=tuple(bounds), parts=new, build=build)
            folder.resume(build)
            write_tiers(catalog, one, folder.path, how, Progress(progress))
            body: Body = {"format": FORMAT, **msgspec.to_builtins(one)}
            log.append(lambda bodies: None if any(old.build == build for old in rankings(bodies)) else body)
        folder.remove()
    return [
        RankedTier(stream=snapshot.name, samples=snapshot.samples, tokens=snapshot.tokens)
        for snapshot in catalog.match(f"{kind}/*")
    ]


def shape_of(catalog: Catalog) -> tuple[str, int, str]:
    """Tokenizer, length and dtype of a root's samples. Raises: CorpusError when raw/* has none, or several."""
    shapes = {(found.tokenizer, found.seq_len, found.dtype) for found in catalog.streams("raw/*") if found.samples}
    tokenizer, seq_len, dtype = shapes.pop() if len(shapes) == 1 else (None, None, None)
    if tokenizer is None or seq_len is None or dtype is None:
        raise CorpusError(
            f"root {catalog.store.url} has no raw/* of one tokenizer and one length of samples, and tiers take theirs from "
            "there; ingest a corpus with phasemix corpus ingest"
        )
    return tokenizer, seq_len, dtype


def write_tiers(catalog: Catalog, one: Ranking, folder: Path, how: Execution, progress: Progress) -> None:
    """Packs and publishes the tiers of a ranking, those parts that are missing. Raises: CorpusError."""
    tokenizer, seq_len, dtype = shape_of(catalog)
    text = catalog.tokenizer_text(tokenizer)
    end = tokenizers.end_of_document_id(tokenizers.parse(text))
    tasks = len({key_of(stream) for stream in one.parts})
    reader = RankedDocuments(catalog, one, folder / "tallies")
    steps: list[Any] = [reader, Encoder(text), TiersWriter(reader, folder / "parts", Shape(seq_len, dtype, end))]
    with progress.watching("pack", folder / "tallies", 0):
        run_stage(steps, folder, "pack", how._replace(tasks=tasks))
    publish(
        catalog,
        folder / "parts",
        build=one.build,
        tokenizer=tokenizer,
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


def in_tiers(catalog: Catalog, one: Ranking, key: str) -> dict[str, float]:
    """The documents of a key that have a tier by parts of earlier rankings, with their scores."""
    found: dict[str, float] = {}
    for name in catalog.match_names(f"{one.kind}/{key}/*"):
        for part in catalog.stream(name).parts:
            if part.extra.get("build") != one.build:  # those of this one are packed again as they were
                rows = catalog.of_part(name, part, lambda part: parts.read_sidecar(catalog.store, part))
                found |= dict(zip(rows["document"].to_pylist(), rows["score"].to_pylist(), strict=True))
    return found


class RankedDocuments(PipelineStep):  # type: ignore[misc]
    """The documents of one key's new parts that have no tier, with their scores. Redacted ones are left out.

    `there`: those of the key that have one, once the task has begun to read.
    """

    type, name = "📖 - READER", "scored documents"

    def __init__(self, catalog: Catalog, one: Ranking, tallies: Path) -> None:
        super().__init__()
        self.catalog, self.one, self.tallies, self.there = catalog, one, tallies, dict[str, float]()

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        streams = streams_of(self.one, rank)
        self.there = in_tiers(self.catalog, self.one, key_of(streams[0]))
        with Tally(self.tallies, rank) as tally:
            for stream in streams:
                scores = load_scores(self.catalog, self.one.annotator, stream)
                for document in self.catalog.documents(stream, wanted=is_in(self.one.parts[stream])):
                    tally.add(1)
                    if document.document in scores and document.document not in self.there:
                        scored = msgspec.structs.replace(document, score=scores[document.document][0])
                        yield Passed(text=document.text, id=document.document, metadata={"document": scored})


class TiersWriter(PipelineStep):  # type: ignore[misc]
    """Writes the tiers' parts of one key, the best documents of each first."""

    type, name = "💽 - WRITER", "tiers"

    def __init__(self, reader: RankedDocuments, folder: Path, shape: Shape) -> None:
        super().__init__()
        self.reader, self.one, self.folder, self.shape = reader, reader.one, folder, shape

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        key = key_of(streams_of(self.one, rank)[0])
        documents: list[Document] = []
        with IdsFile(self.folder / f"{key}.ids") as ids:
            for doc in data:
                documents.append(msgspec.structs.replace(doc.metadata["document"], text=""))
                ids.append(doc.metadata["ids"])
            scores, names = [one.score or 0.0 for one in documents], [one.document for one in documents]
            old = [(score, document) for document, score in self.reader.there.items()]
            for bound, order in cut_bins(scores, names, self.one.bounds, old=old).items():
                write_samples(self.folder, f"{self.one.kind}/{key}/{bin_name(bound)}", documents, ids, order, self.shape)
        yield from ()
