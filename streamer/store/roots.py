"""From the address of a root to its store."""

from pathlib import Path

from streamer.errors import StoreError
from streamer.store.object_store import ObjectStore
from streamer.store.store import DirectoryStore, Store

SCHEMES = ("s3://", "gs://", "az://", "azure://", "abfs://")


def open_store(root: "str | Path | Store") -> Store:
    """The store behind a root: a path, an object-store address, or a store. Raises: StoreError."""
    if not isinstance(root, str | Path):
        return root
    if root == "":
        raise StoreError("the root is empty; name a directory, which may be absent or empty, or an object-store address")
    if str(root).startswith(SCHEMES):
        return ObjectStore(str(root))
    if "://" in str(root):
        raise StoreError(f"root {root} has an unknown scheme; use a path or one of {', '.join(SCHEMES)}")
    path = Path(root).expanduser()
    if path.exists() and not path.is_dir():
        raise StoreError(f"root {path} is a file; name a directory, which may be absent or empty")
    return DirectoryStore(path)
