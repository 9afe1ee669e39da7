"""From a root's address to its store."""

from pathlib import Path
from urllib.parse import urlsplit

from streamer.errors import StoreError
from streamer.store.directory_store import DirectoryStore
from streamer.store.environment import PREFIXES
from streamer.store.object_store import ObjectStore
from streamer.store.store import Store

SCHEMES = tuple(f"{scheme}://" for scheme in PREFIXES)


def open_store(root: "str | Path | Store") -> Store:
    """The store behind a root: a path, an object-store address, or a store. Raises: StoreError."""
    if not isinstance(root, str | Path):
        return root
    if root == "":
        raise StoreError("the root is empty; name a directory, which may be absent or empty, or an object-store address")
    if str(root).startswith(SCHEMES):
        refuse_secrets(str(root))
        return ObjectStore(str(root))
    if "://" in str(root):
        scheme = str(root).partition("://")[0]
        raise StoreError(f"the root has an unknown scheme, {scheme}://; use a path or one of {', '.join(SCHEMES)}")
    try:
        path = Path(root).expanduser()
        if path.exists() and not path.is_dir():
            raise StoreError(f"root {path} is a file; name a directory, which may be absent or empty")
        return DirectoryStore(path)
    except (OSError, RuntimeError) as error:  # a name too long, a parent that may not be read, a home that nobody has
        raise StoreError(f"root {root} cannot be used: {getattr(error, 'strerror', None) or error}; name another") from error


def refuse_secrets(url: str, noun: str = "root") -> None:
    """Raises: StoreError for an address with a user's name or a query, which would be printed and which obstore ignores."""
    found = urlsplit(url)
    user, _, _ = found.netloc.rpartition("@")  # of abfs it is the container
    if (user and found.scheme != "abfs") or ":" in user or found.query or found.fragment:
        raise StoreError(
            f"the {noun} has more than scheme://bucket/prefix ({found.scheme}://{found.netloc.rpartition('@')[2]}"
            f"{found.path} and a user, query or fragment); leave that out and put credentials into the environment"
        )
