"""The pool of generators: its state, its size, and the files that it wrote."""

from typing import Any

from mixer.client.answers import PoolPage, Wanted
from mixer.pool import pool
from mixer.pool.files import PoolFile, accepted_files, rejected_files
from mixer.service.requests import Files, Workers
from mixer.service.route import Question, Route
from mixer.service.shelf import Shelf


def routes(shelf: Shelf) -> list[Route]:
    catalog = shelf.catalog

    def show(asked: Question) -> PoolPage:
        state = pool.read_state(shelf.redis_url, shelf.catalog)
        rates = None if state is None else state.rates
        return PoolPage(wanted=pool.wanted(catalog), draining=pool.draining(catalog), state=state, rates=rates)

    def scale(asked: Question) -> Wanted:
        pool.set_wanted(catalog, asked.body.workers)
        return Wanted(wanted=pool.wanted(catalog))

    def written(asked: Question) -> list[PoolFile]:
        query: Files = asked.query
        if query.verdict == "rejected":
            return rejected_files(shelf.redis_url, query.limit, shelf.catalog)
        return accepted_files(catalog, query.limit)

    rows: Any = [
        Route("GET", "/pool", "wanted and living workers, queue, rates", show, PoolPage),
        Route("POST", "/pool", "set the wanted number of workers", scale, Wanted, body=Workers),
        Route("GET", "/pool/files", "the newest files, accepted or rejected", written, list[PoolFile], query=Files),
    ]
    return list(rows)
