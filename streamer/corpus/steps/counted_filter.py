"""A step that drops documents, each under one reason: counted in datatrove's statistics, and recorded to be looked at."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datatrove.data import Document as Passed
from datatrove.pipeline.base import PipelineStep

from streamer.corpus.rejected import Rejected, excerpt
from streamer.corpus.spool import SpoolWriter
from streamer.gates.subject import Refusal


class CountedFilter(PipelineStep):  # type: ignore[misc]
    """Asks `judge` of each document. What it refuses is counted as `dropped_REASON` and written below `folder`."""

    type, name = "🔻 - FILTER", "filter"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def judge(self, doc: Passed) -> Refusal | None:
        """Why a document is dropped, or None."""
        raise NotImplementedError

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Passed]:
        with SpoolWriter(self.folder / f"{self.name}-{rank:05d}.rejected") as writer:
            for doc in data:
                refusal = self.judge(doc)
                if refusal is None:
                    yield doc
                    continue
                self.stat_update(f"dropped_{refusal.reason}")
                writer.write(rejected(doc, refusal))


def rejected(doc: Passed, refusal: Refusal) -> Rejected:
    """The record of a document that a step refused."""
    kept = doc.metadata.get("kept")
    origin = doc.metadata["file"] if kept is None else kept.document
    return Rejected(
        order=doc.metadata["order"] if kept is None else kept.order,
        reason=refusal.reason.value,
        repository=origin.repository,
        path=origin.path,
        language=origin.language or "",
        values=refusal.values,
        text=excerpt(doc.text),
    )
