"""Streams and how they grew."""

from typing import Any

import msgspec

from mixer.client.answers import StreamRow
from mixer.service.requests import OfStream
from mixer.service.route import Question, Route
from mixer.service.shelf import Shelf
from streamer.catalog.growth import Grown, growth


def routes(shelf: Shelf) -> list[Route]:
    catalog = shelf.catalog

    def streams(asked: Question) -> list[StreamRow]:
        return [StreamRow(**msgspec.structs.asdict(info), key=info.name.split("/")[1]) for info in catalog.streams()]

    def grown(asked: Question) -> list[Grown]:
        return growth(catalog, asked.query.stream)

    def version(asked: Question) -> str:
        return shelf.streams_version()

    rows: Any = [
        Route("GET", "/streams", "one line a stream", streams, list[StreamRow], version=version),
        Route("GET", "/growth", "how a stream has grown", grown, list[Grown], query=OfStream),
    ]
    return list(rows)
