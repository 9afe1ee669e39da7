"""Everything under one root: streams, their snapshots, parts and documents.

Always holds:
- a part becomes visible by the one entry that names it, whole and verified, or not at all;
- a snapshot, once seen, can be had again by its number.
"""

import fnmatch
import functools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from streamer.catalog import parts
from streamer.catalog.manifest import (
    HIGHEST_ID,
    Manifest,
    PartFile,
    PartInfo,
    Schema,
    Shard,
    Snapshot,
    StreamInfo,
    condemned_body,
    created_body,
    part_body,
    read_schema,
)
from streamer.catalog.names import check_glob, check_stream_name
from streamer.catalog.redaction import RULES, WORDS, Redacted, Rule, read_rules, refuse_redacted
from streamer.catalog.references import check_reference, open_reference
from streamer.catalog.registry import NAMES_FORMAT, log_of, names_in
from streamer.catalog.shard_rows import iterate_folder, iterate_shard
from streamer.documents.document import Document
from streamer.errors import LogError, PartError, StreamError
from streamer.mds import layout as mds
from streamer.mds.folder import INDEX, MdsFolder
from streamer.store.entries import RESTORE
from streamer.store.log import Bodies, Body, Log
from streamer.store.object_store import ObjectStore
from streamer.store.roots import open_store
from streamer.store.store import Store
from streamer.wording import did_you_mean, listed

if TYPE_CHECKING:
    from tokenizers import Tokenizer

REMOTE_THREADS = 8
Decide = Callable[[Bodies], dict[str, Any] | None]
T = TypeVar("T")


