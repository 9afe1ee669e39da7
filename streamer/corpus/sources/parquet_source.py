"""Source files out of Parquet files with the columns content, path, repo_name, language, license.

Always holds: a row that lacks a path or content is counted, never raised; only `content` must be there as a column.
"""

from collections.abc import Iterator
from pathlib import Path

from streamer.corpus.recipe import Source
from streamer.corpus.sources.raw_file import RawFile, clean_name, is_wanted
from streamer.documents.text import DropReason
from streamer.errors import CorpusError

COLUMNS = ("content", "path", "repo_name", "language", "license")


def read_parquet(path: Path, source: Source, *, nested: bool) -> Iterator[RawFile]:
    """The rows as files. Raises: CorpusError for a file that is no Parquet or has no content, unless `nested`."""
    import pyarrow as pa

    from streamer.documents.parquet_rows import read_parquet_rows

    def check_columns(names: list[str]) -> None:
        if "content" not in names:
            raise CorpusError(
                f"source {path.name} has the columns {', '.join(names)[:400]}; it needs content, and may have "
                f"{', '.join(COLUMNS[1:])}"
            )

    lost = RawFile(path=clean_name(path.name), repository=source.repository or clean_name(path.stem), license=source.license)
    try:
        for place, row in enumerate(read_parquet_rows(path, COLUMNS, check_columns)):
            found = row_file(row, place, lost, source)
            if is_wanted(found.path, source):
                yield found
    except (OSError, pa.ArrowException, CorpusError) as error:
        if not nested:
            raise CorpusError(f"source {path.name} cannot be read as Parquet: {error}") from error
        lost.fault = DropReason.UNREADABLE
        yield lost


def row_file(row: dict[str, object], place: int, lost: RawFile, source: Source) -> RawFile:
    """One row; a missing path is `row-N`, a missing repository the file's name."""
    content = row.get("content")
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return RawFile(
        path=word(row, "path") or f"row-{place}",
        repository=source.repository or word(row, "repo_name") or lost.repository,
        license=word(row, "license") or source.license,
        language=word(row, "language") or None,
        data=data if isinstance(data, bytes) else b"",
        fault=None if isinstance(data, bytes) else DropReason.UNREADABLE,
    )


def word(row: dict[str, object], name: str) -> str:
    """A column as text that can be written as UTF-8; empty for none."""
    value = row.get(name)
    return clean_name(value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value or ""))
