"""What a newer version wrote is refused in one line that names its format; a state is derived again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import make
import msgspec
import pyarrow.parquet as pq
import pytest

from generators.planning.orders import load_orders
from mixer import Mixtures, RunReader, Runs, Trace
from mixer.journal.journal import Journal
from mixer.planning.planner import make_planner
from mixer.planning.states import sealed, unsealed
from mixer.pool import pool
from streamer import Catalog
from streamer.catalog.parts import describe_file
from streamer.errors import PhasemixError
from streamer.store.entries import Sealed, decode, encode, first_held
from streamer.store.store import MemoryStore


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes an entry, and the seals of it and of those behind it, as if it had been written so."""
    seals: dict[int, str] = {}
    bodies: list[dict[str, Any]] = []
    for each in sorted(path.parent.iterdir()):
        number, entry = int(each.name), json.loads(each.read_text())
        if each == path:
            change(entry)
            if "seal" not in entry:
                each.write_text(json.dumps(entry))
                return
        bodies.append(entry["body"])
        entry["previous"] = seals.get(number - 1)
        if "before" in entry:
            entry["before"] = bodies[first_held(number) : number]
            entry["base"] = seals.get(first_held(number)) if first_held(number) else None
        data = encode(msgspec.convert({**entry, "body": raw(entry["body"]), **held(entry)}, Sealed))
        each.write_bytes(data)
        seals[number] = decode(data, entry["log"], number).seal


def as_it_lies(path: Path) -> Callable[[dict[str, Any]], None]:
    """The entry of the part that a file lies beside has its size and checksum as they are now."""

    def change(entry: dict[str, Any]) -> None:
        if entry["body"].get("place", entry["body"].get("part")) == path.parent.name:
            files, found = entry["body"]["files"], describe_file(path.name, path)
            place = files["name"].index(path.name)
            files["size_bytes"][place], files["xxh3"][place] = found.size_bytes, found.xxh3

    return change


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def held(entry: dict[str, Any]) -> dict[str, Any]:
    return {"before": [raw(one) for one in entry["before"]]} if "before" in entry else {}


def body(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda entry: entry["body"].update(values)


def whole(**values: Any) -> Callable[[dict[str, Any]], None]:
    """Another entry altogether, as a newer version may write it."""

    def change(entry: dict[str, Any]) -> None:
        entry.clear()
        entry.update(values)

    return change


LOAD: dict[str, Callable[[Path], Any]] = {
    "first": lambda root: RunReader(root, "first", read_only=True).read(0),
    "third": lambda root: RunReader(root, "third", read_only=True).read(0),
    "streams": lambda root: Catalog(root).streams(),
    "names": lambda root: Catalog(root).names("runs"),
    "mixture": lambda root: Mixtures(root).load("code@1"),
    "edit": lambda root: Mixtures(root).edit("code", ["raw.share=1"]),
    "pool": lambda root: pool.wanted(Catalog(root)),
    "orders": lambda root: load_orders(Catalog(root)),
    "archive": lambda root: Runs(root).list(),
    "redactions": lambda root: Catalog(root).redaction_rules(),
}


@pytest.mark.parametrize(
    ("load", "key", "change", "newer"),
    [
        ("third", "runs/third/ledger/00000001", whole(format="log/3", bodies=[]), "log/3"),
        ("streams", "streams/raw/go/_log/00000000", whole(format="log/3", bodies=[]), "log/3"),
        ("third", "runs/third/ledger/00000000", body(format="ledger/2"), "ledger/2"),
        ("first", "runs/first/ledger/00000017", body(format="ledger/2", event="stretch"), "ledger/2"),
        ("third", "runs/third/ledger/00000000", body(order="order/2"), "order/2"),
        ("streams", "streams/raw/go/_log/00000000", body(format="stream/6"), "stream/6"),
        ("streams", "streams/raw/go/_log/00000001", body(format="stream/6"), "stream/6"),
        ("third", "streams/raw/go/_log/00000001", body(format="stream/6"), "stream/6"),
        ("mixture", "mixtures/code/00000000", body(format="mixture/4"), "mixture/4"),
        ("edit", "mixtures/code/00000001", body(format="mixture/4", mixture={}), "mixture/4"),
        ("names", "names/runs/00000001", body(format="names/2"), "names/2"),
        ("pool", "pools/generators/00000001", body(format="pool/2"), "pool/2"),
        ("orders", "orders/generators/00000000", body(format="orders/2"), "orders/2"),
        ("archive", "archive/runs/00000001", body(format="archive/2"), "archive/2"),
        ("redactions", "redactions/00000000", body(format="redaction/2"), "redaction/2"),
    ],
)
def test_a_newer_format_is_refused_by_name(
    old: Path, load: str, key: str, change: Callable[[dict[str, Any]], None], newer: str
) -> None:
    rewrite(old / key, change)
    with pytest.raises(PhasemixError, match=newer) as error:
        LOAD[load](old)
    assert "update phasemix" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("boundaries", [True, False])
def test_a_newer_sidecar_is_refused_by_name(old: Path, boundaries: bool) -> None:
    for path in old.rglob("documents.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({"format": "sidecar/2"}), path)
        for entry in (path.parents[2] / "_log").iterdir():
            rewrite(entry, as_it_lies(path))
    read = RunReader(old, "third").read if boundaries else Trace(old, "third").batch
    with pytest.raises(PhasemixError, match="sidecar/2.* update phasemix"):
        read(0)


@pytest.mark.parametrize("damage", ["newer", "old", "torn", "other ledger"])
def test_a_state_that_cannot_be_used_is_derived_again(newest: Path, old: Path, damage: str) -> None:
    """And replaced by whoever may write, unless a newer version wrote it."""
    (path,) = (old / "runs/first/states").iterdir()
    whole = path.read_bytes()
    kept = msgspec.msgpack.decode(unsealed(whole) or b"")
    data = {
        "newer": sealed(msgspec.msgpack.encode({"format": "state/3"})),
        "old": msgspec.msgpack.encode({**kept, "format": "state/1", "anchor": None, "given": b""}),
        "torn": whole[:-1],
        "other ledger": sealed(msgspec.msgpack.encode({**kept, "ledger": "0"})),
    }[damage]
    path.write_bytes(data)
    catalog = Catalog(old)
    ledger = Journal(catalog, "first").ledger
    found = make.as_json(make_planner(ledger, catalog, "first", write=False).state(256))
    assert found == make.load_state(Catalog(newest), "first", 256)
    assert found == make.as_json(make_planner(ledger, Catalog(MemoryStore()), "first", write=False).state(256))
    assert path.read_bytes() == data
    with RunReader(old, "first") as reader, RunReader(newest, "first", read_only=True) as intact:
        assert reader.read(280).origin.tolist() == intact.read(280).origin.tolist()
    assert path.read_bytes() == (data if damage == "newer" else whole)
