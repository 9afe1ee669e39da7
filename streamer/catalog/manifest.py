"""What a stream's log says, formats stream/1 to stream/5: which parts there are and how their rows lie.

Always holds: which rows a snapshot has is a pure function of the first n bodies of the log, and where their files lie is
what the newest body says; a part that an entry condemned is in no snapshot, and an entry that names a part is never taken
back.

How: a manifest keeps a few numbers of each part in columns, so that a catalog of hundreds of thousands of parts opens in
a second. A part's names and checksums are decoded from its entry when somebody asks for them. Since stream/2 an entry
also has size and checksum of each file that lies beside the shards; entries of stream/3 are redactions, of stream/4 new
places of parts, and of stream/5 places that many parts share.
"""

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, overload

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from streamer.catalog import redaction
from streamer.catalog.redaction import Redacted, Redaction
from streamer.errors import StreamError
from streamer.store.log import Bodies, Body, Log

FORMAT, NEWER_FORMAT = "stream/1", "stream/2"
MERGED, MERGED_FORMAT = "merged", "stream/5"
FORMATS = (FORMAT, NEWER_FORMAT, redaction.FORMAT, redaction.COMPACTED_FORMAT, MERGED_FORMAT)
HIGHEST_ID = "highest_id"  # in a part's `extra`, where no tokenizer says which ids there can be
COMPRESSION = ("compression", "raw_bytes", "raw_xxh3")
MOST_KEPT = 4096  # parts of a stream that stay decoded


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """One shard of a part. `xxh3` is the xxh3-64 of all its bytes, in hex; `raw_*` are of the shard in a compressed one.

    Where parts were merged, the file has the rows of others too: `file_rows` in all, and this shard's begin at `first`.
    """

    name: str
    samples: int
    size_bytes: int
    xxh3: str
    compression: str | None = None
    raw_bytes: int | None = None
    raw_xxh3: str | None = None
    first: int = 0
    file_rows: int | None = None

    @property
    def own_bytes(self) -> int:
        """About how many bytes of the file are of this shard's rows."""
        return self.size_bytes if not self.file_rows else self.size_bytes * self.samples // self.file_rows

    @property
    def plain_xxh3(self) -> str:
        """The hash of the plain shard, by which shards are the same however they are compressed."""
        return self.xxh3 if self.raw_xxh3 is None else self.raw_xxh3


class PartFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file beside the shards of a part, such as its sidecar. `xxh3` is the xxh3-64 of its bytes, in hex."""

    name: str
    size_bytes: int
    xxh3: str


class PartInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A part as its entry names it. `number` is the entry's number in the stream's log; `folder` its key.

    `files`: those beside the shards; an entry of stream/1 does not say which there are. `reference`: the folder outside
    the root in which all of them lie, of a part that was registered by address; then nothing lies at `folder`. `rows`: of
    a part that was merged with others, the first of its rows in each Parquet file that they share, and how many they are.
    """

    number: int
    part_id: str
    folder: str
    shards: tuple[Shard, ...]
    sidecar: str | None
    extra: dict[str, Any]
    files: tuple[PartFile, ...] = ()
    reference: str | None = None
    rows: dict[str, tuple[int, int]] = {}

    @property
    def place(self) -> str:
        """What the folder is called in which its files lie."""
        return self.folder.rpartition("/")[2]

    @property
    def is_merged(self) -> bool:
        """Whether it shares its files with other parts."""
        return any(shard.file_rows is not None for shard in self.shards)

    @property
    def samples(self) -> int:
        return sum(shard.samples for shard in self.shards)

    @property
    def highest_id(self) -> int | None:
        """The highest token id in it, where its publication noted one: in parts without a tokenizer."""
        found = self.extra.get(HIGHEST_ID)
        return found if isinstance(found, int) else None

    def file(self, name: str) -> PartFile | None:
        """Size and checksum of a file beside the shards, where the entry has them."""
        return next((file for file in self.files if file.name == name), None)


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """What all parts of a stream share. `seq_len`, `dtype` and `tokenizer` are None for documents."""

    kind: str
    seq_len: int | None = None
    dtype: str | None = None
    tokenizer: str | None = None


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry says of parts whose files became one shard, and one of each file beside it, at a new place.

    `numbers`: of the parts in their order there, by part id; `starts`: the first row of each in the shard, and behind them
    how many there are; `file_starts`: the same of each Parquet file.
    """

    place: str
    shard: Shard
    sidecar: str | None
    files: tuple[PartFile, ...]
    numbers: dict[str, int]
    starts: list[int]
    file_starts: dict[str, list[int]]


class ShardSamples(msgspec.Struct, gc=False):
    samples: list[int]


class Line(msgspec.Struct, gc=False):
    """What a manifest keeps of a body."""

    format: str
    event: str
    part: str | None = None
    parts: list[str] = []
    shards: ShardSamples | None = None
    spans: dict[str, str] | None = None


LINE = msgspec.json.Decoder(Line)


class Manifest:
    """One stream's log, taken in entry by entry. Threads may share it."""

    def __init__(self, name: str, log: Log) -> None:
        self.name, self.log, self.length = name, log, 0
        self.schema: Schema | None = None
        self.part_ids: list[str] = []
        self.condemned: set[str] = set()
        self.compacted: dict[str, int] = {}  # parts that lie at a new place, with the number of the entry that says so
        self.compacted_by = 0  # the number of the last such entry
        self.merges: dict[int, Merged | None] = {}  # by the number of the entry, as far as they were asked for
        self.moves = array("q")  # numbers of the entries that gave parts a new place
        self.numbers = array("q")  # of the parts' entries
        self.part_ends = array("q")  # samples up to and with each part
        self.shard_ends = array("q")  # shards up to and with each part
        self.shard_samples = array("q")
        self.redactions = array("q")  # numbers of the entries that redact something that the stream has
        self._samples = 0
        self._decoded: dict[int, tuple[int, PartInfo]] = {}  # by the part's entry, with the one that says where it lies
        self._lock = threading.Lock()

    def take(self, bodies: Bodies) -> None:
        """Takes in what `bodies`, those of the log, have beyond those taken in before. Raises: LogError, StreamError."""
        with self._lock:
            if self.schema is None:
                self.schema = read_schema(self.name, bodies)
            for number in range(self.length, len(bodies)):
                line = read_line(self.name, bodies, number)
                if line.event in (MERGED, redaction.COMPACTED):
                    self.moves.append(number)
                if line.event == MERGED:
                    self.compacted |= dict.fromkeys(line.parts, number)
                    self.merges[number], self.compacted_by = None, number
                elif line.part is None:
                    if line.event == redaction.EVENT and line.spans:
                        self.redactions.append(number)
                elif line.event == redaction.COMPACTED:
                    self.compacted[line.part] = self.compacted_by = number
                elif line.event == "condemned":
                    self.condemned.add(line.part)
                elif line.event == "part" and line.shards is not None and line.part not in self.condemned:
                    self._add(line.part, number, line.shards.samples)
                self.length = number + 1

    def _add(self, part_id: str, number: int, samples: list[int]) -> None:
        self.part_ids.append(part_id)
        self.numbers.append(number)
        self.shard_samples.extend(samples)
        self.shard_ends.append(len(self.shard_samples))
        self._samples += sum(samples)
        self.part_ends.append(self._samples)

    def part(self, place: int) -> PartInfo:
        """The part at a place among those of the stream."""
        number = self.numbers[place]
        entry = self.compacted.get(self.part_ids[place], number)
        where, found = self._decoded.get(number, (-1, None))
        if found is None or where != entry:
            if len(self._decoded) >= MOST_KEPT:
                self._decoded.clear()
            found = self.read_part(number, entry)
            self._decoded[number] = entry, found
        return found

    def part_of(self, number: int) -> PartInfo:
        """The part that an entry of the log names."""
        return self.part(bisect_left(self.numbers, number))

    def read_part(self, number: int, entry: int) -> PartInfo:
        """The part of the entry `number`, where it lay as of another entry."""
        bodies = self.log.known()
        if entry not in self.merges:
            with bodies.understood(entry):
                return read_part(self.name, number, bodies[entry])
        with bodies.understood(number):
            part = read_part(self.name, number, bodies[number])
        return move(self.name, part, self.read_merge(entry))

    def read_merge(self, entry: int) -> Merged:
        """What the entry of a merge says."""
        found = self.merges[entry]
        if found is None:
            bodies = self.log.known()
            with bodies.understood(entry):
                found = self.merges[entry] = read_merged(bodies[entry])
        return found

    @property
    def places(self) -> set[str]:
        """What the folders are called in which the parts lie."""
        bodies = self.log.known()
        return set(self.part_ids) - set(self.compacted) | {
            bodies[number]["place"] for number in set(self.compacted.values())
        }

    def snapshot(self, number: int) -> "Snapshot":
        """The stream's first `number` entries, which have been taken in, and of which one fixed a schema."""
        assert self.schema is not None
        count, redactions = bisect_left(self.numbers, number), bisect_left(self.redactions, number)
        return Snapshot(
            name=self.name,
            number=number,
            schema=self.schema,
            parts=Parts(self, count),
            redacted_by=self.redactions[redactions - 1] + 1 if redactions else 0,
        )

    def redactions_before(self, number: int) -> list[Redaction]:
        """Those among the first `number` entries that redact something. Raises: LogError."""
        found, bodies = [], self.log.known()
        for place in self.redactions[: bisect_left(self.redactions, number)]:
            with bodies.understood(place):
                found.append(redaction.read_redaction(place, bodies[place]))
        return found

    def in_files(self, number: int) -> list[Redaction]:
        """Of the first `number` entries' redactions what the parts' files still have. Raises: LogError."""
        every = (self._narrowed(one, gone=False) for one in self.redactions_before(number))
        return [one for one in every if one.spans]

    def _narrowed(self, one: Redaction, *, gone: bool) -> Redaction:
        """A redaction in those parts alone whose files do not have it any more, or in those whose files do."""
        spans = {part: rows for part, rows in one.spans.items() if (self.compacted.get(part, -1) > one.number) == gone}
        return msgspec.structs.replace(one, spans=spans)

    def redacted(self, number: int) -> Redacted:
        """What the first `number` entries redact, and what is in no file any more. Raises: LogError."""
        found = self.redactions_before(number)
        if self.compacted:
            later = self.redactions_before(self.length)[len(found) :]
            found += [self._narrowed(one, gone=True) for one in later]
        return Redacted(found, dict(zip(self.part_ids, self.numbers, strict=True)) if found else {})


