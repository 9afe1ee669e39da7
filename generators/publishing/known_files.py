"""The files of one language that a written file must not nearly equal: the corpus's documents and the accepted ones.

Always holds: what is known is what the parts of three streams have (documents, held-out samples, accepted files) and what
this publisher has let through since; redacted documents and those of builds that were given up do not count; the rule is the
corpus's own. The index on disk is derived from whole parts and may be lost.

How: most of it lies in the node's cache, in one index a root and language, which is checked by the streams' entries and
extended under a lock. What is newer is in memory, at most `MOST_RECENT` files of parts. Long work is done in slices.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import compress, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from generators.publishing.publisher import FILES
from mixer.pool.files import KIND
from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo, Snapshot
from streamer.catalog.part_files import read_parquet
from streamer.catalog.redaction import merge
from streamer.corpus.parts.publication import BUILDS, given_up
from streamer.corpus.repacking import unpacked_documents
from streamer.documents.document import Document
from streamer.errors import PartError
from streamer.likeness.known_signatures import RECORD, KnownSignatures, Records, SignatureWriter, read_known
from streamer.likeness.near_duplicates import Duplicates, RecentSignatures, Signatures, band_keys, sign
from streamer.reading.cache import Cache
from streamer.reading.locks import hold, let_go, try_exclusive

MOST_RECENT = 1024
BATCH = 64
SAY_EVERY = 5000
DOCUMENTS, HELD_OUT, ACCEPTED = range(3)
T = TypeVar("T")
COLUMNS = ("document", "repository", "license")  # by which documents are redacted


class Signed(NamedTuple):
    """A document with its signature and the keys of its bands, the ids of the files on disk that it nearly equals, and its
    likeness to the nearest.
    """

    document: Document
    signature: Signatures
    keys: list[int]
    twins: list[str]
    likeness: float


class Nearest(NamedTuple):
    """The id of a known file that a document nearly equals, None where there is none or it is known itself; and which share
    of its runs of words the known file has that is most like it, as far as one has a band alike.
    """

    twin: str | None
    likeness: float


class Recent(NamedTuple):
    """A file that is not in the index on disk. `part`: the number of its part's entry, -1 for none yet."""

    record: Records
    signature: Signatures
    keys: list[int]
    stream: int
    part: int


