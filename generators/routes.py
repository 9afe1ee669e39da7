"""What the mixer's service does for the pool beyond its size: orders of files, and draining.

Always holds: an order is an entry of a log, so neither Redis nor a worker is needed to place one. Draining is an entry too,
which the planner ends, so it goes on when nobody looks.
"""

from threading import Lock
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from generators.errors import QueueError
from generators.planning.orders import Order, load_orders, place_order
from generators.publishing.published_files import AllPublished
from generators.queue.redis_job_queue import queue_of
from mixer.client.answers import Draining, OrderRow
from mixer.pool import pool
from mixer.service.requests import Asked, Name, Nothing
from mixer.service.route import Question, Route
from mixer.service.shelf import Shelf

MOST_FILES = 1_000_000_000
Glob = Annotated[str, Meta(min_length=1, max_length=400, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Seed(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`from`: streams of seed documents. `files`: how many accepted files are wanted. `language`: of this one alone."""

    glob: Glob = msgspec.field(name="from")
    files: Annotated[int, Meta(ge=1, le=MOST_FILES)]
    language: Name | None = None


def routes(shelf: Shelf) -> list[Route]:
    catalog, published, lock = shelf.catalog, AllPublished(shelf.catalog), Lock()

    def orders(asked: Question) -> list[OrderRow]:
        with lock:  # requests come in threads
            published.refresh()
            return [row(order, published.count(order.purpose)) for order in load_orders(catalog)]

    def seed(asked: Question) -> OrderRow:
        body: Seed = asked.body
        return row(place_order(catalog, body.glob, files=body.files, language=body.language), 0)

    def drain(asked: Question) -> Draining:
        if shelf.redis_url is None:
            raise QueueError("this service was started without Redis, so no pool can drain; start it with phasemix up")
        queue = queue_of(catalog, shelf.redis_url)
        try:
            depth = queue.depth()
            pool.set_draining(catalog)
        finally:
            queue.client.close()
        return Draining(draining=True, **depth._asdict())

    rows: Any = [
        Route("GET", "/pool/orders", "orders of synthetic files, and what is published of them", orders, list[OrderRow]),
        Route("POST", "/pool/orders", "order synthetic files, apart from what runs demand", seed, OrderRow, body=Seed),
        Route(
            "POST", "/pool/drain", "plan no more jobs; scale to 0 once nothing is on its way", drain, Draining, body=Nothing,
        ),
    ]  # fmt: skip
    return list(rows)


def row(order: Order, published: int) -> OrderRow:
    return OrderRow(order=order.number, glob=order.glob, language=order.language, files=order.files, published=published)
