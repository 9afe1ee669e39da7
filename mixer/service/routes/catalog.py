"""Streams, how they grew, and the documents in them."""

from typing import Any

import msgspec

from mixer.client.answers import StreamRow
from mixer.service.requests import OfRows, OfStream
from mixer.service.route import Question, Route
from mixer.service.shelf import Shelf
from streamer.catalog.growth import Grown, growth
from streamer.reading.passages import Passage


def routes(shelf: Shelf) -> list[Route]:
    catalog = shelf.catalog

    def streams(asked: Question) -> list[StreamRow]:
        return [StreamRow(**msgspec.structs.asdict(info), key=info.name.split("/")[1]) for info in catalog.streams()]

    def grown(asked: Question) -> list[Grown]:
        return growth(catalog, asked.query.stream)

    def rows(asked: Question) -> list[Passage]:
        query: OfRows = asked.query
        return shelf.passages(query.stream, query.first, query.limit)

    def version(asked: Question) -> str:
        return shelf.streams_version()

    found: Any = [
        Route("GET", "/streams", "one line a stream", streams, list[StreamRow], version=version),
        Route("GET", "/growth", "how a stream has grown", grown, list[Grown], query=OfStream),
        Route("GET", "/passages", "documents in rows of a stream", rows, list[Passage], query=OfRows),
    ]
    return list(found)
