"""Merges many small parts of a stream into few folders, each with one shard.

Always holds: a part keeps its id, its place among the others and its rows, so that no order, no position and no ledger
changes; whoever reads finds its files by the newest entry of the stream's log. What earlier merges left is deleted when
the next one begins: whoever had it open goes on with the new files.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby, takewhile

from streamer.catalog import parts
from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo, Snapshot
from streamer.errors import PartError
from streamer.publishing.compacting import Compacted, find_redactions, rewrite

MERGED_BYTES = 1 << 24  # of a shard that parts share, at most
SMALL_BYTES = MERGED_BYTES // 2


def merge(catalog: Catalog, name: str, *, newest: bool = False, least: int = 2) -> Compacted:
    """Merges the small parts of a stream that lie one behind the other. What is redacted in them is left out.

    Args: newest, only those behind the last folder that is large enough; least, of how many folders, or nothing is done.
    Raises: StreamError, LogError, PartError, StoreError; what is done then stays, and the next call goes on.
    """
    if len({part.folder for part in candidates(catalog.stream(name), newest=newest)}) < least:
        return Compacted(name, 0, 0)
    remove_left(catalog, name)
    merged = 0
    for group in grouped(candidates(catalog.stream(name), newest=newest)):
        snapshot, in_files = find_redactions(catalog, name)
        if any(catalog.manifest(name).part_of(part.number) != part for part in group):
            continue  # somebody else gave them another place meanwhile, perhaps without what was redacted
        try:
            merged += len(group) if rewrite(catalog, snapshot, group, in_files) else 0
        except PartError:
            if not catalog.has_moved([name]):
                raise  # else somebody else has merged them
    return Compacted(name, merged, 0)


def candidates(snapshot: Snapshot, *, newest: bool) -> list[PartInfo]:
    """The parts of a stream of tokens; `newest`: only those behind the last folder that is large enough."""
    if snapshot.kind != "tokens":
        return []
    return list(takewhile(is_small, reversed(snapshot.parts)))[::-1] if newest else list(snapshot.parts)


def grouped(found: Iterable[PartInfo]) -> Iterator[list[PartInfo]]:
    """Parts that are to be merged, from several folders each."""
    group: list[PartInfo] = []
    for _, these in groupby(found, key=lambda part: part.folder):
        place = list(these)
        if not (group and is_small(place[0]) and fits(group, place)):
            if len({part.folder for part in group}) > 1:
                yield group
            group = []
        if is_small(place[0]):
            group += place
    if len({part.folder for part in group}) > 1:
        yield group


def is_small(part: PartInfo) -> bool:
    """Whether a part lies in a folder of tokens under the root that others may be merged with."""
    size = part.shards[0].size_bytes if part.is_merged else bytes_of([part])
    is_plain = all(shard.compression is None for shard in part.shards)
    return size < SMALL_BYTES and is_plain and part.reference is None and bool(part.files)


def fits(group: list[PartInfo], place: list[PartInfo]) -> bool:
    """Whether the parts of a folder have the same files as those of a group, and there is room for them."""
    return beside(group[0]) == beside(place[0]) and bytes_of([*group, *place]) <= MERGED_BYTES


def beside(part: PartInfo) -> tuple[str | None, set[str]]:
    return part.sidecar, {file.name for file in part.files}


def bytes_of(found: Iterable[PartInfo]) -> int:
    return sum(shard.own_bytes for part in found for shard in part.shards)


def remove_left(catalog: Catalog, name: str) -> None:
    """Deletes the folders that parts have left."""
    garbage = set(catalog.garbage(name))
    manifest = catalog.manifest(name)
    bodies = manifest.log.known()
    places = {bodies[number]["place"] for number in manifest.moves}
    left = garbage & (set(manifest.compacted) | places)
    for place in left:
        parts.remove_part(catalog.store, name, place)
