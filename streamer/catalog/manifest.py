"""What a stream's log says, format stream/1: which parts there are and how their rows lie.

Always holds: a snapshot is a pure function of the first n bodies of the log; a condemned part is in no snapshot after
the entry that condemns it, and an entry that names a part is never taken back.
"""

from typing import Any

import msgspec
import xxhash

from streamer.errors import StreamError

FORMAT = "stream/1"
COMPRESSION = ("compression", "raw_bytes", "raw_xxh3")


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a part. `xxh3` is the xxh3-64 of all its bytes, in hex; `raw_*` are of the shard in a compressed one."""

    name: str
    samples: int
    size_bytes: int
    xxh3: str
    compression: str | None = None
    raw_bytes: int | None = None
    raw_xxh3: str | None = None


class PartInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A part as its entry names it. `number` is the entry's number in the stream's log; `folder` its key."""

    number: int
    part_id: str
    folder: str
    shards: tuple[Shard, ...]
    sidecar: str | None
    extra: dict[str, Any]

    @property
    def samples(self) -> int:
        return sum(shard.samples for shard in self.shards)


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """What all parts of a stream share. `seq_len`, `dtype` and `tokenizer` are None for documents."""

    kind: str
    seq_len: int | None = None
    dtype: str | None = None
    tokenizer: str | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The first `number` entries of a stream's log; `number` names it for ever."""

    name: str
    number: int
    schema: Schema
    parts: tuple[PartInfo, ...]

    @property
    def samples(self) -> int:
        return sum(part.samples for part in self.parts)

    @property
    def digest(self) -> str:
        """Of the parts' ids, in order."""
        return xxhash.xxh3_64_hexdigest(" ".join(part.part_id for part in self.parts).encode())

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
    part_id: str, schema: Schema, shards: list[Shard], sidecar: str | None, extra: dict[str, Any]
) -> dict[str, Any]:
    """The body of an entry that publishes a part; the shards in columns. A plain part has no columns of compression."""
    compressed = COMPRESSION if any(shard.compression for shard in shards) else ()
    return {
        "format": FORMAT,
        "event": "part",
        "schema": msgspec.to_builtins(schema),
        "part": part_id,
        "shards": {
            "name": [shard.name for shard in shards],
            "samples": [shard.samples for shard in shards],
            "size_bytes": [shard.size_bytes for shard in shards],
            "xxh3": [shard.xxh3 for shard in shards],
            **{column: [getattr(shard, column) for shard in shards] for column in compressed},
        },
        "sidecar": sidecar,
        "extra": extra,
    }


def created_body(schema: Schema) -> dict[str, Any]:
    return {"format": FORMAT, "event": "created", "schema": msgspec.to_builtins(schema)}


def condemned_body(part_id: str) -> dict[str, Any]:
    return {"format": FORMAT, "event": "condemned", "part": part_id}


def read_schema(name: str, bodies: list[dict[str, Any]]) -> Schema | None:
    """The schema that the first entry with one fixed; None for a log without any."""
    for body in bodies:
        check_format(name, body)
        if "schema" in body:
            return msgspec.convert(body["schema"], Schema)
    return None


def check_format(name: str, body: dict[str, Any]) -> None:
    """Raises: StreamError for another format."""
    if body["format"] != FORMAT:
        raise StreamError(f"stream {name} has format {body['format']}; this version reads {FORMAT}: update phasemix")


def read_part(name: str, number: int, body: dict[str, Any]) -> PartInfo:
    columns = body["shards"]
    nothing = [None] * len(columns["name"])
    return PartInfo(
        number=number,
        part_id=body["part"],
        folder=f"streams/{name}/_parts/{body['part']}",
        shards=tuple(
            Shard(
                name=shard,
                samples=samples,
                size_bytes=size,
                xxh3=digest,
                compression=how,
                raw_bytes=raw,
                raw_xxh3=raw_digest,
            )
            for shard, samples, size, digest, how, raw, raw_digest in zip(
                *(columns.get(column, nothing) for column in ("name", "samples", "size_bytes", "xxh3", *COMPRESSION)),
                strict=True,
            )
        ),
        sidecar=body["sidecar"],
        extra=body["extra"],
    )
