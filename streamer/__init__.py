"""What data is and how it rests: store, documents, corpus work, scores, samples, parts, streams, reading."""

from streamer.catalog import Catalog
from streamer.document import Document
from streamer.errors import PhasemixError
from streamer.manifest import Snapshot, StreamInfo
from streamer.snapshot_loader import Batch, SnapshotLoader

__all__ = ["Batch", "Catalog", "Document", "PhasemixError", "Snapshot", "SnapshotLoader", "StreamInfo"]
