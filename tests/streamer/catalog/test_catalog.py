"""Streams grow by whole, verified parts, or stay as they were."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deploy.command_line import main
from streamer import Catalog, SnapshotLoader
from streamer.errors import BadNameError, PartError, StoreError, StreamError
from streamer.store.log import Log

Fill = Callable[..., Catalog]
APPEND = Log.append


def test_a_snapshot_is_named_by_its_number_for_ever(fill: Fill) -> None:
    catalog = fill("raw/python", 30, 20)
    assert catalog.stream("raw/python").samples == 50
    assert catalog.stream("raw/python", 1).samples == 30


def test_an_empty_stream_can_be_made_and_then_grows(root: Path, fill: Fill) -> None:
    Catalog(root).create_stream("synthetic/go", seq_len=8)
    assert Catalog(root).streams()[0].samples == 0
    assert fill("synthetic/go", 4).stream("synthetic/go").samples == 4


@pytest.mark.parametrize(
    "name", ["python", "raw/../x", "raw/Python", "a/" * 7 + "b", "raw/_log", "/raw/x", "raw/" + "a" * 65]
)
def test_a_name_that_is_no_stream_is_refused_before_a_path_is_made(root: Path, name: str) -> None:
    with pytest.raises(BadNameError):
        Catalog(root).append(name, np.zeros((1, 8), np.uint16), seq_len=8)
    assert not root.exists()


def test_rows_that_do_not_fit_leave_the_stream_as_it_was(fill: Fill) -> None:
    catalog = fill("raw/python", 3)
    for rows, seq_len, dtype in [
        (np.zeros((1, 9), np.uint16), 9, "uint16"),
        (np.zeros((1, 9), np.uint16), 8, "uint16"),
        (np.full((1, 8), 70000), 8, "uint16"),
        (np.zeros((1, 8)), 8, "uint16"),
        (np.zeros((1, 8), np.uint32), 8, "uint32"),
        (np.zeros((0, 8), np.uint16), 8, "uint16"),
    ]:
        with pytest.raises(StreamError):
            catalog.append("raw/python", rows, seq_len=seq_len, dtype=dtype)
    assert catalog.stream("raw/python").number == 1
    assert catalog.garbage("raw/python") == []


def test_a_part_with_a_lying_index_is_refused(fill: Fill, root: Path, tmp_path: Path) -> None:
    snapshot = fill("raw/python", 3).stream("raw/python")
    folder = root / snapshot.parts[0].folder
    shard = next(folder.glob("*.mds"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(PartError, match="bytes"):
        Catalog(root).publish_directory("raw/other", folder)
    with pytest.raises(PartError, match="streams verify"):
        list(SnapshotLoader(root, "raw/python"))


def test_a_flipped_bit_is_never_read(fill: Fill, root: Path) -> None:
    snapshot = fill("raw/python", 3).stream("raw/python")
    shard = next((root / snapshot.parts[0].folder).glob("*.mds"))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(bytes(data))
    with pytest.raises(PartError, match="hash"):
        list(SnapshotLoader(root, "raw/python"))


def test_a_condition_that_says_no_leaves_nothing_behind(fill: Fill) -> None:
    catalog = fill("synthetic/go", 2)
    assert catalog.append_when("synthetic/go", np.zeros((1, 8), np.uint16), seq_len=8, decide=lambda _: None) is None
    assert catalog.stream("synthetic/go").number == 1
    assert catalog.garbage("synthetic/go") == []


def test_garbage_is_named_condemned_and_removed_and_parts_are_not(fill: Fill, root: Path) -> None:
    catalog = fill("raw/python", 2)
    (root / "streams/raw/python/_parts/dead").mkdir()
    (root / "streams/raw/python/_parts/dead/shard.00000.mds").write_bytes(b"x")
    assert catalog.garbage("raw/python") == ["dead"]
    assert catalog.remove_garbage("raw/python", "dead")
    assert catalog.garbage("raw/python") == []
    assert not catalog.remove_garbage("raw/python", catalog.stream("raw/python").parts[0].part_id)
    assert len(list(SnapshotLoader(root, "raw/*"))) == 1


def test_what_a_killed_first_publication_left_is_named_and_removed(
    fill: Fill, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def die(*_: object) -> None:
        os._exit(9)

    if (child := os.fork()) == 0:
        monkeypatch.setattr(
            Log, "append", lambda log, decide, **how: die() if log.name.endswith("_log") else APPEND(log, decide, **how)
        )
        fill("raw/python", 2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    catalog = Catalog(root)
    assert catalog.streams() == []
    (lying,) = catalog.garbage("raw/python")
    assert main(["streams", "verify", "--remove", "--root", str(root)]) == 0
    assert lying in capsys.readouterr().out
    assert catalog.garbage("raw/python") == []
    assert Catalog(root).streams() == []
    assert fill("raw/python", 2).stream("raw/python").samples == 2


def test_a_root_that_is_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is a file"):
        Catalog(tmp_path / "file")


def test_the_ranks_of_a_snapshot_loader_share_every_sample_once(fill: Fill, root: Path) -> None:
    fill("heldout/python", 30, 3)
    fill("heldout/go", 7)
    seen = [
        tuple(origin)
        for rank in range(3)
        for batch in SnapshotLoader(root, "heldout/*", rank, 3, batch_rows=4)
        for origin in batch.origin.tolist()
    ]
    assert len(seen) == len(set(seen)) == 40


@pytest.mark.parametrize(("rank", "world_size", "rows"), [(2, 2, 4), (-1, 2, 4), (0, 0, 4), (0, 1, 0)])
def test_a_snapshot_loader_refuses_a_rank_that_cannot_be(
    fill: Fill, root: Path, rank: int, world_size: int, rows: int
) -> None:
    fill("heldout/python", 3)
    with pytest.raises(StreamError, match="world size"):
        SnapshotLoader(root, "heldout/*", rank, world_size, batch_rows=rows)
