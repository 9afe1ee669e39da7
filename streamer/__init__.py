"""What data is and how it rests: store, documents, corpus work, scores, samples, parts, streams, reading.

Always holds: importing this package loads none of its rooms. Asking for a public name, as in `streamer.Catalog`, loads the
room of that name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamer.public_names import found_in

if TYPE_CHECKING:
    from streamer.catalog.catalog import Catalog as Catalog
    from streamer.catalog.manifest import Snapshot as Snapshot
    from streamer.catalog.manifest import StreamInfo as StreamInfo
    from streamer.documents.document import Document as Document
    from streamer.errors import PhasemixError as PhasemixError
    from streamer.reading.snapshot_loader import Batch as Batch
    from streamer.reading.snapshot_loader import SnapshotLoader as SnapshotLoader

__all__ = ["Batch", "Catalog", "Document", "PhasemixError", "Snapshot", "SnapshotLoader", "StreamInfo"]

__getattr__, __dir__ = found_in(
    "streamer",
    {
        "Batch": "reading.snapshot_loader",
        "Catalog": "catalog.catalog",
        "Document": "documents.document",
        "PhasemixError": "errors",
        "Snapshot": "catalog.manifest",
        "SnapshotLoader": "reading.snapshot_loader",
        "StreamInfo": "catalog.manifest",
    },
)
