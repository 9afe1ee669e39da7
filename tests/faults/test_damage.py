"""One object of a root is damaged, gone, swapped or from elsewhere: what is read is the same, or the error has a name.

The faults are drawn from PHASEMIX_FAULT_SEED (0 by default). A view is read again when it reads the object at all.
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from small_root import INTERVAL, PACKED, SEQ_LEN, Held, batches, build, pack, views

from generators.planning.orders import load_orders
from mixer import Mixtures, RunReader, Runs
from mixer.ledger.reports import Reports
from mixer.planning import planner
from mixer.pool import pool
from mixer.runs.verification import verify_runs
from streamer import Catalog
from streamer.catalog.verification import verify_streams
from streamer.errors import PhasemixError

SEED = int(os.environ.get("PHASEMIX_FAULT_SEED", "0"))
OLD_STEPS = {"first": (5, 280), "second": (3,), "third": (2,), "fourth": (1, 285), "fifth": (70,)}
BITS, LEAST_FAULTS = 26, 2000
Change = Callable[[bytes, random.Random], bytes]


class World(NamedTuple):
    """A root, another one of the same names, what each view says of the first, and which objects it reads for it."""

    root: Held
    other: Held
    said: dict[str, Any]
    reads: dict[str, set[str]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("INTERVAL", "LANED_INTERVAL"):
            patch.setattr(planner, name, INTERVAL)
        root = build(tmp_path_factory.mktemp("root"))
        other = build(tmp_path_factory.mktemp("other"), other=1)
        said, reads = {}, {}
        for name, view in views().items():
            store = Held(root.objects)
            said[name], reads[name] = view(store), store.seen
        yield World(root, other, said, reads)


def check(world: World, changes: dict[str, bytes | None], *, only: str = "") -> Counter[str]:
    """Reads what these objects bear on, None being gone; counts the views that were the same and that were refused.

    Where nothing in a root can tell that an object is another one, only batches must be the same.
    """
    objects = {key: data for key, data in (world.root.objects | changes).items() if data is not None}
    tally: Counter[str] = Counter()
    for name, view in views().items():
        if not name.startswith(only) or not any(bears_on(world.reads[name], key) for key in changes):
            continue
        try:
            found = view(Held(objects))
        except PhasemixError as error:
            tally[type(error).__name__] += 1
        else:
            assert found == world.said[name], f"{name} is another after a change of {', '.join(changes)}"
            tally["same"] += 1
    return tally


def bears_on(reads: set[str], key: str) -> bool:
    """Whether who reads these objects and folders also reads an object, or that it is there."""
    return key in reads or f"{key.rpartition('/')[0]}/" in reads


def flip(data: bytes, choice: random.Random) -> bytes:
    changed, bit = bytearray(data), choice.randrange(8 * len(data))
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def cut_last(data: bytes, _: random.Random) -> bytes:
    return data[:-1]


def cut(data: bytes, choice: random.Random) -> bytes:
    return data[: choice.randrange(len(data))]


def zero(data: bytes, choice: random.Random) -> bytes:
    """A stretch of zeros, as a disk may give after a power cut; one byte at least is another."""
    start = choice.choice([place for place, value in enumerate(data) if value])
    return data[:start] + bytes(min(512, len(data) - start)) + data[start + 512 :]


def is_newest(world: World, key: str) -> bool:
    """Whether an object is the newest entry of a log, behind which nothing says that it was there."""
    folder, _, name = key.rpartition("/")
    return name.isdecimal() and len(name) == 8 and f"{folder}/{int(name) + 1:08d}" not in world.root.objects


def is_derived(key: str) -> bool:
    return "/states/" in key


def test_a_damaged_object_gives_the_same_or_a_named_error(world: World) -> None:
    choice, faults, tally = random.Random(SEED), 0, Counter[str]()
    changes: list[Change] = [*[flip] * BITS, cut_last, cut, zero]
    for key, data in sorted(world.root.objects.items()):
        for change in changes:
            tally += check(world, {key: change(data, choice)})
            faults += 1
    assert faults >= LEAST_FAULTS
    assert tally["LogError"] > faults / 2
    assert {"same", "PartError", "StreamError"} <= set(tally)


def test_an_object_that_is_gone_gives_the_same_or_a_named_error(world: World) -> None:
    for key in sorted(world.root.objects):
        check(world, {key: None}, only="batches" if is_newest(world, key) else "")


def test_objects_that_changed_places_give_the_same_or_a_named_error(world: World) -> None:
    """Neighbours in a folder, and objects of one name in different folders."""
    keys = sorted(world.root.objects)
    pairs = set(zip(keys, keys[1:], strict=False))
    for name in {key.rpartition("/")[2] for key in keys}:
        same = [key for key in keys if key.endswith(f"/{name}")]
        pairs |= set(zip(same, same[1:], strict=False))
    assert len(pairs) > 100
    for one, other in sorted(pairs):
        check(world, {one: world.root.objects[other], other: world.root.objects[one]})


def test_an_object_of_another_root_gives_the_same_or_a_named_error(world: World) -> None:
    shared = sorted(set(world.root.objects) & set(world.other.objects))
    assert len(shared) > 50
    for key in shared:
        check(world, {key: world.other.objects[key]}, only="batches" if is_newest(world, key) else "")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("streams/raw/s0", "streams/raw/s1"),
        ("runs/a", "runs/lanes"),
        ("runs/a/states", "runs/lanes/states"),
        ("runs/a", "runs/fork"),
    ],
)
def test_folders_that_changed_places_are_named(world: World, one: str, other: str) -> None:
    """A restore into the wrong places."""
    changes: dict[str, bytes | None] = {}
    for here, there in ((one, other), (other, one)):
        for key, data in world.root.objects.items():
            if key.startswith(f"{here}/"):
                changes.setdefault(key, None)
                changes[there + key.removeprefix(here)] = data
    tally = check(world, changes, only="batches")
    assert tally["LogError"] or one.endswith("states")


@pytest.mark.parametrize("folders", [("runs",), ("runs", "mixtures", "names"), ("streams",), ("streams/raw/s0",)])
def test_folders_of_another_root_are_named(world: World, folders: tuple[str, ...]) -> None:
    """A run that is restored beside streams that were made again, or the streams beside the runs."""
    places = tuple(f"{folder}/" for folder in folders)
    changes: dict[str, bytes | None] = {key: None for key in world.root.objects if key.startswith(places)}
    changes |= {key: data for key, data in world.other.objects.items() if key.startswith(places)}
    objects = {key: data for key, data in (world.root.objects | changes).items() if data is not None}
    with pytest.raises(PhasemixError, match="run a is bound to other parts of stream raw/s0"):
        RunReader(Held(objects), "a")


def test_a_kept_state_that_is_damaged_is_derived_again_and_replaced(world: World) -> None:
    choice = random.Random(SEED)
    kept = [key for key in world.root.objects if "/states/" in key]
    assert len(kept) > 4
    for key in kept:
        for change in (flip, cut, zero):
            store = Held(world.root.objects | {key: change(world.root.objects[key], choice)})
            with RunReader(store, key.split("/")[1]) as reader:
                reader.read(int(key.rpartition("/")[2]))
            assert store.objects[key] == world.root.objects[key]


def faults_of(objects: dict[str, bytes]) -> list[str]:
    catalog = Catalog(Held(objects))
    streams = [f"{found.shard} {found.state}" for found in verify_streams(catalog) if found.is_fault]
    return streams + [f"{found.object} {found.state}" for found in verify_runs(catalog) if found.is_fault]


def test_what_is_whole_has_no_faults(world: World) -> None:
    assert faults_of(world.root.objects) == []


@pytest.mark.parametrize("change", [flip, cut_last])
def test_verify_names_every_damaged_object(world: World, change: Change) -> None:
    choice = random.Random(SEED)
    for key, data in sorted(world.root.objects.items()):
        found = faults_of(world.root.objects | {key: change(data, choice)})
        assert any(key in line or key.rpartition("/")[2] in line for line in found), key


def test_verify_names_every_object_that_is_gone(world: World) -> None:
    """But for what is derived, and for the newest entries that nothing else in the root knows of."""
    unknown = []
    for key in sorted(world.root.objects):
        found = faults_of({other: data for other, data in world.root.objects.items() if other != key})
        if not any(key in line or key.rpartition("/")[2] in line for line in found):
            unknown.append(key)
    assert [key for key in unknown if not is_derived(key) and not is_newest(world, key)] == [
        key for key in world.root.objects if key.startswith("tokenizers/")
    ]
    for known in ("streams/raw/s0/_log/00000001", "mixtures/m/00000001", "names/streams/00000003", "names/runs/00000003"):
        assert known not in unknown


def test_damage_in_a_referenced_folder_gives_the_same_or_a_named_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose objects a root does not hold: compressed shards of somebody else's folder, and its index."""
    theirs, choice = tmp_path / "theirs", random.Random(SEED)
    pack(theirs, np.arange(60 * SEQ_LEN, dtype=np.uint16).reshape(60, SEQ_LEN))
    catalog = Catalog(tmp_path / "root")
    catalog.publish_reference("packed/go", theirs)
    Mixtures(catalog).apply(PACKED)
    Runs(catalog).create("packed", mixture="packed@1", seed=1, global_batch=4)
    steps, tally = (9, 4, 0), Counter[str]()
    said = batches(catalog.store, "packed", steps)
    whole = {path: path.read_bytes() for path in sorted(theirs.iterdir())}
    assert len(whole) > 2
    changes: list[Change | None] = [*[flip] * 8, cut_last, cut, zero, None]
    for path, data in whole.items():
        for number, change in enumerate(changes):
            cache = tmp_path / f"cache-{path.name}-{number}"  # as on a node that has read nothing yet
            monkeypatch.setenv("PHASEMIX_CACHE", str(cache))
            if change is None:
                path.unlink()
            else:
                path.write_bytes(change(data, choice))
            refused = ""
            try:
                assert batches(catalog.store, "packed", steps) == said
            except PhasemixError as error:
                refused = str(error)
            tally["refused" if refused else "same"] += 1
            assert not refused or path.name in refused
            assert any(path.name in found.shard for found in verify_streams(Catalog(catalog.store)) if found.is_fault)
            path.write_bytes(data)
    assert tally["refused"] > tally["same"]