class Catalog:
    """Streams under a root: a path, an object-store address, or a store.

    An absent or empty root is created by the first write.
    """

    def __init__(self, root: str | Path | Store) -> None:
        self.store = open_store(root)
        self._logs: dict[str, Log] = {}
        self._manifests: dict[str, Manifest] = {}
        self.compacted = set[str]()  # names of the streams, as far as they were read, whose files may lack what is redacted

    def __reduce__(self) -> tuple[type["Catalog"], tuple[Store]]:
        return Catalog, (self.store,)

    def log(self, name: str) -> Log:
        """The log of that name; one object per name, so that it is read incrementally."""
        return self._logs.setdefault(name, Log(self.store, name))

    # names

    def names(self, kind: str) -> list[str]:
        """Names of `kind` (streams, mixtures, runs), in the order of their registration."""
        return names_in(self.log(log_of(kind)).read())

    def register(self, kind: str, name: str) -> None:
        """Notes a name, once, so that nothing ever needs listing."""

        def decide(bodies: Bodies) -> Body | None:
            return None if name in names_in(bodies) else {"format": NAMES_FORMAT, "name": name}

        self.log(log_of(kind)).append(decide)

    # streams

    def stream_log(self, name: str) -> Log:
        return self.log(f"streams/{check_stream_name(name)}/_log")

    def manifest(self, name: str) -> Manifest:
        """What the stream's log says, as far as it was read; one object per name, like the log."""
        return self._manifests.setdefault(name, Manifest(name, self.stream_log(name)))

    def _read_manifest(self, name: str) -> Manifest:
        """The stream's manifest with everything that its log says now."""
        return self._take_manifest(name, self.stream_log(name).read())

    def _take_manifest(self, name: str, bodies: Bodies) -> Manifest:
        manifest = self.manifest(name)
        try:
            manifest.take(bodies)
        except BaseException:
            self._manifests.pop(name, None)  # an interrupt may have left an entry half taken in
            raise
        if manifest.compacted and manifest.redactions:
            self.compacted.add(name)
        return manifest

    def has_moved(self, names: Iterable[str]) -> bool:
        """Reads the logs of streams, and says whether a compaction gave parts new places since they were read last."""
        before = {name: self.manifest(name).compacted_by for name in names}
        return before != {name: self._read_manifest(name).compacted_by for name in before}

    def part_now(self, name: str, part: PartInfo) -> PartInfo:
        """A part as its stream's log has it by now."""
        return self._read_manifest(name).part_of(part.number)

    def of_part(self, name: str, part: PartInfo, read: Callable[[PartInfo], T]) -> T:
        """What `read` returns of a part, as `follow` does, wherever the part lies by now."""
        return self.follow([name], lambda: read(self.manifest(name).part_of(part.number)))

    def follow(self, names: Iterable[str], read: Callable[[], T]) -> T:
        """What `read` returns; it is called again where it raises PartError and a compaction moved parts of the streams."""
        try:
            return read()
        except PartError:
            if not self.has_moved(names):
                raise
            return read()

    def stream(self, name: str, number: int | None = None) -> Snapshot:
        """The stream now, or its snapshot `number`. Raises: StreamError for one that is absent, LogError."""
        manifest = self._take_manifest(name, self.stream_log(name).known())
        if number is None or manifest.length < max(1, number):
            manifest = self._read_manifest(name)
        wanted = manifest.length if number is None else number
        if manifest.schema is not None and wanted > manifest.length:
            raise LogError(
                f"{manifest.log.key(manifest.length)} is missing: the log of stream {name} had {wanted:,} entries and now "
                f"has {manifest.length:,}; {RESTORE}"
            )
        if manifest.schema is None:
            names = sorted(self.names("streams"))
            have, near = listed(names) or "none yet", did_you_mean(name, names)
            said = f"has no snapshot {wanted or 1}" if name in names else "does not exist"
            raise StreamError(f"stream {name} {said} under {self.store.url}; streams there: {have}{near}")
        return manifest.snapshot(wanted)

    def snapshots(self, names: Sequence[str]) -> list[Snapshot]:
        """The streams now, in this order; an object store is asked for several at once."""
        if len(names) < 2 or not isinstance(self.store, ObjectStore):
            return [self.stream(name) for name in names]
        with ThreadPoolExecutor(REMOTE_THREADS) as threads:
            return list(threads.map(self.stream, names))

    def streams(self, glob: str = "*") -> list[StreamInfo]:
        """One line a stream, sorted by name."""
        return [
            StreamInfo(
                name=snapshot.name,
                kind=snapshot.kind,
                parts=len(snapshot.parts),
                samples=snapshot.samples,
                tokens=snapshot.tokens,
                seq_len=snapshot.seq_len,
                dtype=snapshot.dtype,
                tokenizer=snapshot.tokenizer,
            )
            for snapshot in self.match(glob)
        ]

    def match(self, glob: str) -> list[Snapshot]:
        """Snapshots now of the streams that a glob matches (`*` also crosses `/`), sorted by name."""
        found = []
        for name in self.match_names(glob):
            manifest = self._read_manifest(name)
            if manifest.schema is not None:
                found.append(manifest.snapshot(manifest.length))
        return found

    def match_names(self, glob: str) -> list[str]:
        """Names that a glob matches, sorted; those too of streams whose first part was never named by an entry."""
        check_glob(glob)
        return sorted(name for name in self.names("streams") if fnmatch.fnmatchcase(name, glob))

    def create_stream(self, name: str, *, seq_len: int, dtype: str = "uint16", tokenizer: str | None = None) -> Snapshot:
        """Makes an empty stream of tokens. Raises: StreamError when it exists with another shape."""
        schema = token_schema(name, seq_len, dtype, tokenizer)

        def decide(bodies: Bodies) -> Body | None:
            parts.check_fits(name, read_schema(name, bodies), schema)
            return None if bodies else created_body(schema)

        log = self.stream_log(name)
        self.register("streams", name)
        log.append(decide)
        return self.stream(name)

    def append(
        self,
        name: str,
        rows: Iterable[npt.NDArray[Any]],
        *,
        seq_len: int,
        dtype: str = "uint16",
        tokenizer: str | None = None,
        documents: list[dict[str, Any]] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> Snapshot:
        """Publishes rows of `(seq_len,)` token ids as one part, by one entry, and returns the new snapshot.

        `documents` are sidecar rows (sample, start, end, document, ...). Raises: StreamError, PartError, StoreError; the
        stream is then as it was, except after an UnknownOutcomeError: look at the stream before appending again.
        """
        found = self.append_when(
            name, rows, seq_len=seq_len, dtype=dtype, tokenizer=tokenizer, documents=documents,
            decide=lambda _: extra or {},
        )  # fmt: skip
        assert found is not None
        return found

    def append_when(
        self,
        name: str,
        rows: Iterable[npt.NDArray[Any]],
        *,
        seq_len: int,
        decide: Decide,
        dtype: str = "uint16",
        tokenizer: str | None = None,
        documents: list[dict[str, Any]] | None = None,
        files: dict[str, Path] | None = None,
    ) -> Snapshot | None:
        """As `append`, but only if `decide` of all bodies of the log gives an `extra`; None leaves nothing behind.

        `decide` is called again whenever another writer was first. `files` go beside the shards, by name.
        """
        schema = token_schema(name, seq_len, dtype, tokenizer)
        parts.check_fits(name, read_schema(name, self.stream_log(name).read()), schema)
        table = stack_rows(name, rows, seq_len, dtype)
        ids = {} if tokenizer is not None else {HIGHEST_ID: int(table.max())}

        def noted(bodies: Bodies) -> dict[str, Any] | None:
            extra = decide(bodies)
            return None if extra is None else ids | extra

        with parts.folder_aside() as aside:
            mds.write_shards(table, aside)
            shards = parts.verify_folder(MdsFolder(aside), schema)
            return self._publish(name, Sealed(schema, shards, aside, documents, files), noted)

    def publish_directory(
        self,
        name: str,
        path: Path,
        *,
        tokenizer: str | None = None,
        documents: list[dict[str, Any]] | None = None,
        extra: dict[str, Any] | None = None,
        num_ids: int | None = None,
        tokenizer_json: str | None = None,
        again: bool = False,
        unless: Callable[[Bodies], bool] | None = None,
    ) -> Snapshot:
        """Publishes a sealed folder of MDS, written by anyone, as one part.

        `num_ids`: how many the tokenizer has, where ids are to be held to it. `tokenizer_json`: the tokenizer, where the
        root is to keep it. `again`: also shards that the stream has already. `unless`: says of the stream's log that it has
        this part already, in place of a look at the shards; the stream then stays as it is. Raises: AlreadyPublishedError,
        PartError, StreamError, StoreError; the stream is then as it was.
        """
        sealed = self._seal(name, MdsFolder(path), tokenizer, num_ids)
        return self._publish_once(
            name, sealed._replace(folder=path, documents=documents), extra or {}, tokenizer_json, again, unless
        )

    def publish_reference(
        self,
        name: str,
        place: str | Path,
        *,
        tokenizer: str | None = None,
        extra: dict[str, Any] | None = None,
        num_ids: int | None = None,
        tokenizer_json: str | None = None,
        again: bool = False,
    ) -> Snapshot:
        """Registers a sealed folder of MDS by its address, a path or an object-store address; nothing is copied.

        The folder stays its owner's: nothing is ever written or deleted there, and readers need it where it is. The rest
        is as with `publish_directory`.
        """
        address = check_reference(self.store, place)
        folder = MdsFolder(open_reference(address))
        sealed = self._seal(name, folder, tokenizer, num_ids)
        sealed = sealed._replace(reference=address, index_data=folder.index)
        return self._publish_once(name, sealed, extra or {}, tokenizer_json, again)

    def _seal(self, name: str, folder: MdsFolder, tokenizer: str | None, num_ids: int | None) -> "Sealed":
        check_stream_name(name)
        schema = parts.schema_of(folder, tokenizer)
        parts.check_fits(name, read_schema(name, self.stream_log(name).read()), schema)
        return Sealed(schema, parts.verify_folder(folder, schema, num_ids=num_ids))

    def _publish_once(
        self,
        name: str,
        sealed: "Sealed",
        extra: dict[str, Any],
        tokenizer_json: str | None,
        again: bool,
        unless: Callable[[Bodies], bool] | None = None,
    ) -> Snapshot:
        def decide(bodies: Bodies) -> dict[str, Any] | None:
            if unless is not None:
                return None if unless(bodies) else extra
            if not again:
                manifest = self.manifest(name)
                manifest.take(bodies)
                parts.refuse_again(name, sealed.shards, manifest.snapshot(manifest.length) if manifest.schema else None)
            return extra

        if decide(self.stream_log(name).read()) is None:  # before anything is stored
            return self.stream(name)
        if tokenizer_json is not None:
            self.put_tokenizer(tokenizer_json)
        return self._publish(name, sealed, decide) or self.stream(name)

    def _publish(self, name: str, sealed: "Sealed", decide: Decide) -> Snapshot | None:
        if sealed.folder is not None:
            parts.check_space(self.store, sum(shard.size_bytes for shard in sealed.shards))
        self.register("streams", name)  # before anything lies there, so that what a crash leaves can be named
        while True:
            part_id, beside = self._store(name, sealed)
            sidecar = parts.SIDECAR if sealed.documents is not None else None

            def entry(
                bodies: Bodies,
                part_id: str = part_id,
                sidecar: str | None = sidecar,
                beside: list[PartFile] = beside,
            ) -> Body | None:
                parts.check_fits(name, read_schema(name, bodies), sealed.schema)
                if any(body["event"] == "condemned" and body["part"] == part_id for body in bodies):
                    return None
                extra = decide(bodies)
                if extra is None:
                    return None
                refuse_redacted(self.redaction_rules(), sealed.rows())
                return part_body(part_id, sealed.schema, sealed.shards, sidecar, extra, beside, sealed.reference)

            appended = self.append_part(name, part_id, entry, is_same=is_same_part)
            if appended is not None:
                return self.stream(name, appended[0] + 1)
            if part_id not in self._read_manifest(name).condemned:
                return None

    def append_part(
        self,
        name: str,
        place: str,
        entry: Callable[[Bodies], Body | None],
        is_same: Callable[[Body, Body], bool] = operator.eq,
    ) -> tuple[int, Body] | None:
        """Appends the entry that names the files at a place, as `Log.append` does. Files that none names are removed."""
        remove = functools.partial(parts.remove_part, self.store, name, place)
        appended = self.stream_log(name).append(entry, undo=remove, is_same=is_same)
        if appended is None or (appended[1].get("place") or appended[1]["part"]) != place:
            remove()
        return appended

    def _store(self, name: str, sealed: "Sealed") -> tuple[str, list[PartFile]]:
        """Puts a part's files under a new id, unless they stay where they are; the id, and what lies beside the shards."""
        if sealed.folder is None:
            return parts.new_part_id(), [parts.describe_bytes(INDEX, sealed.index_data)]
        return parts.store_part(self.store, name, sealed.folder, sealed.shards, sealed.documents, sealed.files or {})

    # documents, tokenizers, garbage

    def documents(self, name: str, *, wanted: Callable[[PartInfo], bool] = lambda part: True) -> Iterator[Document]:
        """The documents of a document stream that are not redacted, in order, of the parts that are wanted.

        Raises: StreamError for a stream of tokens.
        """
        snapshot = self.stream(name)
        if snapshot.kind != "documents":
            raise StreamError(f"stream {name} holds tokens; name a documents/* stream")
        manifest, redacted, length = self.manifest(name), Redacted([], {}), 0
        for part in filter(wanted, snapshot.parts):
            if manifest.length != length:  # others may read on meanwhile, and a part then lie where its text is gone
                length = manifest.length
                redacted = manifest.redacted(length)
            rows = (row for shard in part.shards for row in iterate_shard(self.store, part, shard))
            for number, row in enumerate(rows):
                if redacted and redacted.has(part.number, number):
                    continue
                row["score"] = None if math.isnan(row["score"]) else row["score"]
                yield msgspec.convert(row, Document)

    def redacted(self, name: str, number: int | None = None) -> Redacted:
        """What the first `number` entries of a stream's log redact (None: all entries). Raises: StreamError, LogError."""
        snapshot = self.stream(name, number)
        return self.manifest(name).redacted(snapshot.number)

    def redaction_rules(self) -> list[Rule]:
        """The rules by which documents were redacted under this root."""
        return read_rules(self.log(RULES).read())

    def put_tokenizer(self, json_text: str) -> str:
        """Keeps a tokenizer.json under the root, once, and returns its fingerprint."""
        canonical = msgspec.json.encode(msgspec.json.decode(json_text), order="sorted")
        fingerprint = fingerprint_of(canonical)
        self.store.put_if_absent(f"tokenizers/{fingerprint}.json", canonical)
        return fingerprint

    def load_tokenizer(self, fingerprint: str | None) -> "Tokenizer":
        """Raises: StreamError when the root does not have it."""
        from streamer.packing.tokenizer import parse

        return parse(self.tokenizer_text(fingerprint), name=f"tokenizer {fingerprint}")

    def tokenizer_text(self, fingerprint: str | None) -> str:
        """The tokenizer.json of a fingerprint. Raises: StreamError when the root does not have it, or it is damaged."""
        key = f"tokenizers/{fingerprint}.json"
        data = self.store.get(key)
        if data is None:
            raise StreamError(f"tokenizer {fingerprint} is not under {self.store.url}; publish with a tokenizer.json")
        found = fingerprint_of(data)
        if found != fingerprint:
            raise StreamError(f"{key} is damaged: the fingerprint of its bytes is {found}; {RESTORE}")
        return data.decode()

    def garbage(self, name: str) -> list[str]:
        """Ids of parts that lie in the store but are named by no entry."""
        prefix = f"streams/{name}/_parts/"
        lying = {key[len(prefix) :].split("/")[0] for key in self.store.list(prefix)}
        manifest = self._read_manifest(name)
        return sorted(lying - manifest.places)

    def remove_garbage(self, name: str, part_id: str) -> bool:
        """Condemns a part that no entry names, then deletes it; False when an entry names it after all.

        What a part that was compacted left behind needs no entry.
        """
        manifest = self._read_manifest(name)
        if part_id in manifest.compacted and part_id not in manifest.places:
            parts.remove_part(self.store, name, part_id)
            return True

        def decide(bodies: Bodies) -> Body | None:
            return (
                None if any(part_id in (body.get("part"), body.get("place")) for body in bodies) else condemned_body(part_id)
            )

        log = self.stream_log(name)
        log.append(decide)
        if part_id in self._read_manifest(name).places:
            return False
        parts.remove_part(self.store, name, part_id)
        return True


class Sealed(NamedTuple):
    """What is to become a part: verified shards in a folder of this machine, or in one that is registered by address."""

    schema: Schema
    shards: list[Shard]
    folder: Path | None = None
    documents: list[dict[str, Any]] | None = None
    files: dict[str, Path] | None = None
    reference: str | None = None
    index_data: bytes = b""

    def rows(self) -> Iterable[Mapping[str, Any]]:
        """What it says of its documents, as far as it does."""
        if self.schema.kind == "tokens":
            return self.documents or ()
        place = self.folder if self.reference is None else open_reference(self.reference)
        return () if place is None else iterate_folder(MdsFolder(place), WORDS.values())


def is_same_part(written: Body, asked: Body) -> bool:
    """Whether an entry names the same rows as another, whatever id each gives the part."""
    return {**written, "part": ""} == {**asked, "part": ""}


def fingerprint_of(tokenizer: bytes) -> str:
    """What a canonical tokenizer.json is called by."""
    return f"bpe-{xxhash.xxh3_128_hexdigest(tokenizer)[:16]}"


def token_schema(name: str, seq_len: int, dtype: str, tokenizer: str | None) -> Schema:
    check_stream_name(name)
    if dtype not in mds.DTYPES:
        raise StreamError(f"stream {name}: dtype {dtype} is not one of {', '.join(mds.DTYPES)}")
    if seq_len < 1:
        raise StreamError(f"stream {name}: seq_len {seq_len} is below 1")
    return Schema(kind="tokens", seq_len=seq_len, dtype=dtype, tokenizer=tokenizer)


def stack_rows(name: str, rows: Iterable[npt.NDArray[Any]], seq_len: int, dtype: str) -> npt.NDArray[Any]:
    """(samples, seq_len) of `dtype`. Raises: StreamError for no rows, another length, or ids that do not fit."""
    stacked = [np.asarray(row) for row in rows]
    if not stacked:
        raise StreamError(f"stream {name}: a part needs at least one row")
    for index, row in enumerate(stacked):
        if row.shape != (seq_len,):
            raise StreamError(f"stream {name}: row {index} has shape {row.shape}, seq_len is {seq_len}; pack it again")
    table: npt.NDArray[Any] = np.stack(stacked)
    limit = np.iinfo(dtype).max
    if table.dtype != np.dtype(dtype):
        if table.dtype.kind not in "iu" or table.min() < 0 or table.max() > limit:
            raise StreamError(f"stream {name}: ids from {table.min()} to {table.max()} do not fit {dtype}; use uint32")
        table = table.astype(dtype)
    return table
