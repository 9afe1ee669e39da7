"""Standing orders: how many synthetic files somebody wants, apart from what runs demand.

Always holds: an order is an entry of the log `orders/generators`; how much of it is filled is what stream entries say.
"""

import msgspec

from generators.errors import OrderError
from streamer.catalog.catalog import Catalog
from streamer.store.formats import check_format

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
            check_format(OrderError, f"order {number}", body["format"], FORMAT)
            order = {"number": number, "glob": body["from"], "language": body["language"], "files": body["files"]}
            found.append(msgspec.convert(order, Order))
    return found
