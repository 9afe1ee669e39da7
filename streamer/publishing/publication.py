"""What `phasemix streams publish` takes, to one part of a stream.

Always holds: all of a path's rows become visible by one entry, or none do; samples whose layout is the stream's own are
registered byte for byte, all else is written anew and never trusted unread.
"""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from streamer.catalog import parts
from streamer.catalog.catalog import Catalog, token_schema
from streamer.catalog.manifest import HIGHEST_ID, Schema, Snapshot, read_schema
from streamer.catalog.names import check_stream_name
from streamer.documents.document import COLUMNS, Document
from streamer.documents.text import DropReason
from streamer.errors import PartError, StreamError
from streamer.mds import layout as mds
from streamer.packing.tokenizer import describe, highest_id
from streamer.packing.tokenizer_file import read_text
from streamer.publishing.document_files import read_documents
from streamer.publishing.token_rows import read_blocks, stored_length


class Published(NamedTuple):
    """The snapshot with the new part, and rows that are not in it, by reason."""

    snapshot: Snapshot
    dropped: Counter[str]


def publish_path(
    catalog: Catalog,
    name: str,
    path: Path,
    *,
    tokenizer: str | None = None,
    seq_len: int | None = None,
    dtype: str | None = None,
) -> Published:
    """Publishes a folder of stock MDS, or Parquet or JSONL files of documents, as one part.

    `tokenizer`: a fingerprint, or a tokenizer.json to keep. `seq_len` and `dtype` are needed where neither the stream nor
    the folder says them. Raises: StreamError, PartError, CorpusError, StoreError; the stream is then as it was.
    """
    check_stream_name(name)
    if not path.exists():
        raise PartError(f"{path} does not exist; name a folder of MDS, or Parquet or JSONL files of documents")
    shards = mds.read_index(path) if (path / "index.json").exists() else []
    if any("tokens" in shard.column_names for shard in shards):
        return publish_tokens(catalog, name, path, tokenizer=tokenizer, seq_len=seq_len, dtype=dtype)
    given = [
        option
        for option, value in (("--tokenizer", tokenizer), ("--seq-len", seq_len), ("--dtype", dtype))
        if value is not None
    ]
    if given:
        raise PartError(f"{path} holds no samples, and documents have no {', '.join(given)}; leave that out")
    return publish_documents(catalog, name, path)


def publish_documents(catalog: Catalog, name: str, path: Path) -> Published:
    """Publishes documents in their order; rows that are no readable text are counted by reason."""
    parts.check_fits(name, read_schema(name, catalog.stream_log(name).read()), Schema(kind="documents"))
    dropped: Counter[str] = Counter()

    def kept() -> Iterator[Document]:
        for found in read_documents(path, key=name.split("/")[1]):
            if isinstance(found, DropReason):
                dropped[found.value] += 1
            else:
                yield found

    with parts.folder_aside() as folder:
        mds.write_rows(map(document_row, kept()), COLUMNS, folder)
        if not mds.read_index(folder):
            why = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items())) or "it has no rows"
            raise PartError(f"{path} has no document to publish ({why}); give rows with a text")
        return Published(catalog.publish_directory(name, folder), dropped)


def document_row(document: Document) -> dict[str, object]:
    """A document's values by column; a score that is None is NaN."""
    row = {column: getattr(document, column) for column in COLUMNS}
    return row | {"score": math.nan if document.score is None else document.score}


def publish_tokens(
    catalog: Catalog, name: str, path: Path, *, tokenizer: str | None, seq_len: int | None, dtype: str | None
) -> Published:
    """Registers samples as they are, or converts them after a check that their ids fit."""
    fingerprint, num_ids, to_keep = resolve_tokenizer(catalog, tokenizer)
    stream = read_schema(name, catalog.stream_log(name).read())
    if stream is not None and stream.kind == "documents":
        raise StreamError(f"stream {name} holds documents, {path} tokens; publish it under another name")
    stored = stored_length(path)
    known = (seq_len, stored, stream.seq_len if stream is not None else None)
    wanted = next((length for length in known if length is not None), None)
    if wanted is None:
        raise PartError(f"{path} holds tokens as bytes, which do not say how many they are; add --seq-len N")
    kinds = {tuple(shard.columns.items()) for shard in mds.read_index(path)}
    written = next((kind for kind in mds.DTYPES if kinds == {(("tokens", mds.tokens_encoding(kind, wanted)),)}), None)
    fitting = dtype or (stream.dtype if stream is not None else written) or "uint16"
    parts.check_fits(name, stream, token_schema(name, wanted, fitting, fingerprint))
    highest = [0]

    def noted() -> Iterator[npt.NDArray[Any]]:
        for block in read_blocks(path, seq_len=wanted, dtype=fitting, num_ids=num_ids):
            highest[0] = max(highest[0], int(block.max()))
            yield block

    blocks = noted()
    with parts.folder_aside() as folder:
        if written == fitting:
            for _ in blocks:  # reads every id, so that none is beyond the tokenizer
                pass
        else:
            mds.write_blocks(blocks, folder, dtype=fitting, seq_len=wanted)
        if to_keep is not None:
            catalog.put_tokenizer(to_keep)
        source = path if written == fitting else folder
        extra = {HIGHEST_ID: highest[0]} if fingerprint is None else None
        return Published(catalog.publish_directory(name, source, tokenizer=fingerprint, extra=extra), Counter())


def resolve_tokenizer(catalog: Catalog, tokenizer: str | None) -> tuple[str | None, int | None, str | None]:
    """(fingerprint, ids, text still to be kept) of a fingerprint or a tokenizer.json; no ids where the root lacks it."""
    if tokenizer is None:
        return None, None, None
    if Path(tokenizer).is_file():
        text = read_text(tokenizer)
        found = describe(text, name=f"tokenizer {tokenizer}")
        return found.fingerprint, found.vocabulary, text
    if catalog.store.get(f"tokenizers/{tokenizer}.json") is None:
        return tokenizer, None, None
    return tokenizer, highest_id(catalog.load_tokenizer(tokenizer)) + 1, None
