"""Packs the samples under a root again, into samples of another length, without the sources.

Always holds:
- a stream that is packed again has the documents of its origin in the same order, with the same tokens, scores and
  repositories; of a corpus that `corpus ingest` built it has the very bytes that an ingest at that length would have given;
- what exists is not changed, and no glob over it matches what is new: `raw/go` becomes `raw-512/go`, whose key is `go` too;
- each part of the origin is packed again once, whoever tries and however often: the entry of the new part names it.

How: the sidecar of a part says which tokens are whose, so that the text is not needed. Held-out documents have none here.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from streamer.catalog import parts
from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo, Snapshot
from streamer.catalog.names import kind_of, packed_again
from streamer.catalog.redaction import Span
from streamer.catalog.shard_rows import iterate_shard
from streamer.corpus.parts.publication import KINDS
from streamer.corpus.progress import Report, silent
from streamer.documents.document import Document
from streamer.errors import CorpusError
from streamer.packing import tokenizer as tokenizers
from streamer.packing.packing import pack, sidecar_rows
from streamer.store.log import Bodies

ORIGIN = "packed_again_from"
SHORTEST, LONGEST = 2, 1 << 20


class Repacked(msgspec.Struct, frozen=True, kw_only=True):
    """A stream of samples of the new length. `new_parts`: how many of its parts were written now."""

    stream: str
    origin: str
    samples: int
    tokens: int
    new_parts: int


def repack(catalog: Catalog, seq_len: int, *, glob: str | None = None, progress: Report = silent) -> Iterator[Repacked]:
    """Packs the streams of the corpus again, or those that a glob matches; a stream comes when it is whole.

    Args: seq_len, tokens of a sample; progress, called with (step, tokens done, of how many).
    Raises: CorpusError, before anything is written, for what cannot be packed again; StreamError, PartError, StoreError.
    """
    if not SHORTEST <= seq_len <= LONGEST:
        raise CorpusError(f"--seq-len {seq_len} is not in {SHORTEST}..{LONGEST}; give a length within these bounds")
    streams = choose_streams(catalog, glob)
    ends = {snapshot.name: check_stream(catalog, snapshot, seq_len) for snapshot in streams}
    return _repack(catalog, streams, ends, seq_len, progress)


def choose_streams(catalog: Catalog, glob: str | None) -> list[Snapshot]:
    """Streams of tokens that were not packed again themselves. Raises: CorpusError when there is none."""
    found = [
        snapshot
        for snapshot in catalog.match("*" if glob is None else glob)
        if snapshot.kind == "tokens" and snapshot.samples and kind_of(snapshot.name) == snapshot.name.split("/")[0]
    ]
    if glob is None:
        found = [snapshot for snapshot in found if kind_of(snapshot.name) in KINDS]
    if not found:
        what = "corpus" if glob is None else f"stream with samples that matches {glob!r}"
        raise CorpusError(
            f"root {catalog.store.url} has no {what} to pack again; `phasemix streams list` shows what is "
            "there, and `phasemix corpus ingest` builds a corpus"
        )
    return found


def check_stream(catalog: Catalog, snapshot: Snapshot, seq_len: int) -> int:
    """The id of the end of a document in a stream. Raises: CorpusError when it cannot be packed again, StreamError."""
    name = snapshot.name
    if snapshot.seq_len == seq_len:
        raise CorpusError(f"stream {name} has samples of {seq_len} tokens already; give another --seq-len or leave it out")
    if snapshot.tokenizer is None:
        raise CorpusError(
            f"stream {name} names no tokenizer, so where its documents end is not known; leave it out with --streams"
        )
    for part in snapshot.parts:
        if part.sidecar is None:
            where = f"is at {part.reference}" if part.reference else "was published as samples"
            raise CorpusError(
                f"part {part.number} of stream {name} {where}, without its documents; publish the documents, or leave the "
                "stream out with --streams"
            )
    return tokenizers.end_of_document_id(catalog.load_tokenizer(snapshot.tokenizer))


def _repack(
    catalog: Catalog, streams: list[Snapshot], ends: dict[str, int], seq_len: int, progress: Report
) -> Iterator[Repacked]:
    done, total = 0, sum(snapshot.tokens for snapshot in streams)
    for snapshot in streams:
        name, new_parts = packed_again(snapshot.name, seq_len), 0
        for part in snapshot.parts:
            progress("repack", done, total)
            new_parts += repack_part(catalog, snapshot, part, name, seq_len, ends[snapshot.name])
            done += part.samples * (snapshot.seq_len or 0)
        progress("repack", done, total)
        found = catalog.stream(name)
        yield Repacked(stream=name, origin=snapshot.name, samples=found.samples, tokens=found.tokens, new_parts=new_parts)


def repack_part(catalog: Catalog, snapshot: Snapshot, part: PartInfo, name: str, seq_len: int, end: int) -> bool:
    """Packs a part again as one part of the stream `name`, unless that has it already."""
    origin = {"stream": snapshot.name, "part": part.part_id}

    def decide(bodies: Bodies) -> dict[str, Any] | None:
        there = any(body["event"] == "part" and body["extra"].get(ORIGIN) == origin for body in bodies)
        return None if there else {ORIGIN: origin}

    if decide(catalog.stream_log(name).read()) is None:
        return False
    assert snapshot.dtype is not None
    spans = parts.read_sidecar(catalog.store, part).to_pylist()
    documents, ids = unpack(read_rows(catalog, part), spans, end_of_document_id=end)
    redacted = catalog.redacted(snapshot.name)
    if redacted:
        gone = {
            span["document"]
            for span in spans
            if redacted.covers(part.number, Span(span["sample"], span["start"], span["end"]))
        }
        kept = [place for place, document in enumerate(documents) if document.document not in gone]
        documents, ids = [documents[place] for place in kept], [ids[place] for place in kept]
        if not documents:
            return False
    packed = pack(ids, seq_len=seq_len, dtype=snapshot.dtype, end_of_document_id=end)
    appended = catalog.append_when(
        name,
        packed.rows,
        seq_len=seq_len,
        dtype=snapshot.dtype,
        tokenizer=snapshot.tokenizer,
        documents=sidecar_rows(packed, documents),
        decide=decide,
    )
    return appended is not None


def unpack(
    rows: npt.NDArray[Any], spans: list[dict[str, Any]], *, end_of_document_id: int
) -> tuple[list[Document], list[npt.NDArray[Any]]]:
    """The documents in rows of samples, in their order and without their text, and the ids of each without its last one.

    Args: rows, (samples, seq_len); spans, the rows of their sidecar. The last id is kept where it ends no document.
    """
    documents: list[Document] = []
    pieces: list[list[npt.NDArray[Any]]] = []
    before: dict[str, Any] = {}
    for span in sorted(spans, key=lambda span: (span["sample"], span["start"])):
        if not continues(before, span, rows.shape[1]):
            documents.append(document_of(span))
            pieces.append([])
        pieces[-1].append(rows[span["sample"], span["start"] : span["end"]])
        before = span
    joined = [np.concatenate(one) for one in pieces]
    return documents, [ids[:-1] if ids.size and ids[-1] == end_of_document_id else ids for ids in joined]


def continues(before: dict[str, Any], span: dict[str, Any], seq_len: int) -> bool:
    """Whether a span goes on with the document of the one before it, which was cut at the end of its sample."""
    return (
        bool(before)
        and before["document"] == span["document"]
        and (before["sample"] + 1, before["end"], span["start"]) == (span["sample"], seq_len, 0)
    )


def document_of(span: dict[str, Any]) -> Document:
    names = ("document", "repository", "path", "license", "language")
    return Document(text="", score=span["score"], **{name: span[name] for name in names})


def read_rows(catalog: Catalog, part: PartInfo) -> npt.NDArray[Any]:
    """(samples, seq_len) of a part. Raises: PartError for a shard that is missing or damaged."""
    shards = (iterate_shard(catalog.store, part, shard, {"tokens"}) for shard in part.shards)
    return np.stack([row["tokens"] for rows in shards for row in rows])


def unpacked_documents(catalog: Catalog, stream: str, part: PartInfo) -> Iterator[Document]:
    """The documents of a part of samples, with the text that their tokens stand for."""
    name = catalog.stream(stream).tokenizer
    if name is None:
        return
    tokenizer = catalog.load_tokenizer(name)
    spans = parts.read_sidecar(catalog.store, part).to_pylist()
    end = tokenizers.end_of_document_id(tokenizer)
    for document, ids in zip(*unpack(read_rows(catalog, part), spans, end_of_document_id=end), strict=True):
        yield msgspec.structs.replace(document, text=tokenizer.decode(ids.tolist(), skip_special_tokens=False))
