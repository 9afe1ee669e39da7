"""Placing standing orders. Always holds: an order names streams that give seed documents, and at least one file."""

from generators.errors import OrderError
from generators.planning.seed_documents import seed_streams
from generators.publishing.orders import FORMAT, LOG, Order, load_orders
from streamer.catalog.catalog import Catalog

__all__ = ["Order", "load_orders", "place_order"]


def place_order(catalog: Catalog, glob: str, *, files: int, language: str | None = None) -> Order:
    """Notes an order. Raises: OrderError when it wants nothing or no stream gives seed documents for it."""
    if files < 1:
        raise OrderError(f"--files {files} is below 1; name how many accepted files are wanted")
    seed_streams(catalog, glob, language)
    body = {"format": FORMAT, "from": glob, "language": language, "files": files}
    appended = catalog.log(LOG).append(lambda _: body)
    assert appended is not None
    return Order(number=appended[0], glob=glob, language=language, files=files)
