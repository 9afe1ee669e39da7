"""Reads everything that streams consist of, and says what is wrong with it: logs, parts, sidecars, tokenizers, names.

Always holds: a part is called garbage only where the log of its stream is whole, as far as can be told: otherwise the entry
that named it may be the one that is missing.
"""

from collections.abc import Iterator, Mapping

import msgspec

from streamer.catalog import sidecar
from streamer.catalog.catalog import Catalog
from streamer.catalog.manifest import PartInfo, Shard, Snapshot
from streamer.catalog.part_files import load_file, read_parquet
from streamer.catalog.shard_rows import checked_copy
from streamer.errors import PartError, PhasemixError
from streamer.store.entries import RESTORE, key_of
from streamer.store.log_check import LogCheck, logs_under

WHOLE = "whole"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of an object. `shard`: its name in its folder; `is_fault`: whether something must be restored.

    `is_shard`: whether the object is a shard, of which each has one finding.
    """

    stream: str = ""
    part: str = ""
    shard: str = ""
    state: str
    is_fault: bool = True
    is_shard: bool = False


def count_shards(catalog: Catalog, glob: str) -> int:
    """How many shards there are to read; 0 where damage, which the verification names, keeps them from being counted."""
    try:
        return sum(snapshot.parts.shards for snapshot in catalog.match(glob))
    except PhasemixError:
        return 0


def verify_streams(
    catalog: Catalog, glob: str = "*", *, remove: bool = False, entries: Mapping[str, int] = {}
) -> Iterator[Finding]:
    """Checks the streams that a glob matches; what no entry names is removed if asked.

    `entries`: how many entries the logs of streams had when somebody else, such as a run, last looked.
    """
    names = LogCheck(catalog.store, "names/streams")
    for fault in names.faults:
        yield Finding(shard=names.name, state=fault)
    if names.faults:
        return
    if glob == "*":
        yield from verify_names(catalog, key_of(names.name, names.entries))
    tokenizers: dict[str, str] = {}  # fingerprint -> the first stream of it
    for name in catalog.match_names(glob):
        log = LogCheck(catalog.store, f"streams/{name}/_log")
        for fault in log.faults:
            yield Finding(stream=name, shard="_log", state=fault)
        if log.faults:
            continue
        if log.entries < entries.get(name, 0):
            missing = key_of(log.name, log.entries)
            had = f"a run has seen {entries[name]:,} entries of this log"
            yield Finding(stream=name, shard="_log", state=f"{missing} is missing: {had}; {RESTORE}")
            continue
        try:
            snapshot = catalog.stream(name) if log.entries else None
            states: dict[tuple[str, str], tuple[str, bool]] = {}
            for part in snapshot.parts if snapshot is not None else ():
                found = list(verify_part(catalog, name, part, states))
                if any(one.is_fault for one in found) and (now := catalog.part_now(name, part)) != part:
                    found = list(verify_part(catalog, name, now, states))  # it was given another place meanwhile
                yield from found
            if snapshot is not None and snapshot.tokenizer is not None:
                tokenizers.setdefault(snapshot.tokenizer, name)
            yield from verify_documents(catalog, snapshot)
            yield from find_garbage(catalog, name, remove)
        except PhasemixError as error:
            yield Finding(stream=name, state=str(error))
    for fingerprint, name in tokenizers.items():
        yield from verify_tokenizer(catalog, fingerprint, name)


def verify_names(catalog: Catalog, missing: str) -> Iterator[Finding]:
    """Streams that lie under the root and that no entry of the log of names names."""
    known = set(catalog.names("streams"))
    for log in logs_under(catalog.store, "streams"):
        name = log.removeprefix("streams/").removesuffix("/_log")
        if log.endswith("/_log") and name not in known:
            state = f"{missing} is missing: no entry there names this stream; {RESTORE}"
            yield Finding(stream=name, state=state)


def verify_part(
    catalog: Catalog, stream: str, part: PartInfo, states: dict[tuple[str, str], tuple[str, bool]]
) -> Iterator[Finding]:
    """Hashes a part's shards, each a finding, and the files beside them.

    `states`: state and whether it is a fault, by place and name, of the files that were read; of those that parts share,
    each is read once.
    """
    for shard in part.shards:
        key = part.place, shard.name
        if key not in states:
            states[key] = state_of_shard(catalog, part, shard)
        state, is_fault = states[key]
        yield Finding(stream=stream, part=part.part_id, shard=shard.name, state=state, is_fault=is_fault, is_shard=True)
    beside = [file.name for file in part.files] or [name for name in ("index.json", part.sidecar) if name]
    for name in beside:
        key = part.place, name
        if key not in states:
            states[key] = state_beside(catalog, part, name)
        state, is_fault = states[key]
        if is_fault:
            yield Finding(stream=stream, part=part.part_id, shard=name, state=state)


def state_of_shard(catalog: Catalog, part: PartInfo, shard: Shard) -> tuple[str, bool]:
    try:
        with checked_copy(catalog.store, part, shard):
            return WHOLE, False
    except PartError as error:
        return f"damaged: {error}", True
    except (PhasemixError, OSError) as error:
        return f"cannot be read: {error}", True


def state_beside(catalog: Catalog, part: PartInfo, name: str) -> tuple[str, bool]:
    try:
        if name == part.sidecar:
            table = read_parquet(catalog.store, part, name, None)
            sidecar.check_format(table, f"{catalog.store.url}/{part.folder}/{name}")
        elif not len(load_file(catalog.store, part, name)):
            raise PartError(f"{catalog.store.url}/{part.folder}/{name} is empty; {RESTORE}")
    except PhasemixError as error:
        return f"damaged: {error}", True
    return WHOLE, False


def verify_documents(catalog: Catalog, snapshot: Snapshot | None) -> Iterator[Finding]:
    """Reads the documents of a document stream."""
    if snapshot is None or snapshot.kind != "documents":
        return
    try:
        for _ in catalog.documents(snapshot.name):
            pass
    except (PhasemixError, OSError) as error:
        yield Finding(stream=snapshot.name, state=f"its documents cannot be read: {error}")


def find_garbage(catalog: Catalog, name: str, remove: bool) -> Iterator[Finding]:
    for part_id in catalog.garbage(name):
        removed = remove and catalog.remove_garbage(name, part_id)
        state = "removed" if removed else "named by no entry; --remove deletes it"
        yield Finding(stream=name, part=part_id, state=state, is_fault=False)


def verify_tokenizer(catalog: Catalog, fingerprint: str, stream: str) -> Iterator[Finding]:
    """A tokenizer may be absent: a stream can be published with a fingerprint alone."""
    key = f"tokenizers/{fingerprint}.json"
    try:
        if catalog.store.get(key) is None:
            state = f"{key} is not there; if it was kept under this root, restore it, else publish it with the next part"
            yield Finding(stream=stream, shard=key, state=state, is_fault=False)
        else:
            catalog.tokenizer_text(fingerprint)
    except PhasemixError as error:
        yield Finding(stream=stream, shard=key, state=str(error))
