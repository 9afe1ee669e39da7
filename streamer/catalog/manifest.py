"""What a stream's log says, formats stream/1 to stream/4: which parts there are and how their rows lie.

Always holds: which rows a snapshot has is a pure function of the first n bodies of the log, and where their files lie is
what the newest body says; a part that an entry condemned is in no snapshot, and an entry that names a part is never taken
back.

How: a manifest keeps a few numbers of each part in columns, so that a catalog of hundreds of thousands of parts opens in
a second. A part's names and checksums are decoded from its entry when somebody asks for them. Since stream/2 an entry
also has size and checksum of each file that lies beside the shards; entries of stream/3 are redactions, and of stream/4 new
places of parts.
"""

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
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
FORMATS = (FORMAT, NEWER_FORMAT, redaction.FORMAT, redaction.COMPACTED_FORMAT)
HIGHEST_ID = "highest_id"  # in a part's `extra`, where no tokenizer says which ids there can be
COMPRESSION = ("compression", "raw_bytes", "raw_xxh3")
MOST_KEPT = 4096  # parts of a stream that stay decoded


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """One shard of a part. `xxh3` is the xxh3-64 of all its bytes, in hex; `raw_*` are of the shard in a compressed one."""

    name: str
    samples: int
    size_bytes: int
    xxh3: str
    compression: str | None = None
    raw_bytes: int | None = None
    raw_xxh3: str | None = None

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
    the root in which all of them lie, of a part that was registered by address; then nothing lies at `folder`.
    """

    number: int
    part_id: str
    folder: str
    shards: tuple[Shard, ...]
    sidecar: str | None
    extra: dict[str, Any]
    files: tuple[PartFile, ...] = ()
    reference: str | None = None

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


class ShardSamples(msgspec.Struct, gc=False):
    samples: list[int]


class Line(msgspec.Struct, gc=False):
    """What a manifest keeps of a body."""

    format: str
    event: str
    part: str | None = None
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
        self.numbers = array("q")  # of the parts' entries
        self.part_ends = array("q")  # samples up to and with each part
        self.shard_ends = array("q")  # shards up to and with each part
        self.shard_samples = array("q")
        self.redactions = array("q")  # numbers of the entries that redact something that the stream has
        self._samples = 0
        self._decoded: dict[int, PartInfo] = {}  # by the number of the entry that says where a part lies
        self._lock = threading.Lock()

    def take(self, bodies: Bodies) -> None:
        """Takes in what `bodies`, those of the log, have beyond those taken in before. Raises: LogError, StreamError."""
        with self._lock:
            if self.schema is None:
                self.schema = read_schema(self.name, bodies)
            for number in range(self.length, len(bodies)):
                line = read_line(self.name, bodies, number)
                if line.part is None:
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
        found = self._decoded.get(entry)
        if found is None:
            if len(self._decoded) >= MOST_KEPT:
                self._decoded.clear()
            bodies = self.log.known()
            with bodies.understood(entry):
                found = self._decoded[entry] = read_part(self.name, number, bodies[entry])
        return found

    @property
    def places(self) -> set[str]:
        """What the folders are called in which the parts lie."""
        bodies = self.log.known()
        return set(self.part_ids) - set(self.compacted) | {bodies[number]["place"] for number in self.compacted.values()}

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


def in_rows(columns: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
