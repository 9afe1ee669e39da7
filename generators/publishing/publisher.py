"""Accepted files to parts of a synthetic stream, each file exactly once.

Always holds: a job's identity is committed in the one entry that names the part its file lies in; a part that would hold
an identity which the log already has is never appended, whoever wrote that entry and however often a result comes.

How: identities are checked against the whole log before packing, and again by the append itself after each lost race.
"""

from collections import Counter
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from generators.publishing.published_files import PublishedFiles
from generators.queue.job import AcceptedFile
from streamer.catalog.catalog import Catalog
from streamer.catalog.parts import folder_aside
from streamer.errors import StreamError
from streamer.packing.encoder import Ids, TextEncoder
from streamer.packing.packing import Packed, pack, sidecar_rows
from streamer.packing.tokenizer import end_of_document_id
from streamer.store.log import Bodies

FILES = "files.parquet"
MOST_PADDING = 1 / 20


class Publisher:
    """Publishes into one stream, whose seq_len, dtype and tokenizer it takes from the stream."""

    def __init__(self, catalog: Catalog, stream: str, published: PublishedFiles | None = None) -> None:
        self._catalog, self.stream = catalog, stream
        snapshot = catalog.stream(stream)
        if snapshot.tokenizer is None:
            raise StreamError(f"stream {stream} names no tokenizer, so nothing can be packed for it; use another root")
        self._seq_len, self._dtype = snapshot.seq_len or 0, snapshot.dtype or "uint16"
        self._fingerprint = snapshot.tokenizer
        tokenizer = catalog.load_tokenizer(snapshot.tokenizer)
        self._encoder, self._end = TextEncoder(tokenizer.to_str()), end_of_document_id(tokenizer)
        self.published = published or PublishedFiles(catalog, stream)
        self._ids: dict[str, Ids] = {}  # of files that wait, by identity

    def publish(
        self, files: list[AcceptedFile], *, overdue: bool = False, most: Mapping[str, int] | None = None
    ) -> set[str]:
        """Publishes the longest run of files, from the first, that packs well; when `overdue` and none does, all of them,
        the last sample then padded.

        Args: most, how many files of a purpose the stream may have; without bound for others.
        Returns: identities of `files` that are published now, by this call or before; the others wait for more files.
        Raises: StoreError, PartError; the stream is then as it was.
        """
        while True:
            self.published.refresh()
            done = self.published.identities.among(file.identity for file in files)
            waiting = list({file.identity: file for file in files if file.identity not in done}.values())
            chosen, packed = self._choose(self._within(waiting, most or {}), overdue=overdue)
            if not chosen or self._append(chosen, packed, most or {}):
                return done | {file.identity for file in chosen}

    def _within(self, files: list[AcceptedFile], most: Mapping[str, int]) -> list[AcceptedFile]:
        """The files that their purposes still want, first ones first."""
        counts, found = self.published.by_purpose.copy(), []
        for file in files:
            if file.purpose not in most or counts[file.purpose] < most[file.purpose]:
                counts[file.purpose] += 1
                found.append(file)
        return found

    def _choose(self, files: list[AcceptedFile], *, overdue: bool) -> tuple[list[AcceptedFile], Packed]:
        """The longest run of files from the first whose padding is at most a twentieth, or else all when overdue."""
        ids = self._encode(files)
        totals = list(accumulate(len(part) + 1 for part in ids))
        fits = (number for number in range(len(files), 0, -1) if self._packs_well(totals[number - 1]))
        count = next(fits, len(files) if overdue else 0)
        packed = pack(ids[:count], seq_len=self._seq_len, dtype=self._dtype, end_of_document_id=self._end)
        return files[:count], packed

    def _packs_well(self, tokens: int) -> bool:
        return -tokens % self._seq_len <= tokens * MOST_PADDING

    def _encode(self, files: list[AcceptedFile]) -> list[Ids]:
        """The token ids of each file, which are kept as long as it waits."""
        new = [file for file in files if file.identity not in self._ids]
        encoded = self._encoder.encode([file.document.text for file in new])
        self._ids |= {file.identity: ids for file, ids in zip(new, encoded, strict=True)}
        self._ids = {file.identity: self._ids[file.identity] for file in files}
        return list(self._ids.values())

    def _append(self, files: list[AcceptedFile], packed: Packed, most: Mapping[str, int]) -> bool:
        """One attempt; False, and nothing is left behind, where a race was lost to one of these files."""
        mine = [file.identity for file in files]
        documents = [file.document for file in files]
        extra = {
            "jobs": mine,
            "purposes": dict(Counter(file.purpose for file in files)),
            "recipes": dict(Counter(file.origin.recipe for file in files)),
            "costs": self._costs(files),
            "files": FILES,
            "tokens": packed.tokens,
            "padding_tokens": packed.padding_tokens,
        }

        def decide(bodies: Bodies) -> dict[str, Any] | None:
            self.published.note(bodies)
            is_late = self.published.identities.among(mine) or len(self._within(files, most)) < len(files)
            return None if is_late else extra

        with folder_aside() as aside:
            path = aside / FILES
            pq.write_table(table_of(files), path, compression="zstd")
            found = self._catalog.append_when(
                self.stream,
                packed.rows,
                seq_len=self._seq_len,
                dtype=self._dtype,
                tokenizer=self._fingerprint,
                documents=sidecar_rows(packed, documents),
                files={FILES: path},
                decide=decide,
            )
        return found is not None

    def _costs(self, files: list[AcceptedFile]) -> dict[str, tuple[int, int]]:
        """Of each recipe the tokens that engines wrote, and those that are published."""
        written, published = Counter[str](), Counter[str]()
        for file in files:
            written[file.origin.recipe] += file.origin.tokens
            published[file.origin.recipe] += len(self._ids[file.identity]) + 1
        return {recipe: (written[recipe], published[recipe]) for recipe in published}


def table_of(files: list[AcceptedFile]) -> pa.Table:
    """The files that a part was packed from, a row each: the columns of a document, and `origin` as JSON."""
    rows = [{**msgspec.to_builtins(file.document), "origin": msgspec.json.encode(file.origin).decode()} for file in files]
    return pa.Table.from_pylist(rows)