class Parts(Sequence[PartInfo]):
    """The first parts of a stream, each decoded when it is asked for, and columns of numbers of all of them."""

    def __init__(self, manifest: Manifest, count: int) -> None:
        self._manifest, self._count = manifest, count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> PartInfo: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[PartInfo, ...]: ...
    def __getitem__(self, place: int | slice) -> PartInfo | tuple[PartInfo, ...]:
        found = range(self._count)[place]
        return self._manifest.part(found) if isinstance(found, int) else tuple(map(self._manifest.part, found))

    def __iter__(self) -> Iterator[PartInfo]:
        return map(self._manifest.part, range(self._count))

    def as_published(self) -> Iterator[PartInfo]:
        """The parts with shards of their own: of those that were merged the ones that they were published with."""
        return (self._manifest.read_part(part.number, part.number) if part.is_merged else part for part in self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parts) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def ids(self) -> list[str]:
        return self._manifest.part_ids[: self._count]

    @property
    def samples(self) -> int:
        """Of all parts together."""
        return self._manifest.part_ends[self._count - 1] if self._count else 0

    @property
    def shards(self) -> int:
        """How many shards all parts have together."""
        return self._manifest.shard_ends[self._count - 1] if self._count else 0

    def shard(self, place: int) -> tuple[PartInfo, Shard]:
        """The shard at a place among those of all parts, with its part."""
        part = bisect_right(self._manifest.shard_ends, place, 0, self._count)
        info = self[part]
        return info, info.shards[place - self._manifest.shard_ends[part]]

    def columns(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(parts,) the numbers of their entries and how many shards they have, and (shards,) the samples of each shard."""
        own, end = self._manifest, self._count
        numbers, ends, samples = (
            np.array(column, np.int64)
            for column in (own.numbers[:end], own.shard_ends[:end], own.shard_samples[: self.shards])
        )
        return numbers, np.diff(ends, prepend=0), samples


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The first `number` entries of a stream's log; `number` names it for ever.

    `redacted_by`: the first of its entries up to which all is read that redacts something; 0 where nothing does.
    """

    name: str
    number: int
    schema: Schema
    parts: Parts
    redacted_by: int = 0

    @property
    def samples(self) -> int:
        return self.parts.samples

    @property
    def digest(self) -> str:
        """Of the parts' ids, in order."""
        return xxhash.xxh3_64_hexdigest(" ".join(self.parts.ids).encode())

    @property
    def key(self) -> str:
        return self.name.split("/")[1]

    @property
    def kind(self) -> str:
        return self.schema.kind

    @property
    def seq_len(self) -> int | None:
        return self.schema.seq_len

    @property
    def dtype(self) -> str | None:
        return self.schema.dtype

    @property
    def tokenizer(self) -> str | None:
        return self.schema.tokenizer

    @property
    def tokens(self) -> int:
        return self.samples * (self.schema.seq_len or 0)


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the catalog's list. `seq_len` in tokens, None for documents."""

    name: str
    kind: str
    parts: int
    samples: int
    tokens: int
    seq_len: int | None
    dtype: str | None
    tokenizer: str | None

    @property
    def key(self) -> str:
        return self.name.split("/")[1]


def part_body(
    part_id: str,
    schema: Schema,
    shards: list[Shard],
    sidecar: str | None,
    extra: dict[str, Any],
    files: Iterable[PartFile] = (),
    reference: str | None = None,
) -> Body:
    """The body of an entry that publishes a part; shards and files in columns. A plain part has none of compression."""
    compressed = COMPRESSION if any(shard.compression for shard in shards) else ()
    beside = list(files)
    return {
        "format": NEWER_FORMAT if beside else FORMAT,
        "event": "part",
        "schema": msgspec.to_builtins(schema),
        "part": part_id,
        "shards": in_columns(shards, ("name", "samples", "size_bytes", "xxh3", *compressed)),
        **({"files": in_columns(beside, ("name", "size_bytes", "xxh3"))} if beside else {}),
        **({"reference": reference} if reference is not None else {}),
        "sidecar": sidecar,
        "extra": extra,
    }


def compacted_body(part: PartInfo, place: str, schema: Schema, shards: list[Shard], files: Iterable[PartFile]) -> Body:
    """The body of an entry that says at which place a part lies now, without what was redacted before the entry."""
    body = part_body(part.part_id, schema, shards, part.sidecar, part.extra, files)
    return {**body, "format": redaction.COMPACTED_FORMAT, "event": redaction.COMPACTED, "place": place}


def merged_body(
    place: str,
    parts: Sequence[PartInfo],
    shard: Shard,
    sidecar: str | None,
    files: Iterable[PartFile],
    rows: dict[str, list[int]],
) -> Body:
    """The body of an entry that says at which place these parts lie together now.

    `rows`: by Parquet file, how many of each part there are, in the order of the parts.
    """
    return {
        "format": MERGED_FORMAT,
        "event": MERGED,
        "place": place,
        "parts": [part.part_id for part in parts],
        "samples": [part.samples for part in parts],
        "shards": in_columns([shard], ("name", "samples", "size_bytes", "xxh3")),
        "files": in_columns(list(files), ("name", "size_bytes", "xxh3")),
        "rows": rows,
        "sidecar": sidecar,
    }


def in_columns(rows: Sequence[Shard | PartFile], columns: Sequence[str]) -> dict[str, list[Any]]:
    return {column: [getattr(row, column) for row in rows] for column in columns}


def created_body(schema: Schema) -> Body:
    return {"format": FORMAT, "event": "created", "schema": msgspec.to_builtins(schema)}


def condemned_body(part_id: str) -> Body:
    return {"format": FORMAT, "event": "condemned", "part": part_id}


def read_schema(name: str, bodies: Bodies) -> Schema | None:
    """The schema that the first entry with one fixed; None for a log without any."""
    for number, body in enumerate(bodies):
        with bodies.understood(number):
            check_format(name, body["format"])
            if "schema" in body:
                return msgspec.convert(body["schema"], Schema)
    return None


def read_line(name: str, bodies: Bodies, number: int) -> Line:
    """Raises: StreamError for another format, LogError for a body that cannot be understood."""
    try:
        line = LINE.decode(bodies.raw[number])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        check_format(name, bodies[number].get("format", FORMAT))  # another format may have other fields
        raise bodies.not_understood(number, error) from error
    if line.format not in FORMATS:
        check_format(name, line.format)
    return line


def check_format(name: str, found: Any) -> None:
    """Raises: StreamError for another format."""
    if found not in FORMATS:
        raise StreamError(f"stream {name} has format {found}; this version reads up to {FORMATS[-1]}: update phasemix")


def read_part(name: str, number: int, body: Body) -> PartInfo:
    shards, files = body["shards"], body.get("files", {"name": []})
    return PartInfo(
        number=number,
        part_id=body["part"],
        folder=f"streams/{name}/_parts/{body.get('place', body['part'])}",
        shards=tuple(msgspec.convert(row, Shard) for row in in_rows(shards)),
        sidecar=body["sidecar"],
        extra=body["extra"],
        files=tuple(msgspec.convert(row, PartFile) for row in in_rows(files)),
        reference=body.get("reference"),
    )


def read_merged(body: Body) -> Merged:
    return Merged(
        place=body["place"],
        shard=msgspec.convert(next(in_rows(body["shards"])), Shard),
        sidecar=body["sidecar"],
        files=tuple(msgspec.convert(row, PartFile) for row in in_rows(body["files"])),
        numbers={part: number for number, part in enumerate(body["parts"])},
        starts=[0, *accumulate(body["samples"])],
        file_starts={name: [0, *accumulate(rows)] for name, rows in body["rows"].items()},
    )


def move(name: str, part: PartInfo, merged: Merged) -> PartInfo:
    """A part at the place that it shares with others."""
    number, shards = merged.numbers[part.part_id], []
    first = merged.starts[number]
    for shard in part.shards:
        own = {"samples": shard.samples, "first": first, "file_rows": merged.shard.samples}
        shards.append(msgspec.structs.replace(merged.shard, **own))
        first += shard.samples
    return msgspec.structs.replace(
        part,
        folder=f"streams/{name}/_parts/{merged.place}",
        shards=tuple(shards),
        sidecar=merged.sidecar,
        files=merged.files,
        rows={file: (at[number], at[number + 1] - at[number]) for file, at in merged.file_starts.items()},
    )


def in_rows(columns: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
