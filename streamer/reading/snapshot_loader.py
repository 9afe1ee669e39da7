"""A finite, ordered pass over streams, for evaluation.

Always holds: the ranks together yield every sample of the snapshot exactly once, in the streams' order.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import Snapshot
from streamer.catalog.redaction import Redacted
from streamer.errors import PartError, StreamError
from streamer.reading.reader import Reader
from streamer.store.store import Store

ORIGIN = np.dtype([("stream", np.int32), ("part", np.int32), ("row", np.int64)])


class Batch(NamedTuple):
    """`tokens` (rows, seq_len), writable; `origin` (rows,) structured: stream index, part's entry number, row in it.

    `boundaries` (rows, width), where asked for: cumulative lengths of a row's documents, from 0 to `seq_len`, which also
    fills what is left of the width; padding counts as a document. `redacted` (rows, seq_len), where something is: tokens of
    documents that were taken out, given as the id of the end of a document, and not to be learned from.
    """

    tokens: npt.NDArray[Any]
    origin: npt.NDArray[Any]
    boundaries: npt.NDArray[np.int32] | None = None
    redacted: npt.NDArray[np.bool_] | None = None


def without_redacted(batch: Batch, redacted: Mapping[int, Redacted]) -> Batch:
    """A batch without what is redacted in its streams, by their indices; its tokens are changed in place."""
    mask = np.zeros(batch.tokens.shape, np.bool_) if redacted else None
    for stream, found in redacted.items():
        here = np.flatnonzero(batch.origin["stream"] == stream)
        tokens = batch.tokens[here]
        own = found.blank(tokens, batch.origin["part"][here], batch.origin["row"][here])
        if own is not None and mask is not None:
            batch.tokens[here], mask[here] = tokens, own
    return batch if mask is None or not mask.any() else batch._replace(redacted=mask)


class SnapshotLoader:
    """Iterates once, in order, over the samples that a glob matches now; rank r of R takes batches r, r+R, ...

    `stride`: of so many samples the first is taken alone, so that shards between are not opened.

    Raises: StreamError for a glob without samples, streams of different shapes, or a rank that cannot be.
    """

    def __init__(
        self,
        root: str | Path | Store,
        glob: str,
        rank: int = 0,
        world_size: int = 1,
        *,
        batch_rows: int = 16,
        stride: int = 1,
    ) -> None:
        if world_size < 1 or not 0 <= rank < world_size or batch_rows < 1 or stride < 1:
            raise StreamError(
                f"rank {rank} of world size {world_size} with batches of {batch_rows} rows and a stride of {stride} cannot "
                "be; use a rank from 0, below the world size, at least 1 row and at least a stride of 1"
            )
        catalog = Catalog(root)
        self.snapshots = [found for found in catalog.match(glob) if found.kind == "tokens" and found.samples]
        if not self.snapshots:
            raise StreamError(f"no stream with samples matches {glob} under {catalog.store.url}; see phasemix streams list")
        first = self.snapshots[0].schema
        for snapshot in self.snapshots:
            if snapshot.schema != first:
                raise StreamError(
                    f"streams {self.snapshots[0].name} and {snapshot.name} differ in seq_len, dtype or tokenizer"
                )
        self.streams = [snapshot.name for snapshot in self.snapshots]
        self.schema, self.rank, self.world_size, self.batch_rows, self.stride = first, rank, world_size, batch_rows, stride
        self._catalog, self._reader = catalog, Reader(catalog.store)
        self._redacted = self._find_redacted()

    @property
    def samples(self) -> int:
        """Those that all ranks take together."""
        return -(-sum(snapshot.samples for snapshot in self.snapshots) // self.stride)

    def __len__(self) -> int:
        """Batches of this rank."""
        return len(range(self.rank, -(-self.samples // self.batch_rows), self.world_size))

    def __iter__(self) -> Iterator[Batch]:
        tokens: list[npt.NDArray[Any]] = []
        origins: list[tuple[int, int, int]] = []
        number = 0
        for view, row, origin in self._samples():
            tokens.append(view[row])
            origins.append(origin)
            if len(tokens) == self.batch_rows:
                if number % self.world_size == self.rank:
                    yield self._batch(tokens, origins)
                tokens, origins, number = [], [], number + 1
        if tokens and number % self.world_size == self.rank:
            yield self._batch(tokens, origins)

    def _batch(self, rows: list[npt.NDArray[Any]], origins: list[tuple[int, int, int]]) -> Batch:
        return without_redacted(Batch(np.stack(rows), np.array(origins, ORIGIN)), self._redacted)

    def _find_redacted(self) -> dict[int, Redacted]:
        """What the snapshots redact, and what known compactions took out of the files, by the streams' indices."""
        redacted = (self._catalog.redacted(snapshot.name, snapshot.number) for snapshot in self.snapshots)
        return {stream: found for stream, found in enumerate(redacted) if found}

    def _rows(self, snapshot: Snapshot, place: int, number: int) -> npt.NDArray[Any]:
        """The rows of a shard, wherever its part lies now."""
        part = snapshot.parts[place]
        try:
            return self._reader.rows(part, part.shards[number], self.schema)
        except PartError:
            if not self._catalog.has_moved(self.streams):
                raise
        self._redacted = self._find_redacted()
        return self._rows(snapshot, place, number)

    def _samples(self) -> Iterator[tuple[npt.NDArray[Any], int, tuple[int, int, int]]]:
        before = 0
        for stream, snapshot in enumerate(self.snapshots):
            for place, part in enumerate(snapshot.parts):
                start = 0
                for number, shard in enumerate(part.shards):
                    if rows := range(-before % self.stride, shard.samples, self.stride):
                        view = self._rows(snapshot, place, number)
                    for row in rows:
                        yield view, row, (stream, part.number, start + row)
                    start, before = start + shard.samples, before + shard.samples
