"""How the documents of a key score in a set of streams: a histogram over its tiers, and documents by their scores.

Always holds: of a key only sidecars are read, at most `MOST_PARTS` of them and about `MOST_BYTES`, evenly from all tiers; an
answer says how many of the parts it is of. When a stream grows, only parts that were not read yet are read.

How: where not all parts of a tier were read, each document that was read stands for as many as the tier has rows for one
that was read. Documents are listed from what was read alone.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo, Snapshot
from streamer.catalog.sidecar import read_rows
from streamer.errors import PartError, StreamError
from streamer.reading.looking.passages import Passage, about
from streamer.store.store import Store

MOST_PARTS, MOST_BYTES = 64, 256 << 20
BINS = 24
KEPT = 4  # keys whose scores stay in memory
COLUMNS = ["sample", "start", "document", "score"]


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """How many documents score at least `low` and less than `high`; in the last bin `high` is the highest score itself."""

    low: float
    high: float
    documents: int


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """A stream: how many of its parts were read, about how many documents it has, and between which scores they lie."""

    stream: str
    parts: int
    parts_read: int
    documents: int
    low: float | None
    high: float | None


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """The documents with a score of a set's key. Where `parts_read` is less than `parts`, numbers are estimates."""

    documents: int
    parts: int
    parts_read: int
    bins: list[Bin]
    tiers: list[Tier]


class ScoredDocument(Passage, frozen=True, kw_only=True):
    """A document with its score and its stream, without its text; `row` is the first that has some of it."""

    stream: str


class Read(NamedTuple):
    """What was read of a part: of each document its score and where it begins. All (documents,)."""

    scores: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]


NOTHING = Read(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))


class Sample(NamedTuple):
    """What was read of a key. `parts`: with their streams; `owners`, `weights`: of each document the place of its part, and
    how many it stands for.
    """

    snapshots: list[Snapshot]
    parts: list[tuple[str, PartInfo]]
    read: Read
    owners: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]

    def by_part(self) -> dict[tuple[str, str], Read]:
        """What was read of each part, by its id and where it lay."""
        ends = np.searchsorted(self.owners, np.arange(1, len(self.parts)))
        columns = zip(*(np.split(column, ends) for column in self.read), strict=True)
        return {(part.part_id, part.folder): Read(*read) for (_, part), read in zip(self.parts, columns, strict=False)}


class Kept(NamedTuple):
    """What is kept of a key, and as of when."""

    version: str
    sample: Sample
    histogram: Histogram


