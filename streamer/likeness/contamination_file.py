"""The index of benchmark tasks under a root: `corpus/contamination/DIGEST`, for whoever adds files to the corpus later.

Always holds: the same index is the same bytes under the same key; an index of another format is refused, because its hashes
would find nothing. Whoever changes the views of `code_views`, or how windows and runs are hashed, makes a new format.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import xxhash

from streamer.errors import CorpusError
from streamer.likeness.contamination import Index, Rule
from streamer.likeness.passages import Passages
from streamer.likeness.structures import Structures
from streamer.store.formats import check_format
from streamer.store.store import Store

FORMAT = "contamination/1"
FOLDER = "corpus/contamination"
PASSAGES = {"windows": "<u8", "offsets": "<i4", "sizes": "<i4", "digests": "<u8", "tasks": "<i4", "kinds": "<u1"}
STRUCTURES = {"runs": "<u8", "owners": "<i4", "lengths": "<i4", "tasks": "<i4"}


class IndexFile(msgspec.Struct, frozen=True, kw_only=True):
    """An index as it is written: numbers in little-endian bytes, by the names of the arrays."""

    format: str
    rule: Rule
    names: tuple[str, ...]
    passages: dict[str, bytes]
    structures: dict[str, bytes]


def encode_index(index: Index) -> bytes:
    return msgspec.msgpack.encode(
        IndexFile(
            format=FORMAT,
            rule=index.rule,
            names=index.names,
            passages=to_bytes(index.passages, PASSAGES),
            structures=to_bytes(index.structures, STRUCTURES),
        )
    )


def decode_index(data: bytes, name: str) -> Index:
    """The index that a file holds. Raises: CorpusError for another format or a damaged file."""
    try:
        check_format(CorpusError, name, msgspec.msgpack.decode(data)["format"], FORMAT)
        file = msgspec.msgpack.decode(data, type=IndexFile)
        passages = Passages(*to_arrays(file.passages, PASSAGES))
        structures = Structures(*to_arrays(file.structures, STRUCTURES))
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise CorpusError(f"{name} is damaged ({error}). Copy it again from where the root came from.") from error
    return Index(file.rule, file.names, passages, structures)


def to_bytes(arrays: Passages | Structures, kinds: dict[str, str]) -> dict[str, bytes]:
    return {name: getattr(arrays, name).astype(kind).tobytes() for name, kind in kinds.items()}


def to_arrays(found: dict[str, bytes], kinds: dict[str, str]) -> Iterable[Any]:
    return [np.frombuffer(found[name], kind) for name, kind in kinds.items()]


def publish_index(store: Store, data: bytes) -> str:
    """Writes an encoded index under the root and returns its name. Raises: StoreError."""
    name = xxhash.xxh3_128_hexdigest(data)
    store.put_if_absent(f"{FOLDER}/{name}", data)
    return name


def read_index(store: Store, name: str) -> Index:
    """An index of that name. Raises: CorpusError, StoreError."""
    data = store.get(f"{FOLDER}/{name}")
    if data is None:
        raise CorpusError(
            f"{store.url} lacks {FOLDER}/{name}, the index of benchmarks. Copy it from where the root came from."
        )
    return decode_index(data, f"{store.url}/{FOLDER}/{name}")
