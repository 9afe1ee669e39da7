"""Streams, how they grew, the documents in them, and how those score."""

from typing import Any

import msgspec

from mixer.client.answers import StreamRow
from mixer.service.requests import OfDocument, OfRows, OfScored, OfScores, OfStream
from mixer.service.route import Question, Route
from mixer.service.shelf import Shelf
from streamer.catalog.growth import Grown, growth
from streamer.reading.looking.passages import Passage
from streamer.reading.looking.scores import Histogram, ScoredDocument


def routes(shelf: Shelf) -> list[Route]:
    catalog = shelf.catalog

    def streams(asked: Question) -> list[StreamRow]:
        return [StreamRow(**msgspec.structs.asdict(info), key=info.name.split("/")[1]) for info in catalog.streams()]

    def grown(asked: Question) -> list[Grown]:
        return growth(catalog, asked.query.stream)

    def rows(asked: Question) -> list[Passage]:
        query: OfRows = asked.query
        return shelf.passages(query.stream, query.first, query.limit)

    def document(asked: Question) -> list[Passage]:
        query: OfDocument = asked.query
        return shelf.document(query.stream, query.part, query.document)

    def version(asked: Question) -> str:
        return shelf.streams_version()

    found: Any = [
        Route("GET", "/streams", "one line a stream", streams, list[StreamRow], version=version),
        Route("GET", "/growth", "how a stream has grown", grown, list[Grown], query=OfStream),
        Route("GET", "/passages", "documents in rows of a stream", rows, list[Passage], query=OfRows),
        Route("GET", "/document", "a document of a part, row by row", document, list[Passage], query=OfDocument),
        Route(
            "GET",
            "/scores",
            "how many documents of a set's key have which score",
            lambda asked: shelf.histogram(asked.query),
            Histogram,
            query=OfScores,
            version=lambda asked: shelf.scores_version(asked.query),
        ),
        Route(
            "GET",
            "/scored",
            "documents of a set's key by their scores",
            lambda asked: shelf.scored(asked.query),
            list[ScoredDocument],
            query=OfScored,
        ),
    ]
    return list(found)
