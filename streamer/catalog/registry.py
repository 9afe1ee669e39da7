"""The list of names that a root has of each kind: streams, mixtures, runs.

Always holds: a name is noted once and never removed, so nothing ever needs listing. This file loads neither numpy nor
pyarrow, so that a shell's completion and `phasemix` alone answer at once.
"""

import sys

from streamer.errors import StoreError, StreamError
from streamer.store.formats import check_format
from streamer.store.log import Bodies, Log
from streamer.store.roots import open_store
from streamer.store.store import Store

NAMES_FORMAT = "names/1"
KINDS = ("streams", "mixtures", "runs")


def require_root(root: str) -> None:
    """Refuses a folder that nothing was ever written to, as a mistyped one; of a bucket that answers it is said.

    Raises: StoreError, StreamError.
    """
    if has_root(root):
        return
    store = open_store(root)
    said = (
        f"there is no root at {store.url}: nothing was written there yet. Check --root or PHASEMIX_ROOT, or fill this one "
        "with phasemix quickstart FOLDER"
    )
    if store.local_path(".") is not None:
        raise StoreError(said)
    print(f"phasemix: {said}", file=sys.stderr)


def has_root(root: str) -> bool:
    """Whether something was ever written there. Raises: StoreError, StreamError."""
    store = open_store(root)
    store.opened.check()  # a root of an older version has no identity
    return store.opened.id is not None or any(read_names(store, kind) for kind in KINDS)


def read_names(store: Store, kind: str) -> list[str]:
    """Names of `kind` (streams, mixtures, runs) in a store, in the order of their registration. Raises: StreamError."""
    return names_in(Log(store, log_of(kind)).read())


def log_of(kind: str) -> str:
    """The log that keeps the names of a kind."""
    return f"names/{kind}"


def names_in(bodies: Bodies) -> list[str]:
    """The names that entries note. Raises: StreamError for another format."""
    found = []
    for number, body in enumerate(bodies):
        with bodies.understood(number):
            check_format(StreamError, "the list of names", body["format"], NAMES_FORMAT)
            found.append(str(body["name"]))
    return found
