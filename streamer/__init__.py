"""What data is and how it rests: store, documents, corpus work, scores, samples, parts, streams, reading.

Always holds: importing this package loads none of its rooms. Asking for a public name, as in `streamer.Catalog`, loads the
room of that name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamer.catalog.catalog import Catalog as Catalog
    from streamer.catalog.manifest import Snapshot as Snapshot
    from streamer.catalog.manifest import StreamInfo as StreamInfo
    from streamer.documents.document import Document as Document
    from streamer.errors import PhasemixError as PhasemixError
    from streamer.reading.snapshot_loader import Batch as Batch
    from streamer.reading.snapshot_loader import SnapshotLoader as SnapshotLoader

__all__ = ["Batch", "Catalog", "Document", "PhasemixError", "Snapshot", "SnapshotLoader", "StreamInfo"]

ROOMS = {
    "Batch": "reading.snapshot_loader",
    "Catalog": "catalog.catalog",
    "Document": "documents.document",
    "PhasemixError": "errors",
    "Snapshot": "catalog.manifest",
    "SnapshotLoader": "reading.snapshot_loader",
    "StreamInfo": "catalog.manifest",
}


def __getattr__(name: str) -> Any:
    if name not in ROOMS:
        raise AttributeError(f"module 'streamer' has no attribute {name!r}")
    return getattr(importlib.import_module(f"streamer.{ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
