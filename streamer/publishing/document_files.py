"""Documents out of Parquet files, JSONL files and MDS folders that anyone wrote.

Always holds: a row that is no readable text is yielded as the reason, never raised; columns other than a document's own
are not read, so a pickled one never is.

A row has a text, and may have a path, a repository, a language, a licence and a score, under any of the names that
`streamer.documents.known_columns` lists.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from streamer.documents.document import Document, document_id
from streamer.documents.json_lines import Bad, Row, read_json_lines
from streamer.documents.known_columns import COLUMNS as KNOWN_COLUMNS
from streamer.documents.known_columns import clean, find, has, word
from streamer.documents.languages import detect, key_of
from streamer.documents.parquet_rows import read_parquet_rows
from streamer.documents.text import DropReason, decode
from streamer.errors import PartError
from streamer.mds import layout as mds
from streamer.mds.folder import INDEX, MdsFolder, map_plain
from streamer.wording import listed

JSONL_ENDINGS = (".jsonl", ".ndjson")
PARQUET_ENDINGS = (".parquet",)
REASONS = {Bad.TOO_LONG: DropReason.TOO_LARGE, Bad.NOT_UTF8: DropReason.NOT_UTF8, Bad.NO_OBJECT: DropReason.UNREADABLE}


def read_documents(
    path: Path, *, key: str, is_held_out: Callable[[str], bool] = lambda _: False
) -> Iterator[Document | DropReason]:
    """The documents of a file, of the Parquet and JSONL files at a folder's top by name, or of an MDS folder.

    `key` is the language of what states none and whose path tells none. `is_held_out` is asked of a repository that a row
    states; where none does, what the file is called decides nothing. Raises: PartError for what is none of these.
    """
    for number, row in enumerate(read_rows(path)):
        if isinstance(row, DropReason):
            yield row
        elif (stated := word(row, "repository")) and is_held_out(stated):
            yield DropReason.HELD_OUT
        else:
            yield to_document(row, number, key=key, origin=path.stem)


def read_rows(path: Path) -> Iterator[Row | DropReason]:
    """The rows of what lies at `path`. Raises: PartError."""
    if path.is_dir():
        if (path / INDEX).exists():
            yield from read_mds(path)
            return
        endings = (*JSONL_ENDINGS, *PARQUET_ENDINGS)
        files = sorted(file for file in path.iterdir() if file.name.endswith(endings) and file.is_file())
    else:
        files = [path] if path.is_file() else []
    if not files:
        raise PartError(f"{path} is neither a folder of MDS nor has Parquet or JSONL files; {hint_at(path)}")
    for file in files:
        if file.name.endswith(PARQUET_ENDINGS):
            yield from read_parquet(file)
        elif file.name.endswith(JSONL_ENDINGS):
            yield from read_jsonl(file)
        else:
            known = ", ".join((*PARQUET_ENDINGS, *JSONL_ENDINGS))
            raise PartError(f"{file} ends in none of {known}; name such a file, or a folder of stock MDS")


def hint_at(path: Path) -> str:
    """What to do with a folder of nothing to publish."""
    below = sorted(entry.parent.name for entry in path.glob(f"*/{INDEX}"))[:3] if path.is_dir() else []
    if not below:
        return "name one of these"
    return (
        f"its folders {', '.join(below)} are MDS: merge their indexes (merge_index of mosaicml-streaming), or publish each"
    )


def read_jsonl(path: Path) -> Iterator[Row | DropReason]:
    """One object a line. Raises: PartError for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            for _, row in read_json_lines(file):
                yield REASONS[row] if isinstance(row, Bad) else row
    except OSError as error:
        raise PartError(f"{path} cannot be read ({error.strerror}); check its rights") from error


def read_parquet(path: Path) -> Iterator[Row]:
    """Raises: PartError for a file that is no Parquet or has no column of texts."""
    try:
        yield from read_parquet_rows(path, KNOWN_COLUMNS, lambda names: check_columns(path, names))
    except (OSError, pa.ArrowException) as error:
        raise PartError(f"{path} cannot be read as Parquet ({error}); write it again") from error


def read_mds(folder: Path) -> Iterator[Row]:
    """Raises: PartError for a folder that is no plain MDS or has no column of texts."""
    found = MdsFolder(folder)
    for shard in found.shards:
        check_columns(folder, shard.column_names)
        with found.file(shard) as path:
            yield from mds.iterate_rows(map_plain(path, shard), KNOWN_COLUMNS, name=str(path))


def check_columns(path: Path, names: list[str]) -> None:
    if has(names, "text"):
        return
    if has(names, "content_id"):
        raise PartError(
            f"{path} has columns {listed(names)}, so it names contents and has no text; fetch them with phasemix corpus "
            "ingest, whose sources have `contents`"
        )
    raise PartError(f"{path} has columns {listed(names)}; documents need text (or content, or code), samples tokens")


def to_document(row: Row, number: int, *, key: str, origin: str) -> Document | DropReason:
    """The document of a row, or why it is none. `origin` names the repository of a row without one."""
    stored = find(row, "text")
    data = stored.encode("utf-8", "surrogatepass") if isinstance(stored, str) else stored
    found = decode(data) if isinstance(data, bytes) else DropReason.UNREADABLE
    if isinstance(found, DropReason):
        return found
    text, encoding = found
    path = word(row, "path") or f"row-{number}"
    repository = word(row, "repository") or clean(origin)
    stated = word(row, "language")
    return Document(
        text=text,
        path=path,
        repository=repository,
        language=(key_of(stated) or stated) if stated else detect(path, text) or key,
        license=word(row, "license"),
        document=document_id(repository, path, text),
        score=number_of(row.get("score")),
        encoding=word(row, "encoding") or encoding,
        flags=word(row, "flags"),
        replaced=word(row, "replaced"),
    )


def number_of(value: Any) -> float | None:
    """A score, None for what is no finite number."""
    try:
        found = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:  # an integer of hundreds of digits
        return None
    return found if math.isfinite(found) else None