OLD_VIEWS: dict[str, Callable[[Held], Any]] = {
    **{run: partial(batches, run=run, steps=steps) for run, steps in OLD_STEPS.items()},
    "streams": lambda store: [Catalog(store).stream(info.name).digest for info in Catalog(store).streams()],
    "documents": lambda store: list(Catalog(store).documents("documents/go")),
    "mixtures": lambda store: [Mixtures(store).text(f"{name}@{number}") for name, number in Mixtures(store).list()],
    "history": lambda store: [event for run in OLD_STEPS for event in Runs(store).history(run)],
    "reports": lambda store: Reports(Catalog(store), "fifth").read(),
    "pool": lambda store: pool.wanted(Catalog(store)),
    "orders": lambda store: load_orders(Catalog(store)),
    "streams verify": lambda store: list(verify_streams(Catalog(store))),
    "runs verify": lambda store: list(verify_runs(Catalog(store))),
}


def test_damage_in_a_root_without_checksums_never_ends_in_a_bare_exception() -> None:
    """Such a root may give other values: that is why there are checksums now."""
    place = Path(__file__).parents[1] / "formats" / "catalog_2"
    objects = {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}
    choice, tally, reads = random.Random(SEED), Counter[str](), {}
    for name, view in OLD_VIEWS.items():
        store = Held(objects)
        view(store)
        reads[name] = store.seen
    for key, data in sorted(objects.items()):
        for change in (flip, flip, cut_last):
            store = Held(objects | {key: change(data, choice)})
            for view in (view for name, view in OLD_VIEWS.items() if bears_on(reads[name], key)):
                try:
                    view(store)
                    tally["read"] += 1
                except PhasemixError as error:
                    tally[type(error).__name__] += 1
    assert {"read", "LogError", "PartError"} <= set(tally)