class KnownFiles:
    """What is known of a language. `folder`: in which the indexes of a root lie."""

    def __init__(
        self,
        catalog: Catalog,
        language: str,
        rule: Duplicates,
        folder: Path,
        *,
        say: Callable[[str], None] = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog, self._language, self.rule, self._say, self._clock = catalog, language, rule, say, clock
        self._folder = folder / language
        with self._unusable():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._streams = tuple(f"{kind}/{language}" for kind in ("documents", "heldout", KIND))
        self._stored: KnownSignatures | None = None
        self._recent: dict[tuple[int, str], Recent] = {}
        self._bands = RecentSignatures(rule)
        self._names: list[str] = []  # in the order of `_bands`
        self._seen = [0, 0, 0]  # parts of each stream that are on disk or recent
        self._work: Iterator[bool] | None = None
        self._out: tuple[Any, npt.NDArray[np.bool_]] = None, np.zeros(0, np.bool_)
        self._reload()

    def is_ready(self, until_s: float) -> bool:
        """Takes in what the streams have beyond what is known, until a time of the clock; whether it is all."""
        if self._work is None:
            new = self._new_parts()
            in_parts = sum(recent.part >= 0 for recent in self._recent.values())
            if sum(size for *_, size in new) + in_parts <= MOST_RECENT:
                self._take_in(new)
                self._leave_out()
                return True
            self._work = self._store()
        for worked in self._work:
            if not worked or self._clock() >= until_s:
                return False
        self._work = None
        return self.is_ready(until_s)

    def sign(self, documents: list[Document]) -> list[Signed]:
        """Documents that are to be judged. What is let through meanwhile need not be signed anew."""
        signatures = sign([one.text for one in documents], [self._language] * len(documents), self.rule)
        twins: list[list[str]] = [[] for _ in documents]
        likeness = [0.0] * len(documents)
        if self._stored is not None:
            found = self._stored.find(signatures, self._language, self._out[1])
            likeness = found.likeness.tolist()
            names = self._stored.records["name"][found.known].tolist()
            for place, name in zip(found.asked.tolist(), names, strict=True):
                twins[place].append(name.decode(errors="replace"))
        return [Signed(*one) for one in zip(documents, signatures, self._keys(signatures), twins, likeness, strict=True)]

    def nearest(self, signed: Signed) -> Nearest:
        """What is known that is like a document."""
        own, near = name_of(signed.document.document), self._bands.near(signed.signature, signed.keys)
        found = [*signed.twins, *(self._names[place] for place in near.places)]
        return Nearest(None if not found or own in found else found[0], max(signed.likeness, near.likeness))

    def add(self, signed: Signed) -> None:
        """A document was let through."""
        document = signed.document
        key = ACCEPTED, name_of(document.document)
        if key not in self._recent:
            self._note(key, Recent(records_of([document], ACCEPTED, 0), signed.signature, signed.keys, ACCEPTED, -1))

    def forget(self, identities: set[str]) -> None:
        """Files that were let through are refused after all."""
        gone = [self._recent.pop((ACCEPTED, name), None) for name in map(name_of, identities)]
        if any(gone):
            self._keep_recent([True] * len(self._recent))

    # what is recent

    def _note(self, key: tuple[int, str], recent: Recent) -> None:
        self._recent[key] = recent
        self._bands.add(recent.signature, recent.keys)
        self._names.append(key[1])

    def _keep_recent(self, are_kept: Iterable[bool]) -> None:
        """Forgets the recent files but some. `are_kept`: whether each of them is."""
        kept = list(compress(self._recent.items(), are_kept))
        if len(kept) == len(self._names):
            return
        self._recent, self._bands, self._names = {}, RecentSignatures(self.rule), []
        for key, recent in kept:
            self._note(key, recent)

    def _new_parts(self) -> list[tuple[int, PartInfo, int]]:
        """Parts that are neither on disk nor recent, with their streams' places and about how many documents they have."""
        found = []
        for stream, seen in enumerate(self._seen):
            snapshot = self._snapshot(stream)
            for part in snapshot.parts[seen:] if snapshot is not None else ():
                found.append((stream, part, len(part.extra.get("jobs", ())) if stream == ACCEPTED else part.samples))
        return found

    def _take_in(self, parts: list[tuple[int, PartInfo, int]]) -> None:
        for stream, part, _ in parts:
            self._note_part(stream, part)
            for batch in batches(self._documents(stream, part)):
                records, signatures = self._signed(batch, stream, part)
                for record, signature, keys in zip(records, signatures, self._keys(signatures), strict=True):
                    key = stream, record["name"].decode(errors="replace")
                    if key not in self._recent:
                        self._note(key, Recent(record.reshape(1), signature, keys, stream, part.number))
            self._seen[stream] += 1

    def _note_part(self, stream: int, part: PartInfo) -> None:
        """Recent files lie in a part now, and are forgotten once that is on disk."""
        for key in [(stream, name_of(identity)) for identity in part.extra.get("jobs", ())]:
            if key in self._recent:
                self._recent[key] = self._recent[key]._replace(part=part.number)

    def _leave_out(self) -> None:
        """Notes which files do not count, and forgets the recent ones among them."""
        rules, builds = self._catalog.redaction_rules(), given_up(self._catalog.log(BUILDS).read())
        state = len(rules), builds, self._stored and self._stored.head.rows
        if state == self._out[0]:
            return
        rule = merge(rules)
        hashes = {column: [hash_of(value) for value in rule.columns.get(column, ())] for column in COLUMNS}
        snapshots = [self._snapshot(stream) for stream in (DOCUMENTS, HELD_OUT)] if builds else []
        gone = [
            stream << 32 | part.number
            for stream, snapshot in enumerate(snapshots)
            for part in (() if snapshot is None else snapshot.parts)
            if part.extra.get("build") in builds
        ]

        def is_out(records: Records) -> npt.NDArray[np.bool_]:
            found = np.isin(records["stream"].astype(np.int64) << 32 | records["part"], gone)
            for column, values in hashes.items():
                found |= np.isin(records[column], np.array(values, np.uint64))
            return found

        self._out = state, is_out(self._stored.records if self._stored else np.zeros(0, RECORD))
        self._keep_recent(~is_out(np.concatenate([np.zeros(0, RECORD), *(one.record for one in self._recent.values())])))
        if self._stored is not None:
            self._stored.let_go()

    # what is on disk

    def _reload(self) -> None:
        """Opens the index that lies on disk now, if its streams are still those that it was made of."""
        found = read_known(self._folder, self.rule, is_checked=self._stored is not None)
        seen = [0, 0, 0]
        for stream, name in enumerate(self._streams):
            if found is not None and name in found.head.done:
                entries, digest = found.head.done[name]
                now = self._snapshot(stream)
                then = self._catalog.stream(name, entries) if now is not None and entries <= now.number else None
                found = found if then is not None and then.digest == digest else None
                seen[stream] = len(then.parts) if then is not None else 0
        self._use(found, seen if found is not None else [0, 0, 0])

    def _use(self, stored: KnownSignatures | None, seen: list[int]) -> None:
        self._stored, self._seen = stored, seen
        done = stored.head.done if stored is not None else {}
        ends = [done.get(name, (0, ""))[0] for name in self._streams]
        self._keep_recent(one.part < 0 or one.part >= ends[one.stream] for one in self._recent.values())
        self._out = None, self._out[1]
        self._leave_out()

    def _store(self) -> Iterator[bool]:
        """Writes what the parts have beyond the index on disk into it. Yields whether it worked; False while others do."""
        with try_lock(self._folder / "lock") as is_mine:
            if not is_mine:
                yield False
                self._reload()
                return
            self._reload()
            snapshots = [self._snapshot(stream) for stream in range(len(self._streams))]
            seen, rows, of = list(self._seen), 0, sum(size for *_, size in self._new_parts())
            self._say(f"reading about {of:,} files of {self._language}, to tell near-duplicates of them")
            with (
                self._unusable(),
                closing(SignatureWriter(self._folder, self._stored, self.rule, self._language)) as writer,
            ):
                done = dict(self._stored.head.done) if self._stored is not None else {}
                for stream, snapshot in enumerate(snapshots):
                    for part in snapshot.parts[seen[stream] :] if snapshot is not None else ():
                        self._note_part(stream, part)
                        for batch in batches(self._documents(stream, part)):
                            writer.add(*self._signed(batch, stream, part))
                            if rows // SAY_EVERY < (rows := rows + len(batch)) // SAY_EVERY:
                                self._say(f"read {rows:,} files of {self._language}")
                            yield True
                    if snapshot is not None:
                        done[self._streams[stream]] = snapshot.number, snapshot.digest
                        seen[stream] = len(snapshot.parts)
                self._use(writer.commit(done), seen)
        self._say(f"{self._stored and len(self._stored):,} files of {self._language} are known")

    @contextmanager
    def _unusable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Cache().unusable(error) from error

    def _signed(self, documents: list[Document], stream: int, part: PartInfo) -> tuple[Records, Signatures]:
        """Records and signatures, a row for each document; those of recent ones are known."""
        found = [self._recent.get((stream, name_of(one.document))) for one in documents]
        new = [one.text for one, recent in zip(documents, found, strict=True) if recent is None]
        rows = iter(sign(new, [self._language] * len(new), self.rule))
        signatures = np.stack([next(rows) if recent is None else recent.signature for recent in found])
        return records_of(documents, stream, part.number), signatures

    def _keys(self, signatures: Signatures) -> list[list[int]]:
        found: list[list[int]] = band_keys(signatures, self._language, self.rule).tolist()
        return found

    def _documents(self, stream: int, part: PartInfo) -> Iterator[Document]:
        """The documents of a part; one that cannot be read is said and left out."""
        name = self._streams[stream]
        try:
            if stream == DOCUMENTS:
                yield from self._catalog.documents(name, wanted=lambda one: one.number == part.number)
            elif stream == HELD_OUT:
                yield from unpacked_documents(self._catalog, name, part)
            elif part.extra.get("files"):
                columns = [field for field in Document.__struct_fields__ if field not in ("score", "replaced", "copies")]
                read = partial(read_parquet, self._catalog.store, name=FILES, columns=columns)
                table = self._catalog.of_part(name, part, read)
                yield from (msgspec.convert(row, Document) for row in table.to_pylist())
        except PartError as error:
            self._say(f"near-duplicates of the files in a part of {name} are not found: {error}")

    def _snapshot(self, stream: int) -> Snapshot | None:
        """The stream now; None where it does not exist or has other things."""
        name = self._streams[stream]
        if not self._catalog.stream_log(name).read():
            return None
        snapshot = self._catalog.stream(name)
        return snapshot if (snapshot.kind == "documents") == (stream == DOCUMENTS) else None


def records_of(documents: list[Document], stream: int, part: int) -> Records:
    records = np.zeros(len(documents), RECORD)
    for place, document in enumerate(documents):
        hashes = [hash_of(getattr(document, column)) for column in COLUMNS]
        records[place] = (*hashes, stream, part, name_of(document.document).encode())
    return records


def batches(found: Iterable[T]) -> Iterator[list[T]]:
    """As many at once as are signed at once."""
    left = iter(found)
    while batch := list(islice(left, BATCH)):
        yield batch


def name_of(identity: str) -> str:
    """As much of a document's id as a record holds."""
    size = RECORD["name"].itemsize
    return identity.encode(errors="replace")[:size].decode(errors="replace")


def hash_of(value: str) -> int:
    return xxhash.xxh3_64_intdigest(value.encode(errors="surrogatepass"))


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Whether a file's exclusive lock could be had at once; it is held meanwhile."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    hold(descriptor)
    try:
        yield try_exclusive(descriptor)
    finally:
        let_go(descriptor)
