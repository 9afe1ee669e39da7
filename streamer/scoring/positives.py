"""The texts that an annotator learns from: files, rows of JSON Lines, documents of streams.

Always holds: files that cannot be read as text are passed over; a pattern or a glob over streams that finds nothing is an
error; redacted documents are not among the texts.
"""

import glob
import gzip
import heapq
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from streamer.catalog.catalog import Catalog
from streamer.catalog.part_files import read_parquet
from streamer.catalog.redaction import merge
from streamer.documents.json_lines import Bad, read_json_lines
from streamer.documents.languages import detect, key_of
from streamer.documents.text import DropReason, decode
from streamer.errors import CorpusError

ROW_TEXTS = ("output", "content", "text")
COLUMNS = ["text", "language", "repository", "document", "license"]


class Text(NamedTuple):
    """A text, where it is from, for people, its language's key and its repository, both empty where nobody says."""

    name: str
    text: str
    language: str = ""
    repository: str = ""


class Draw:
    """The texts with the lowest keys of all that are added, at most `count` of them; of equal keys the first."""

    def __init__(self, count: int) -> None:
        self._count, self._kept, self._highest = count, dict[int, Text](), list[int]()

    def add(self, key: int, text: Text) -> None:
        if key in self._kept or (len(self._kept) >= self._count and (not self._highest or key >= -self._highest[0])):
            return
        self._kept[key] = text
        heapq.heappush(self._highest, -key)
        if len(self._kept) > self._count:
            del self._kept[-heapq.heappop(self._highest)]

    def sorted(self) -> dict[int, Text]:
        """They and their keys, lowest first."""
        return dict(sorted(self._kept.items()))


def read_files(patterns: Sequence[str]) -> Iterator[Text]:
    """The texts that globs of files and of .jsonl files name. Raises: CorpusError when a pattern matches nothing."""
    for pattern in patterns:
        paths = sorted(glob.glob(str(Path(pattern).expanduser()), recursive=True))
        if not paths:
            raise CorpusError(f"positives {pattern} match no file; correct the glob")
        for path in paths:
            if path.endswith((".jsonl", ".jsonl.gz")):
                yield from read_rows(path)
            elif Path(path).is_file():
                yield from read_text(path)


def read_text(path: str) -> Iterator[Text]:
    """The text of a file, unless it is none. Raises: CorpusError when it cannot be read."""
    try:
        found = decode(Path(path).read_bytes())
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror}); correct the path or its rights") from error
    if not isinstance(found, DropReason):
        yield Text(path, found.text, detect(path, found.text) or "")


def read_rows(path: str) -> Iterator[Text]:
    """The texts of a .jsonl file's rows. Raises: CorpusError for a line that is no JSON object with a text."""
    try:
        with gzip.open(path) if path.endswith(".gz") else Path(path).open("rb") as file:
            for number, row in read_json_lines(file):
                text = None if isinstance(row, Bad) else next((row[name] for name in ROW_TEXTS if row.get(name)), None)
                if isinstance(row, Bad) or not isinstance(text, str):
                    why = f"is {row.value}" if isinstance(row, Bad) else f"has none of {', '.join(ROW_TEXTS)} as text"
                    raise CorpusError(f"positives {path}:{number} {why}; give JSON objects with a text")
                stated = row.get("language")
                yield Text(f"{path}:{number}", text, (key_of(stated) or "") if isinstance(stated, str) else "")
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"positives {path} cannot be read ({error}); correct the path or write the file again") from error


def read_streams(catalog: Catalog, pattern: str) -> Iterator[Text]:
    """The documents of the streams that a glob names, and the files that synthetic ones were packed from.

    Raises: CorpusError when no stream has any, PartError.
    """
    rule, count = merge(catalog.redaction_rules()), 0
    for snapshot in catalog.match(pattern):
        if snapshot.kind == "documents":
            for one in catalog.documents(snapshot.name):
                count += 1
                yield Text(f"{snapshot.name}/{one.path}", one.text, one.language, one.repository)
            continue
        for part in snapshot.parts:
            if (name := part.extra.get("files")) is not None:
                read = partial(read_parquet, catalog.store, name=name, columns=COLUMNS)
                for row in catalog.of_part(snapshot.name, part, read).to_pylist():
                    if not rule.matches(row):
                        count += 1
                        yield Text(f"{snapshot.name}/{row['document']}", row["text"], row["language"], row["repository"])
    if not count:
        raise CorpusError(f"no stream with documents matches {pattern} under {catalog.store.url}; see phasemix streams list")
