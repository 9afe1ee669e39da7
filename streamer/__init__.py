"""What data is and how it rests: store, documents, corpus work, scores, samples, parts, streams, reading."""

from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import Snapshot, StreamInfo
from streamer.documents.document import Document
from streamer.errors import PhasemixError
from streamer.reading.snapshot_loader import Batch, SnapshotLoader

__all__ = ["Batch", "Catalog", "Document", "PhasemixError", "Snapshot", "SnapshotLoader", "StreamInfo"]
