"""Files that the generators wrote, newest first, with the classes of their tokens, for people to look at.

Always holds: an accepted file is one that an entry of a stream names; rejected ones are the last 200, in Redis, which may
lose them. A text goes out as pairs of class and text that together are the text, never as markup.
"""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec

from mixer.pool.pool import keys_of
from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo
from streamer.catalog.part_files import read_parquet

KIND = "synthetic"
MOST_KEPT = 200
MOST_CHARACTERS = 1 << 16
Values = dict[str, int | float | str]  # what gates measured, by name; a limit is called min_, max_ or least_ and that name
LEXERS = {"jupyter-notebook": "python"}  # where Pygments has another word than we


class RejectedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One element of the list in Redis. `id`: the job's identity; `seed`: the seed document's id.

    `values`: what the gate measured or found, such as `of`, the document that a near-duplicate nearly equals.
    """

    id: str
    language: str
    at_s: float
    reason: str
    seed: str
    model: str
    text: str
    recipe: str = ""
    values: Values = {}


class PoolFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file and the verdict on it. `tokens`: (class as Pygments' style sheets call it, text)."""

    id: str
    language: str
    at_s: float
    verdict: str
    reason: str | None
    seed: str
    model: str
    text: str
    tokens: list[tuple[str, str]]
    recipe: str = ""
    values: Values = {}


def rejected_key(keys: str) -> str:
    """The Redis key of the list of rejected files, newest first."""
    return f"{keys}:rejected_files"


def rejected_files(redis_url: str | None, limit: int, catalog: Catalog) -> list[PoolFile]:
    """The newest rejected files; none where no Redis answers."""
    keys = keys_of(catalog)
    if redis_url is None or keys is None:
        return []
    import redis

    try:
        with redis.Redis.from_url(redis_url, socket_timeout=1.0) as client:
            found: Any = client.lrange(rejected_key(keys), 0, limit - 1)
    except (redis.RedisError, ValueError):
        return []
    files = (msgspec.json.decode(data, type=RejectedFile) for data in found)
    return [file_of("rejected", **msgspec.structs.asdict(file)) for file in files]


def accepted_files(catalog: Catalog, limit: int) -> list[PoolFile]:
    """The newest published files of all languages. Raises: StreamError, StoreError."""
    snapshots = [snapshot for snapshot in catalog.match(f"{KIND}/*") if snapshot.parts]
    newest = [
        (catalog.stream_log(snapshot.name).written_at_s(part.number), snapshot.name, part)
        for snapshot in snapshots
        for part in snapshot.parts[-limit:]
        if part.extra.get("files")
    ]
    newest.sort(key=lambda found: found[:2], reverse=True)
    files: list[PoolFile] = []
    for at_s, stream, part in newest:
        if len(files) >= limit:
            break
        files += read_files(catalog, stream, part, at_s, limit - len(files))
    return files


def read_files(catalog: Catalog, stream: str, part: PartInfo, at_s: float, limit: int) -> Iterator[PoolFile]:
    """The last `limit` files of a part, last first."""
    table = catalog.of_part(stream, part, partial(read_parquet, catalog.store, name=part.extra["files"], columns=None))
    for row in table.slice(max(0, len(table) - limit)).to_pylist()[::-1]:
        origin = json.loads(row.get("origin") or "{}")  # which files of earlier versions lack
        yield file_of(
            "accepted",
            id=row["document"],
            language=row["language"],
            at_s=at_s,
            reason=None,
            seed=row["path"].split("/")[-2],
            model=row["repository"].removeprefix(f"{KIND}/"),
            text=row["text"],
            recipe=origin.get("recipe", ""),
            values=origin.get("values", {}),
        )


def file_of(verdict: str, *, language: str, text: str, **rest: Any) -> PoolFile:
    text = text[:MOST_CHARACTERS]
    return PoolFile(verdict=verdict, language=language, text=text, tokens=tokens_of(text, language), **rest)


def tokens_of(text: str, language: str) -> list[tuple[str, str]]:
    """(class, text) pairs that join to the text; one pair without a class where Pygments does not know the language."""
    from pygments.lexers import get_lexer_by_name
    from pygments.token import STANDARD_TYPES
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(LEXERS.get(language, language))
    except ClassNotFound:
        return [("", text)]
    found: list[tuple[str, str]] = []
    for _, kind, piece in lexer.get_tokens_unprocessed(text):
        while kind not in STANDARD_TYPES:
            kind = kind.parent
        name = STANDARD_TYPES[kind]
        if found and found[-1][0] == name:
            found[-1] = name, found[-1][1] + piece
        else:
            found.append((name, piece))
    return found
