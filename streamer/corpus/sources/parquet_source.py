"""Source files out of Parquet files of a corpus: our own columns, or those that known corpora have.

Always holds: a row that lacks a path or content is counted, never raised; only a content, or an id of one that a source's
`contents` gives, must be there as a column.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from streamer.corpus.recipe import Source
from streamer.corpus.sources.contents import Contents
from streamer.corpus.sources.raw_file import RawFile, Share, is_wanted
from streamer.documents.known_columns import COLUMNS, STANDING_COLUMNS, find, has, standing, word
from streamer.documents.text import DropReason
from streamer.errors import CorpusError
from streamer.wording import listed


def read_parquet(path: Path, lost: RawFile, source: Source, share: Share, *, first: int, nested: bool) -> Iterator[RawFile]:
    """The share's wanted rows as files, whose places begin at `first`; contents are fetched of these alone.

    `lost` has the file's own name, repository and licence; it says what ends the reading.

    Raises: CorpusError for a file that is no Parquet or has no content, unless `nested`.
    """
    import pyarrow as pa

    from streamer.documents.parquet_rows import read_parquet_rows

    def check_columns(names: list[str]) -> None:
        if has(names, "text"):
            return
        if not has(names, "content_id"):
            raise CorpusError(
                f"source {lost.path} has the columns {listed(names)}; it needs content (or text, or code), or blob_id and a "
                "source's `contents`"
            )
        if source.contents is None:
            raise CorpusError(
                f"source {lost.path} has ids of contents (blob_id) and no text; say in the recipe where the contents lie: "
                '`contents = "s3://BUCKET/FOLDER"`'
            )

    places = count(first)

    def own() -> Iterator[tuple[RawFile, str]]:
        for row_place, row in enumerate(read_parquet_rows(path, (*COLUMNS, *STANDING_COLUMNS), check_columns)):
            file = row_file(row, row_place, lost, source)
            if is_wanted(file.path, source) and share.takes(place := next(places)):
                file.order = place
                yield file, find(row, "content_id")

    try:
        yield from (file for file, _ in own()) if source.contents is None else Contents(source.contents).fill(own())
    except (OSError, pa.ArrowException, CorpusError) as error:
        if not nested:
            raise CorpusError(f"source {lost.path} cannot be read as Parquet: {error}") from error
        lost.fault, lost.order = DropReason.UNREADABLE, next(places)
        if share.takes(lost.order):
            yield lost


def row_file(row: dict[str, Any], place: int, lost: RawFile, source: Source) -> RawFile:
    """One row; a missing path is `row-N`, a missing repository the file's name."""
    content = find(row, "text")
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return RawFile(
        path=word(row, "path") or f"row-{place}",
        repository=source.repository or word(row, "repository") or lost.repository,
        license=word(row, "license") or source.license,
        language=word(row, "language") or None,
        data=data if isinstance(data, bytes) else b"",
        fault=None if isinstance(data, bytes) else DropReason.UNREADABLE,
        standing=standing(row),
    )