class Scores:
    """Scores of the documents of a catalog's streams. One thread at a time."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._kept: dict[tuple[str, str], Kept] = {}

    def version(self, set: str, key: str) -> str:
        """Changes with every entry of the streams. Raises: StreamError where there is none."""
        names = self._names(set, key)
        return " ".join(f"{name} {len(self._catalog.stream_log(name).read())}" for name in names)

    def histogram(self, set: str, key: str) -> Histogram:
        """Raises: StreamError where the set has no stream of the key, PartError."""
        return self._kept_of(set, key).histogram

    def documents(
        self, set: str, key: str, *, low: float = -math.inf, high: float = math.inf, worst: bool, first: int, count: int
    ) -> list[ScoredDocument]:
        """Documents that were read and score at least `low` and less than `high`, the best first or the worst: those from
        `first` on, at most `count`. Raises: StreamError where the set has no stream of the key, PartError.
        """
        sample = self._kept_of(set, key).sample
        inside = np.flatnonzero((sample.read.scores >= low) & (sample.read.scores < high))
        order = inside[np.argsort(sample.read.scores[inside] * (1 if worst else -1), kind="stable")]
        chosen = order[first : first + count]
        found: dict[int, ScoredDocument] = {}
        for owner in np.unique(sample.owners[chosen]).tolist():
            mine = chosen[sample.owners[chosen] == owner].tolist()
            places = {(int(sample.read.rows[one]), int(sample.read.starts[one])): one for one in mine}
            stream, part = sample.parts[owner]
            condition = ("sample", "in", sorted({row for row, _ in places}))
            read = partial(read_rows, self._catalog.store, columns=None, condition=condition)
            table = self._catalog.of_part(stream, part, read)
            for row in table.to_pylist() if table is not None else ():
                if (one := places.get((row["sample"], row["start"]))) is not None:
                    found[one] = ScoredDocument(stream=stream, part=part.number, row=row["sample"], **about(row))
        return [found[one] for one in chosen.tolist() if one in found]

    def _names(self, set: str, key: str) -> list[str]:
        whole = f"{set}/{key}"
        names = [name for name in self._catalog.names("streams") if name == whole or name.startswith(f"{whole}/")]
        if not names:
            raise StreamError(f"there is no stream {whole} under {self._catalog.store.url}; see phasemix streams list")
        return sorted(names)

    def _kept_of(self, set: str, key: str) -> Kept:
        version = self.version(set, key)
        kept = self._kept.pop((set, key), None)
        if kept is None or kept.version != version:
            known = {} if kept is None else kept.sample.by_part()
            sample = self._read(self._catalog.snapshots(self._names(set, key)), known)
            kept = Kept(version, sample, histogram_of(sample))
        self._kept[set, key] = kept
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return kept

    def _read(self, snapshots: Sequence[Snapshot], known: dict[tuple[str, str], Read]) -> Sample:
        tokens = [snapshot for snapshot in snapshots if snapshot.kind == "tokens"]
        chosen = choose_parts(tokens)
        read = partial(read_scores, self._catalog.store)
        found = [
            known.get((part.part_id, part.folder)) or self._catalog.of_part(stream, part, read) for stream, part in chosen
        ]
        rows = dict.fromkeys((snapshot.name for snapshot in tokens), 0)
        for stream, part in chosen:
            rows[stream] += part.samples
        samples = {snapshot.name: snapshot.samples for snapshot in tokens}
        counts = np.array([len(one.scores) for one in found], np.int64)
        weights = np.array([samples[stream] / max(1, rows[stream]) for stream, _ in chosen], np.float64)
        whole = Read(*(np.concatenate(column) for column in zip(NOTHING, *found, strict=True)))
        return Sample(tokens, chosen, whole, np.repeat(np.arange(len(chosen)), counts), np.repeat(weights, counts))


def histogram_of(sample: Sample) -> Histogram:
    scores = sample.read.scores
    counts, edges = np.histogram(scores, BINS, weights=sample.weights) if len(scores) else (np.zeros(0), np.zeros(0))
    tiers = [tier_of(sample, snapshot) for snapshot in sample.snapshots]
    return Histogram(
        documents=round(sample.weights.sum()),
        parts=sum(tier.parts for tier in tiers),
        parts_read=len(sample.parts),
        bins=[
            Bin(low=low, high=high, documents=round(count))
            for low, high, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
        ],
        tiers=tiers,
    )


def tier_of(sample: Sample, snapshot: Snapshot) -> Tier:
    owners = [owner for owner, (stream, _) in enumerate(sample.parts) if stream == snapshot.name]
    mine = np.isin(sample.owners, owners)
    scores = sample.read.scores[mine]
    return Tier(
        stream=snapshot.name,
        parts=len(snapshot.parts),
        parts_read=len(owners),
        documents=round(float(sample.weights[mine].sum())),
        low=float(scores.min()) if len(scores) else None,
        high=float(scores.max()) if len(scores) else None,
    )


def choose_parts(snapshots: Sequence[Snapshot]) -> list[tuple[str, PartInfo]]:
    """Parts of streams, spread over the length of each: all of them, or as many of each as the bounds leave."""
    sizes = [len(snapshot.parts) for snapshot in snapshots]
    most = 1
    while most < max(sizes, default=0) and sum(min(size, most + 1) for size in sizes) <= MOST_PARTS:
        most += 1
    of_each = [
        np.unique(np.linspace(0, size - 1, min(size, most), dtype=np.int64)).tolist() if size else [] for size in sizes
    ]
    found, read_bytes = list[tuple[str, PartInfo]](), 0
    files = set[str]()
    for turn in range(most):
        for snapshot, places in zip(snapshots, of_each, strict=True):
            if turn >= len(places) or len(found) >= MOST_PARTS:
                continue
            part = snapshot.parts[places[turn]]
            file = part.file(part.sidecar or "")
            size = 0 if file is None or part.folder in files else file.size_bytes
            if found and read_bytes + size > MOST_BYTES:
                continue
            read_bytes += size
            files.add(part.folder)
            found.append((snapshot.name, part))
    return found


def read_scores(store: Store, part: PartInfo) -> Read:
    """The documents of a part that have a score. Raises: PartError."""
    try:
        table = read_rows(store, part, COLUMNS)
    except PartError:  # a sidecar need not have scores; one that is damaged raises again
        table = read_rows(store, part, None)
    if table is None or "score" not in table.column_names:
        return NOTHING
    table = table.filter(pc.and_kleene(pc.is_valid(table["document"]), pc.is_finite(table["score"].cast("float64"))))
    codes = table["document"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    _, first = np.unique(codes, return_index=True)  # a document that goes on in the next row has a span in each
    scores, rows, starts = (table[name].to_numpy() for name in ("score", "sample", "start"))
    return Read(scores[first].astype(np.float64), rows[first].astype(np.int64), starts[first].astype(np.int64))
