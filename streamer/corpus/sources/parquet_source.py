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
BATCH_ROWS = 256


def read_parquet(path: Path, source: Source, *, nested: bool) -> Iterator[RawFile]:
    """The rows as files. Raises: CorpusError for a file that is no Parquet or has no content, unless `nested`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lost = RawFile(path=clean_name(path.name), repository=source.repository or clean_name(path.stem), license=source.license)
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in COLUMNS if name in file.schema_arrow.names]
            if "content" not in names:
                raise CorpusError(
                    f"source {path.name} has the columns {', '.join(file.schema_arrow.names)}; "
                    f"it needs content, and may have {', '.join(COLUMNS[1:])}"
                )
            place = 0
            for batch in file.iter_batches(BATCH_ROWS, columns=names):
                for row in batch.to_pylist():
                    found = row_file(row, place, lost, source)
                    place += 1
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
    language = row.get("language")
    return RawFile(
        path=clean_name(str(row.get("path") or f"row-{place}")),
        repository=source.repository or clean_name(str(row.get("repo_name") or lost.repository)),
        license=clean_name(str(row.get("license") or source.license)),
        language=str(language) if language else None,
        data=data if isinstance(data, bytes) else b"",
        fault=None if isinstance(data, bytes) else DropReason.UNREADABLE,
    )
