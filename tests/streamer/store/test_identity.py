"""A root that is gone is refused by name and never written beside; one that comes back is recognised."""

import json
import pickle
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import boto3
import numpy as np
import pytest

from streamer import Catalog
from streamer.catalog import parts
from streamer.errors import PhasemixError, StoreError
from streamer.reading.reader import Reader
from streamer.store import object_store
from streamer.store.directory_store import DirectoryStore
from streamer.store.identity import KEY
from streamer.store.object_store import ObjectStore
from streamer.store.store import Store

ROWS = np.zeros((4, 4), np.uint16)
OLD = Path(__file__).parents[2] / "formats" / "catalog_1"  # from before roots had an identity
GONE = "that this process opened is gone"


def append(catalog: Catalog) -> None:
    catalog.append("raw/python", ROWS, seq_len=4)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


@pytest.fixture
def unmount(root: Path, tmp_path: Path) -> Callable[[], Callable[[], None]]:
    """unmount() leaves an empty folder where the root was, as a disk does; what it returns mounts the root again."""

    def away() -> Callable[[], None]:
        root.rename(tmp_path / "disk")
        root.mkdir()

        def back() -> None:
            root.rmdir()
            (tmp_path / "disk").rename(root)

        return back

    return away


def test_the_first_append_gives_a_root_its_identity_for_ever(store: Store) -> None:
    assert store.get(KEY) is None
    append(Catalog(store))
    before = store.get(KEY)
    assert before is not None
    append(Catalog(pickle.loads(pickle.dumps(store)) if isinstance(store, DirectoryStore | ObjectStore) else store))
    assert store.get(KEY) == before


def test_a_root_that_is_not_mounted_is_refused_and_never_written_beside(
    root: Path, tmp_path: Path, unmount: Callable[[], Callable[[], None]]
) -> None:
    catalog = Catalog(root)
    append(catalog)
    store, part = catalog.store, catalog.stream("raw/python").parts[0]
    reader, (shard,) = Reader(store, tmp_path / "cache"), part.shards
    (tmp_path / "file").write_bytes(b"x" * 10)
    back = unmount()
    acts: list[Callable[[], object]] = [
        lambda: append(catalog),
        lambda: catalog.stream("raw/python"),
        lambda: catalog.garbage("raw/python"),
        lambda: store.put_if_absent("a/b", b"x"),
        lambda: store.put_file("a/b", tmp_path / "file"),
        lambda: store.get("a/b"),
        lambda: store.fetch("a/b", tmp_path / "file", 10),
        lambda: store.delete("a/b"),
        lambda: store.list("a"),
        lambda: reader.rows(part, shard, catalog.stream("raw/python", 1).schema),
        lambda: append(Catalog(pickle.loads(pickle.dumps(store)))),
        store.opened.check,
    ]
    for act in acts:
        with pytest.raises(StoreError, match=f"the root {root} {GONE}: nothing of it lies there.*Mount its disk again"):
            act()
    assert files(root) == []
    root.rmdir()
    with pytest.raises(StoreError, match="it does not exist"):
        append(catalog)
    assert not root.exists()
    root.mkdir()
    back()
    append(catalog)
    assert (reader.rows(part, shard, catalog.stream("raw/python").schema) == 0).all()
    assert len(Catalog(root).stream("raw/python").parts) == 2


def test_a_root_that_comes_back_on_another_disk_is_recognised(root: Path, tmp_path: Path) -> None:
    catalog = Catalog(root)
    append(catalog)
    root.rename(tmp_path / "disk")
    shutil.copytree(tmp_path / "disk", root)  # other inodes, as after a restore
    append(catalog)
    assert len(Catalog(root).stream("raw/python").parts) == 2


def test_another_root_in_its_place_is_refused(root: Path, tmp_path: Path) -> None:
    catalog = Catalog(root)
    append(catalog)
    root.rename(tmp_path / "disk")
    append(Catalog(root))  # somebody who opened the empty place makes another root there
    before = files(root)
    for act in (lambda: append(catalog), catalog.store.opened.check):
        with pytest.raises(StoreError, match=f"another root lies at {root}"):
            act()
    assert files(root) == before
    append(Catalog(root))


