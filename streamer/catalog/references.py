"""Where the files of a part lie: under the root, or in the folder of somebody else's that the part was registered by.

Always holds: nothing is written to a referenced folder and nothing there is deleted; what is read from it is held to the
sizes and checksums that the part's entry names, as is what lies under the root. The folder is its owner's: if it changes or
goes, readers of the part say so, and `streams verify` names each file.
"""

import functools
from pathlib import Path

from streamer.catalog.manifest import PartInfo
from streamer.errors import PartError
from streamer.store.roots import SCHEMES, open_store
from streamer.store.store import Store


def place_of(store: Store, part: PartInfo) -> tuple[Store, str]:
    """The store in which a part's files lie, and what their keys begin with."""
    if part.reference is None:
        return store, f"{part.folder}/"
    return open_reference(part.reference), ""


@functools.lru_cache(maxsize=256)
def open_reference(address: str) -> Store:
    return open_store(address)


def check_reference(store: Store, place: str | Path) -> str:
    """The address by which a folder is registered: absolute, outside the root. Raises: PartError, StoreError."""
    root = store.local_path(".")
    if str(place).startswith(SCHEMES):
        address = str(place).rstrip("/")
        is_inside = address == store.url or address.startswith(f"{store.url}/")
    else:
        path = Path(place).expanduser().resolve()
        address = str(path)
        is_inside = root is not None and path.is_relative_to(root.resolve())
    if is_inside:
        raise PartError(
            f"{address} lies under the root {store.url}, whose garbage is removed; reference a folder outside it, or "
            "publish without --reference"
        )
    return address
