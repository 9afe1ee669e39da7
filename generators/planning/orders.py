"""Standing orders: how many synthetic files somebody wants, apart from what runs demand.

Always holds: an order is an entry of the log `orders/generators`; how much of it is filled is what stream entries say.
"""

import msgspec

from generators.errors import OrderError
from generators.planning.seed_documents import seed_streams
from streamer.catalog.catalog import Catalog

LOG = "orders/generators"
FORMAT = "orders/1"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """`files` accepted files from documents of streams that `glob` names. `number`: the entry's."""

    number: int
    glob: str
    language: str | None
    files: int

    @property
    def purpose(self) -> str:
        """What jobs for this order say they are for."""
        return f"order/{self.number}"


def load_orders(catalog: Catalog) -> list[Order]:
    """All orders, filled ones too. Raises: OrderError for a format that is not known."""
    found, bodies = [], catalog.log(LOG).read()
    for number, body in enumerate(bodies):
        with bodies.understood(number):
            if body["format"] != FORMAT:
                raise OrderError(f"order {number} has format {body['format']}; this version reads {FORMAT}: update phasemix")
            order = {"number": number, "glob": body["from"], "language": body["language"], "files": body["files"]}
            found.append(msgspec.convert(order, Order))
    return found


def place_order(catalog: Catalog, glob: str, *, files: int, language: str | None = None) -> Order:
    """Notes an order. Raises: OrderError when it wants nothing or no stream gives seed documents for it."""
    if files < 1:
        raise OrderError(f"--files {files} is below 1; name how many accepted files are wanted")
    seed_streams(catalog, glob, language)
    body = {"format": FORMAT, "from": glob, "language": language, "files": files}
    appended = catalog.log(LOG).append(lambda _: body)
    assert appended is not None
    return Order(number=appended[0], glob=glob, language=language, files=files)