def test_a_real_disk_may_go_and_come_back(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "FREE_MARGIN_BYTES", 0)
    catalog = Catalog(small_disk)
    append(catalog)
    held = small_disk.parent / "held"
    held.mkdir()
    subprocess.run(["mount", "--bind", small_disk, held], check=True)
    try:
        subprocess.run(["umount", small_disk], check=True)
        with pytest.raises(StoreError, match=GONE):
            append(catalog)
        assert files(small_disk) == []
        subprocess.run(["mount", "--bind", held, small_disk], check=True)
    finally:
        subprocess.run(["umount", held], check=True)
    append(catalog)
    assert len(Catalog(small_disk).stream("raw/python").parts) == 2


def test_a_process_that_began_before_the_disk_was_mounted_takes_the_root_that_comes(root: Path, tmp_path: Path) -> None:
    append(Catalog(tmp_path / "disk"))
    root.mkdir()
    early = Catalog(root)
    assert early.streams() == []
    root.rmdir()
    (tmp_path / "disk").rename(root)
    append(early)
    assert len(early.stream("raw/python").parts) == 2


def test_an_old_root_is_read_as_it_is_and_gets_its_identity_with_the_first_append(
    root: Path, unmount: Callable[[], Callable[[], None]]
) -> None:
    shutil.copytree(OLD, root)
    catalog = Catalog(root)
    name = catalog.streams()[0].name
    assert not (root / KEY).exists()
    back = unmount()
    with pytest.raises(StoreError, match=GONE):
        catalog.stream(name)
    back()
    catalog.stream(name)
    assert not (root / KEY).exists()
    catalog.append("raw/new", ROWS, seq_len=4)
    assert (root / KEY).exists()
    back = unmount()
    with pytest.raises(StoreError, match=GONE):
        catalog.append("raw/new", ROWS, seq_len=4)
    back()
    catalog.append("raw/new", ROWS, seq_len=4)


def test_any_flipped_bit_of_an_identity_is_named(root: Path, tmp_path: Path) -> None:
    catalog = Catalog(root)
    append(catalog)
    data = (root / KEY).read_bytes()
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        (root / KEY).write_bytes(flipped)
        with pytest.raises(StoreError, match=f"{KEY} (is damaged|has format)"):
            Catalog(root)
    (root / KEY).write_bytes(data[:-1])
    with pytest.raises(StoreError, match="is damaged"):
        Catalog(root)
    (root / KEY).write_text(json.dumps({"format": "root/9", "name": "x"}))
    with pytest.raises(StoreError, match="has format root/9.*update phasemix"):
        Catalog(root)
    append(catalog)  # who knows the root already is not disturbed


def test_a_bucket_that_was_emptied_or_made_anew_is_refused(
    s3_store: Callable[..., ObjectStore], s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "FRESH_S", 1e-9)
    store = s3_store()
    catalog = Catalog(store)
    append(catalog)
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    bucket = boto3.resource("s3", endpoint_url=s3_endpoint, **keys).Bucket(store.url.split("/")[2])
    bucket.objects.delete()
    with pytest.raises(StoreError, match=GONE):
        append(catalog)
    append(Catalog(s3_store()))
    with pytest.raises(StoreError, match="another root lies at"):
        append(catalog)
    bucket.objects.delete()
    bucket.delete()
    with pytest.raises(PhasemixError, match="does not exist"):
        append(catalog)


def test_racing_first_appends_agree_on_one_identity(root: Path) -> None:
    catalogs = [Catalog(root) for _ in range(6)]
    threads = [threading.Thread(target=append, args=(catalog,)) for catalog in catalogs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Catalog(root).stream("raw/python").parts) == 6
    assert len({catalog.store.opened.id for catalog in catalogs}) == 1
