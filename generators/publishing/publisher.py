"""Accepted files to parts of a synthetic stream, each file exactly once.

Always holds: a job's identity is committed in the one entry that names the part its file lies in; a part that would hold
an identity which the log already has is never appended, whoever wrote that entry and however often a result comes.

How: identities are checked against the whole log before packing, and again by the append itself after each lost race.
"""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from generators.publishing.published_files import PublishedFiles
from generators.queue.job import AcceptedFile
from streamer.catalog.catalog import Catalog
from streamer.errors import StreamError
from streamer.packing.packing import Packed, pack, sidecar_rows
from streamer.packing.tokenizer import end_of_document_id
from streamer.store.log import Bodies

FILES = "files.parquet"
MOST_PADDING = 1 / 20


class Publisher:
    """Publishes into one stream, whose seq_len, dtype and tokenizer it takes from the stream."""

    def __init__(self, catalog: Catalog, stream: str) -> None:
        self._catalog, self.stream = catalog, stream
        snapshot = catalog.stream(stream)
        if snapshot.tokenizer is None:
            raise StreamError(f"stream {stream} names no tokenizer, so nothing can be packed for it; use another root")
        self._seq_len, self._dtype = snapshot.seq_len or 0, snapshot.dtype or "uint16"
        self._fingerprint = snapshot.tokenizer
        self._tokenizer = catalog.load_tokenizer(snapshot.tokenizer)
        self._end = end_of_document_id(self._tokenizer)
        self.published = PublishedFiles(catalog, stream)

    def publish(self, files: list[AcceptedFile], *, overdue: bool = False) -> set[str]:
        """Publishes what packs well; all of it when `overdue`, the last sample then padded.

        Returns: identities of `files` that are published now, by this call or before; the others wait for more files.
        Raises: StoreError, PartError; the stream is then as it was.
        """
        while True:
            self.published.refresh()
            done = self.published.identities
            waiting = list({file.identity: file for file in files if file.identity not in done}.values())
            chosen, packed = self._choose(waiting, overdue=overdue)
            if not chosen:
                return done & {file.identity for file in files}
            self._append(chosen, packed)

    def _choose(self, files: list[AcceptedFile], *, overdue: bool) -> tuple[list[AcceptedFile], Packed]:
        """The longest run of files from the first whose padding is at most a twentieth, or all when overdue."""
        ids = [self._tokenizer.encode(file.document.text, add_special_tokens=False).ids for file in files]
        lengths = [len(part) + 1 for part in ids]
        count = len(files) if overdue else 0
        for number in range(len(files), 0, -1):
            if count:
                break
            total = sum(lengths[:number])
            if -total % self._seq_len <= total * MOST_PADDING:
                count = number
        packed = pack(ids[:count], seq_len=self._seq_len, dtype=self._dtype, end_of_document_id=self._end)
        return files[:count], packed

    def _append(self, files: list[AcceptedFile], packed: Packed) -> None:
        """One attempt; a race that was lost to one of these files leaves nothing behind."""
        mine = [file.identity for file in files]
        documents = [file.document for file in files]
        extra = {
            "jobs": mine,
            "purposes": [file.purpose for file in files],
            "recipes": dict(Counter(file.origin.recipe for file in files)),
            "files": FILES,
            "tokens": packed.tokens,
            "padding_tokens": packed.padding_tokens,
        }

        def decide(bodies: Bodies) -> dict[str, Any] | None:
            self.published.note(bodies)
            return None if self.published.identities & set(mine) else extra

        with tempfile.TemporaryDirectory(prefix="phasemix-files-") as aside:
            path = Path(aside) / FILES
            pq.write_table(table_of(files), path, compression="zstd")
            self._catalog.append_when(
                self.stream,
                packed.rows,
                seq_len=self._seq_len,
                dtype=self._dtype,
                tokenizer=self._fingerprint,
                documents=sidecar_rows(packed, documents),
                files={FILES: path},
                decide=decide,
            )


def table_of(files: list[AcceptedFile]) -> pa.Table:
    """The files that a part was packed from, a row each: the columns of a document, and `origin` as JSON."""
    rows = [{**msgspec.to_builtins(file.document), "origin": msgspec.json.encode(file.origin).decode()} for file in files]
    return pa.Table.from_pylist(rows)
