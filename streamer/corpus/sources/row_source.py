"""Source files out of Parquet and JSON Lines files of a corpus: our own columns, or those that known corpora have.

Always holds: a row that lacks a path or content, or a line that is no row, is counted, never raised; only a content, or an
id of one that a source's `contents` gives, must be there as a column, in JSON Lines in the first row.
"""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from streamer.corpus.recipe import Source
from streamer.corpus.sources.contents import Contents
from streamer.corpus.sources.raw_file import RawFile, Share, is_wanted
from streamer.documents.json_lines import Bad, Row, read_json_lines
from streamer.documents.known_columns import COLUMNS, STANDING_COLUMNS, find, has, standing, word
from streamer.documents.text import DropReason
from streamer.errors import CorpusError
from streamer.publishing.document_files import JSONL_ENDINGS, REASONS
from streamer.wording import listed

PARQUET_ENDINGS = (".parquet",)
ROW_ENDINGS = (*PARQUET_ENDINGS, *JSONL_ENDINGS)


def read_row_files(
    path: Path, lost: RawFile, source: Source, share: Share, *, first: int, nested: bool
) -> Iterator[RawFile]:
    """The share's wanted rows as files, whose places begin at `first`; contents are fetched of these alone.

    `lost` has the file's own name, repository and licence; it says what ends the reading.

    Raises: CorpusError for a file that cannot be read or has no content, unless `nested`.
    """
    import pyarrow as pa

    is_parquet = lost.path.lower().endswith(PARQUET_ENDINGS)

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

    def own() -> Iterator[tuple[RawFile, Any]]:
        for row_place, row in enumerate((read_parquet if is_parquet else read_jsonl)(path, check_columns)):
            file = row_file(row, row_place, lost, source)
            if is_wanted(file.path, source) and share.takes(place := next(places)):
                file.order = place
                yield file, None if isinstance(row, Bad) else find(row, "content_id")

    try:
        yield from (file for file, _ in own()) if source.contents is None else Contents(source.contents).fill(own())
    except (OSError, pa.ArrowException, CorpusError) as error:
        if not nested:
            kind = "Parquet" if is_parquet else "JSON Lines"
            raise CorpusError(f"source {lost.path} cannot be read as {kind}: {error}") from error
        lost.fault, lost.order = DropReason.UNREADABLE, next(places)
        if share.takes(lost.order):
            yield lost


def read_parquet(path: Path, check_columns: Callable[[list[str]], None]) -> Iterator[Row]:
    from streamer.documents.parquet_rows import read_parquet_rows

    return read_parquet_rows(path, (*COLUMNS, *STANDING_COLUMNS), check_columns)


def read_jsonl(path: Path, check_columns: Callable[[list[str]], None]) -> Iterator[Row | Bad]:
    """The rows, one object a line; the first of them tells which columns there are. Raises: OSError, CorpusError."""
    is_checked = False
    with path.open("rb") as file:
        for _, row in read_json_lines(file):
            if not is_checked and not isinstance(row, Bad):
                check_columns(list(row))
                is_checked = True
            yield row


def row_file(row: Row | Bad, place: int, lost: RawFile, source: Source) -> RawFile:
    """One row; a missing path is `row-N`, a missing repository the file's name."""
    if isinstance(row, Bad):
        return msgspec.structs.replace(lost, path=f"row-{place}", fault=REASONS[row])
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
