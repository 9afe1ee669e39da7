"""What a folder of MDS holds that waits to be published: one file beside the folder, written when it is whole."""

from pathlib import Path
from typing import Any

import msgspec

ENDING = ".manifest.msgpack"


class PartManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be published from a folder: the stream, the sidecar (None for documents) and the counts."""

    stream: str
    sidecar: list[dict[str, Any]] | None
    documents: int
    samples: int
    tokens: int


def write_manifest(place: Path, manifest: PartManifest) -> None:
    """Says that the folder `place` is whole."""
    aside = place.with_name(f"{place.name}.part")
    aside.write_bytes(msgspec.msgpack.encode(manifest))
    aside.replace(place.with_name(f"{place.name}{ENDING}"))


def read_manifests(folder: Path) -> list[tuple[Path, PartManifest]]:
    """The folders that hold whole parts, with what they are, sorted by stream."""
    decode = msgspec.msgpack.Decoder(PartManifest).decode
    found = [
        (path.with_name(path.name.removesuffix(ENDING)), decode(path.read_bytes())) for path in folder.glob(f"*{ENDING}")
    ]
    return sorted(found, key=lambda pair: pair[1].stream)
