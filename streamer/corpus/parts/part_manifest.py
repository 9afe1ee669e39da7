"""What a folder of MDS holds that waits to be published: files beside the folder, the manifest written when all is whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

ENDING, SIDECAR_ENDING = ".manifest.msgpack", ".sidecar.msgpack"


class PartManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be published from a folder: the stream, which of its parts, and the counts."""

    stream: str
    number: int
    has_sidecar: bool
    documents: int
    samples: int
    tokens: int


def write_manifest(place: Path, manifest: PartManifest, sidecar: list[dict[str, Any]] | None) -> None:
    """Says that the folder `place` is whole."""
    if sidecar is not None:
        beside(place, SIDECAR_ENDING).write_bytes(msgspec.msgpack.encode(sidecar))
    aside = beside(place, ".part")
    aside.write_bytes(msgspec.msgpack.encode(manifest))
    aside.replace(beside(place, ENDING))


def read_manifests(folder: Path) -> Iterator[tuple[Path, PartManifest]]:
    """The folders that hold whole parts, with what they are, by stream and number."""
    decode = msgspec.msgpack.Decoder(PartManifest).decode
    for path in sorted(folder.glob(f"*{ENDING}")):
        yield path.with_name(path.name.removesuffix(ENDING)), decode(path.read_bytes())


def read_sidecar(place: Path) -> list[dict[str, Any]]:
    """The sidecar of the part in the folder `place`."""
    rows: list[dict[str, Any]] = msgspec.msgpack.decode(beside(place, SIDECAR_ENDING).read_bytes())
    return rows


def beside(place: Path, ending: str) -> Path:
    return place.with_name(f"{place.name}{ending}")
