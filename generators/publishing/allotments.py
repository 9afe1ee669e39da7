"""How many files of an order each stream may have, where files of several languages fill it.

Always holds: what is allotted to the streams of an order is together at most what it asks for, since each allotment is an
entry of one log; a stream gets no file of the order beyond its own. So publishers of two languages that know nothing of
each other never give it too many. What is allotted to a stream and was lost on its way is planned for it again, once all is
allotted.
"""

from collections import Counter

from generators.errors import OrderError
from generators.publishing.orders import Order
from streamer.catalog.catalog import Catalog
from streamer.store.formats import check_format
from streamer.store.log import Bodies, Body

LOG = "orders/allotments"
FORMAT = "allotment/1"


class Allotments:
    def __init__(self, catalog: Catalog) -> None:
        self._log, self._read = catalog.log(LOG), 0
        self._files: dict[int, Counter[str]] = {}  # order -> stream -> files

    def allot(self, order: Order, stream: str, *, wanted: int, published: Counter[str]) -> int:
        """How many files of an order a stream may have, `wanted` if there are so many left.

        `published`: how many of the order's files each stream has. Raises: OrderError for a format that is not known.
        """

        def decide(bodies: Bodies) -> Body | None:
            self._note(bodies)
            found = self._files.get(order.number, Counter()) | published
            files = min(wanted, order.files - (found.total() - found[stream]))
            if files <= self._files.get(order.number, Counter())[stream]:
                return None
            return {"format": FORMAT, "order": order.number, "stream": stream, "files": files}

        if self._files.get(order.number, Counter())[stream] < wanted:
            self._log.append(decide)
            self.refresh()
        return self._files.get(order.number, Counter())[stream]

    def refresh(self) -> None:
        """Reads the entries that are new."""
        self._note(self._log.read())

    def unused(self, order: Order, published: Counter[str]) -> Counter[str]:
        """How many files streams may still have of an order of which all is allotted; none as long as not all is."""
        found = self._files.get(order.number, Counter[str]()) | published
        return found - published if found.total() >= order.files else Counter()

    def is_used_up(self, order: Order, stream: str, published: Counter[str]) -> bool:
        """Whether all of an order is allotted, and a stream has its files."""
        found = self._files.get(order.number, Counter[str]()) | published
        return found.total() >= order.files and published[stream] >= found[stream]

    def _note(self, bodies: Bodies) -> None:
        while self._read < len(bodies):
            with bodies.understood(self._read):
                body = bodies[self._read]
                check_format(OrderError, f"allotment {self._read}", body["format"], FORMAT)
                self._files.setdefault(body["order"], Counter())[body["stream"]] = body["files"]
            self._read += 1
