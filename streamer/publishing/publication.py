"""What `phasemix streams publish` takes, to one part of a stream.

Always holds: all of a path's rows become visible by one entry, or none do; samples whose layout is the stream's own are
registered byte for byte, all else is written anew and never trusted unread; shards that the stream has already are not
published a second time unless that is asked for.
"""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy.typing as npt

from streamer.catalog import parts
from streamer.catalog.catalog import Catalog, token_schema
from streamer.catalog.manifest import HIGHEST_ID, Schema, Snapshot, read_schema
from streamer.catalog.names import check_stream_name, kind_of
from streamer.catalog.redaction import merge
from streamer.catalog.references import check_reference, open_reference
from streamer.documents.document import COLUMNS, Document
from streamer.documents.text import DropReason
from streamer.errors import PartError, StreamError
from streamer.mds import layout as mds
from streamer.mds.folder import INDEX, MdsFolder
from streamer.packing.tokenizer import describe, highest_id
from streamer.packing.tokenizer_file import read_text
from streamer.publishing.document_files import read_documents
from streamer.publishing.heldout import HoldOut, choice_of, note_choice
from streamer.publishing.token_rows import TokenColumn, find_column, read_blocks
from streamer.store.roots import SCHEMES


class Options(NamedTuple):
    """How a path is to be published.

    `tokenizer`: a fingerprint, or a tokenizer.json to keep. `seq_len` and `dtype`: of the stream, where neither it nor the
    path says them. `token_dtype`: what ids are that are stored as bytes. `reference`: register the shards where they are
    and copy nothing. `again`: also shards that the stream has already.
    """

    tokenizer: str | None = None
    seq_len: int | None = None
    dtype: str | None = None
    token_dtype: str | None = None
    reference: bool = False
    again: bool = False


AS_IT_IS = Options()


class Published(NamedTuple):
    """The stream with the new part, and of documents the rows that are not in it, by reason."""

    snapshot: Snapshot
    dropped: Counter[str] | None


def publish_path(catalog: Catalog, name: str, path: str | Path, options: Options = AS_IT_IS) -> Published:
    """Publishes a folder of stock MDS, or Parquet or JSONL files of documents, as one part.

    Raises: AlreadyPublishedError, StreamError, PartError, CorpusError, StoreError; the stream is then as it was.
    """
    check_stream_name(name)
    folder = open_folder(catalog, path, options)
    if folder is not None and any("tokens" in shard.column_names for shard in folder.shards):
        return publish_tokens(catalog, name, path, folder, options)
    given = [
        option
        for option, value in (
            ("--tokenizer", options.tokenizer),
            ("--seq-len", options.seq_len),
            ("--dtype", options.dtype),
            ("--token-dtype", options.token_dtype),
        )
        if value is not None
    ]
    if given:
        raise PartError(f"{path} holds no samples, and documents have no {', '.join(given)}; leave that out")
    if options.reference:
        return Published(catalog.publish_reference(name, path, again=options.again), None)
    return publish_documents(catalog, name, Path(path), again=options.again)


def open_folder(catalog: Catalog, path: str | Path, options: Options) -> MdsFolder | None:
    """The folder of MDS at a path or address, None where files of documents lie. Raises: PartError, StoreError."""
    if options.reference:
        return MdsFolder(open_reference(check_reference(catalog.store, path)))
    if str(path).startswith(SCHEMES):
        raise PartError(f"{path} is an object-store address; add --reference to register it there, or copy it to a folder")
    if not Path(path).exists():
        raise PartError(f"{path} does not exist; name a folder of MDS, or Parquet or JSONL files of documents")
    return MdsFolder(Path(path)) if (Path(path) / INDEX).exists() else None


def publish_documents(catalog: Catalog, name: str, path: Path, *, again: bool = False) -> Published:
    """Publishes documents in their order; rows that are no readable text are counted by reason."""
    parts.check_fits(name, read_schema(name, catalog.stream_log(name).read()), Schema(kind="documents"))
    dropped: Counter[str] = Counter()
    rule, held_out = merge(catalog.redaction_rules()), choice_of(catalog)
    is_held_out = HoldOut(share=0).has if kind_of(name) == "heldout" else held_out.has

    def kept() -> Iterator[Document]:
        for found in read_documents(path, key=name.split("/")[1], is_held_out=is_held_out):
            if isinstance(found, DropReason):
                dropped[found.value] += 1
            elif rule.matches(msgspec.structs.asdict(found)):
                dropped[DropReason.REDACTED] += 1
            else:
                yield found

    with parts.folder_aside() as aside:
        count = mds.write_rows(map(document_row, kept()), COLUMNS, aside)
        if not count:
            why = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items())) or "it has no rows"
            raise PartError(f"{path} has no document to publish ({why}); give rows with a text")
        note_choice(catalog, held_out)
        return Published(catalog.publish_directory(name, aside, again=again), dropped)


def document_row(document: Document) -> dict[str, object]:
    """A document's values by column; a score that is None is NaN."""
    row = {column: getattr(document, column) for column in COLUMNS}
    return row | {"score": math.nan if document.score is None else document.score}


def publish_tokens(catalog: Catalog, name: str, path: str | Path, folder: MdsFolder, options: Options) -> Published:
    """Registers samples as they are, or converts them after a check that their ids fit."""
    stream = read_schema(name, catalog.stream_log(name).read())
    if stream is not None and stream.kind == "documents":
        raise StreamError(f"stream {name} holds documents, {path} tokens; publish it under another name")
    if options.seq_len is not None:
        token_schema(name, options.seq_len, options.dtype or "uint16", None)  # a length that cannot be is refused first
    fingerprint, num_ids, to_keep = resolve_tokenizer(catalog, name, stream, options.tokenizer)
    column = find_column(folder, seq_len=options.seq_len, token_dtype=options.token_dtype)
    if options.seq_len not in (None, column.seq_len):
        raise PartError(
            f"{path} has rows of {column.seq_len} ids, --seq-len says {options.seq_len}; pack it again, or correct that"
        )
    written = written_dtype(folder, column)
    dtype = options.dtype or (stream.dtype if stream is not None else written) or "uint16"
    parts.check_fits(name, stream, token_schema(name, column.seq_len, dtype, fingerprint))
    if options.reference and written != dtype:
        raise PartError(
            f"{path} cannot be registered where it is: stream {name} holds ndarray:{dtype}:{column.seq_len}, its column "
            f"tokens is {folder.shards[0].columns['tokens'][:80]}; publish it without --reference, which converts it"
        )
    highest = [0]

    def noted() -> Iterator[npt.NDArray[Any]]:
        for block in read_blocks(folder, column, dtype=dtype, num_ids=num_ids):
            highest[0] = max(highest[0], int(block.max()))
            yield block

    with parts.folder_aside() as aside:
        if written != dtype:
            mds.write_blocks(noted(), aside, dtype=dtype, seq_len=column.seq_len)
        elif fingerprint is None:
            for _ in noted():  # without a tokenizer the entry says which ids there are
                pass
        source, limit = (path, num_ids) if written == dtype else (aside, None)
        said: dict[str, Any] = {
            "tokenizer": fingerprint,
            "extra": {HIGHEST_ID: highest[0]} if fingerprint is None else None,
            "num_ids": limit,
            "tokenizer_json": to_keep,
            "again": options.again,
        }
        if options.reference:
            snapshot = catalog.publish_reference(name, path, **said)
        else:
            snapshot = catalog.publish_directory(name, Path(source), **said)
    return Published(snapshot, None)


def written_dtype(folder: MdsFolder, column: TokenColumn) -> str | None:
    """The dtype of a folder whose layout is a stream's own: one column of rows of one length; None for another layout."""
    kinds = {tuple(shard.columns.items()) for shard in folder.shards}
    return next(
        (dtype for dtype in mds.DTYPES if kinds == {(("tokens", mds.tokens_encoding(dtype, column.seq_len)),)}), None
    )


def resolve_tokenizer(
    catalog: Catalog, name: str, stream: Schema | None, tokenizer: str | None
) -> tuple[str | None, int | None, str | None]:
    """(fingerprint, ids, text still to be kept) of a fingerprint or a tokenizer.json; no ids where the root lacks it.

    Raises: StreamError for a stream whose tokenizer was not named, and for a fingerprint that nobody knows; CorpusError.
    """
    if tokenizer is None:
        if stream is not None and stream.tokenizer is not None:
            raise StreamError(
                f"stream {name} holds samples of tokenizer {stream.tokenizer}, and MDS does not say its tokenizer; add "
                f"--tokenizer {stream.tokenizer} if that is the one"
            )
        return None, None, None
    if Path(tokenizer).is_file():
        text = read_text(tokenizer)
        found = describe(text, name=f"tokenizer {tokenizer}")
        return found.fingerprint, found.vocabulary, text
    if catalog.store.get(f"tokenizers/{tokenizer}.json") is not None:
        return tokenizer, highest_id(catalog.load_tokenizer(tokenizer)) + 1, None
    if stream is not None and stream.tokenizer == tokenizer:
        return tokenizer, None, None
    raise StreamError(
        f"tokenizer {tokenizer} is neither a file nor a fingerprint under {catalog.store.url}; give its tokenizer.json"
    )
