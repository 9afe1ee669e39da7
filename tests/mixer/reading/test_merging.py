"""Many small parts that are merged into few folders: fewer files, and every batch, trace and position as before."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from redacted_root import END, assert_same, documents_of, expected, full_disk, make_root, publish, read, take_out

from deploy.command_line import main
from mixer import RunReader, Runs, Trace
from streamer import Catalog, SnapshotLoader
from streamer.catalog.parts import read_sidecar
from streamer.catalog.redaction import Rule
from streamer.catalog.shard_rows import iterate_shard
from streamer.catalog.verification import verify_streams
from streamer.errors import AlreadyPublishedError, PartError, StoreError
from streamer.publishing import merging
from streamer.publishing.compacting import compact
from streamer.publishing.merging import merge
from streamer.reading.boundaries import Boundaries
from streamer.reading.export import export_glob

RULE, LATER = Rule(repositories=("r2",)), Rule(licenses=("MIT",))


def many_parts(folder: Path, count: int = 40) -> Catalog:
    """The root of two streams, one of them with many small parts more."""
    catalog = make_root(folder)
    for part in range(count):
        publish(catalog, "raw/go", documents_of("go", 5 + part % 7, first=1000 + 20 * part), seed=100 + part)
    return catalog


def places_of(catalog: Catalog, name: str = "raw/go") -> list[str]:
    return list(dict.fromkeys(part.folder for part in catalog.stream(name).parts))


def in_folders(catalog: Catalog, name: str = "raw/go") -> list[Path]:
    place = catalog.store.local_path(f"streams/{name}/_parts")
    assert place is not None
    return sorted(place.iterdir())


def look_at(root: str) -> list[object]:
    """Boundaries and traces of some batches of the run, and where some documents are."""
    with RunReader(root, "r", boundaries=True) as reader:
        lengths = [np.asarray(reader.read(step).boundaries).tolist() for step in (3, 30)]
    traced = [str(row) for step in range(0, 60, 7) for row in Trace(root, "r").batch(step, text=True)]
    documents = documents_of("go", 9) + documents_of("go", 5, first=1040)
    found = [Trace(root, "r").document(one.document) for one in documents]
    assert any(found)
    return [lengths, traced, found]


def faults(catalog: Catalog) -> list[object]:
    return [one for one in verify_streams(catalog, "*") if one.is_fault]


def told(catalog: Catalog, name: str = "raw/go") -> list[object]:
    """Ids, rows and sidecars of a stream's parts."""
    return [
        (
            part.part_id,
            part.number,
            part.extra,
            [shard.samples for shard in part.shards],
            [row["tokens"].tolist() for shard in part.shards for row in iterate_shard(catalog.store, part, shard)],
            read_sidecar(catalog.store, part).to_pylist(),
        )
        for part in catalog.stream(name).parts
    ]


def test_every_batch_and_trace_is_as_before_and_few_files_are_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog, root = many_parts(tmp_path / "root"), str(tmp_path / "root")
    whole, before, digest = read(catalog, range(60)), told(catalog), catalog.stream("raw/go").digest
    looked = look_at(root)
    assert main(["streams", "compact", "raw/go", "--merge", "--root", root, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"stream": "raw/go", "parts": 43, "samples": 0}]
    for one in (catalog, Catalog(root)):
        one.stream("raw/go")
        assert told(one) == before
        assert one.stream("raw/go").digest == digest
        assert len(places_of(one)) == 1
    assert_same(read(catalog, range(60)), whole)
    assert look_at(root) == looked
    assert len(in_folders(catalog)) == 44
    assert main(["streams", "verify", "--root", root, "--remove"]) == 0
    assert main(["runs", "verify", "--root", root]) == 0
    assert len(in_folders(catalog)) == 1
    assert_same(read(Catalog(root), range(60)), whole)
    assert len(export_glob(Catalog(root), "raw/go")) == 1
    assert merge(Catalog(root), "raw/go").parts == 0


def test_what_is_published_afterwards_is_merged_with_it_and_what_was_left_goes(tmp_path: Path) -> None:
    catalog = many_parts(tmp_path / "root")
    before = told(catalog)
    assert merge(catalog, "raw/go", newest=True).parts == 43
    for part in range(5):
        publish(catalog, "raw/go", documents_of("go", 5, first=5000 + 20 * part), seed=1000 + part)
    assert len(places_of(catalog)) == 6
    assert merge(Catalog(catalog.store), "raw/go", newest=True).parts == 48
    fresh = Catalog(tmp_path / "root")
    assert told(fresh)[:43] == before
    assert [len(places_of(fresh)), len(in_folders(fresh))] == [1, 1 + 1 + 5]  # what the last merge left waits for the next
    publish(fresh, "raw/go", documents_of("go", 5, first=6000), seed=2000)
    assert merge(fresh, "raw/go").parts == 49
    assert len(in_folders(fresh)) == 1 + 2
    assert faults(fresh) == []


def test_folders_are_filled_up_and_large_ones_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MERGED_BYTES", 20_000)
    monkeypatch.setattr(merging, "SMALL_BYTES", 10_000)
    catalog = many_parts(tmp_path / "root", 100)
    sizes = [part.shards[0].size_bytes for part in catalog.stream("raw/go").parts]
    before = told(catalog)
    merge(catalog, "raw/go")
    found = [part.shards[0] for part in catalog.stream("raw/go").parts]
    assert {shard.size_bytes for shard in found if shard.file_rows is None} == {size for size in sizes if size >= 10_000}
    assert max(shard.size_bytes for shard in found if shard.file_rows) <= 20_000
    assert len(places_of(catalog)) <= 3 + 2 + sum(sizes) // 10_000
    assert told(catalog) == before
    last = places_of(catalog)[-1]
    publish(catalog, "raw/go", documents_of("go", 5, first=9000), seed=9)
    merge(catalog, "raw/go", newest=True)
    assert (
        len(places_of(catalog)) - places_of(catalog).index(last if last in places_of(catalog) else places_of(catalog)[-1])
        <= 2
    )
    assert faults(catalog) == []


def test_a_reader_a_pass_and_a_trace_go_on_while_parts_are_merged_again_and_again(tmp_path: Path) -> None:
    catalog, root = many_parts(tmp_path / "root"), str(tmp_path / "root")
    whole, rows = read(catalog, range(80)), list(SnapshotLoader(root, "raw/go"))
    opened, traced = iter(SnapshotLoader(root, "raw/go")), Trace(root, "r")
    wanted = [str(traced.batch(step)) for step in (3, 20)]
    found, passed = [], [next(opened)]
    with RunReader(root, "r") as reader:
        for step in range(80):
            if step % 8 == 0:
                writer = Catalog(root)
                merge(writer, "raw/go")
                publish(writer, "raw/go", documents_of("go", 3, first=7000 + step), seed=7000 + step)
            found.append(reader.read(step))
    passed += opened
    assert_same(found, whole)
    assert_same(passed, rows)
    assert [str(traced.batch(step)) for step in (3, 20)] == wanted


@pytest.mark.parametrize("first", ["merged", "redacted"])
def test_what_is_redacted_leaves_the_shared_files(tmp_path: Path, first: str) -> None:
    catalog, root = many_parts(tmp_path / "root"), str(tmp_path / "root")
    whole = read(catalog, range(40))
    wanted = [expected(catalog, batch, RULE) for batch in whole]
    if first == "merged":
        merge(catalog, "raw/go")
        take_out(catalog, RULE)
        assert compact(catalog, "raw/go").parts == 43
    else:
        take_out(catalog, RULE)
        merge(catalog, "raw/go")
    assert catalog.manifest("raw/go").in_files(catalog.stream("raw/go").number) == []
    assert compact(catalog, "raw/go").parts == 0
    compact(catalog, "raw/python")
    assert len(places_of(catalog)) == 1
    assert main(["streams", "verify", "--root", root, "--remove"]) == 0
    assert_same(read(Catalog(root), range(40)), wanted)
    for part in Catalog(root).stream("raw/go").parts:
        rows = [row["tokens"] for shard in part.shards for row in iterate_shard(catalog.store, part, shard)]
        for span in read_sidecar(catalog.store, part).to_pylist():
            assert span["repository"] != "r2"
            if span["repository"] is None and span["document"] is None:
                assert {END} == set(rows[span["sample"]][span["start"] : span["end"]].tolist())
    take_out(catalog, LATER)
    assert compact(Catalog(root), "raw/go").parts > 40
    assert faults(Catalog(root)) == []


@pytest.mark.parametrize("broken", range(4))
def test_a_merge_that_is_broken_off_leaves_the_stream_whole(
    tmp_path: Path, broken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = many_parts(tmp_path / "root")
    before = told(catalog)
    with full_disk(monkeypatch, after=broken), pytest.raises(StoreError, match="disk is full"):
        merge(Catalog(catalog.store), "raw/go")
    fresh = Catalog(tmp_path / "root")
    assert faults(fresh) == []
    assert told(fresh) == before
    assert merge(fresh, "raw/go").parts == 43
    assert told(fresh) == before
    assert not any(one.is_fault for one in verify_streams(fresh, "*", remove=True))
    assert len(in_folders(fresh)) == 1


def test_two_merges_and_a_redaction_meanwhile_end_in_one_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog, root = many_parts(tmp_path / "root"), tmp_path / "root"
    whole = read(catalog, range(20))
    wanted = [expected(catalog, batch, RULE) for batch in whole]
    rewrite, acts = merging.rewrite, [lambda: merge(Catalog(root), "raw/go"), lambda: take_out(Catalog(root), RULE)]

    def late(*arguments: object) -> bool:
        if acts:
            acts.pop(0)()
        return rewrite(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(merging, "rewrite", late)
    merge(catalog, "raw/go")
    merge(catalog, "raw/go")
    monkeypatch.undo()
    fresh = Catalog(root)
    compact(fresh, "raw/go")
    compact(fresh, "raw/python")
    assert faults(fresh) == []
    assert_same(read(fresh, range(20)), wanted)


def test_what_was_compacted_while_another_group_was_merged_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, root = many_parts(tmp_path / "root"), tmp_path / "root"
    monkeypatch.setattr(merging, "MERGED_BYTES", 12_000)
    monkeypatch.setattr(merging, "SMALL_BYTES", 6_000)
    whole = read(catalog, range(20))
    wanted = [expected(catalog, batch, RULE) for batch in whole]
    rewrite, calls = merging.rewrite, list[int]()

    def slow(*arguments: object) -> bool:
        calls.append(1)
        if len(calls) == 1:  # all is redacted and compacted while the first group is written
            take_out(Catalog(root), RULE)
            compact(Catalog(root), "raw/go")
        return rewrite(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(merging, "rewrite", slow)
    merge(catalog, "raw/go")
    monkeypatch.undo()
    fresh = Catalog(root)
    for part in fresh.stream("raw/go").parts:
        assert not any(span["repository"] == "r2" for span in read_sidecar(fresh.store, part).to_pylist())
    compact(fresh, "raw/python")
    assert_same(read(fresh, range(20)), wanted)
    assert faults(fresh) == []


def test_a_verification_goes_on_when_parts_are_merged_while_it_reads(tmp_path: Path) -> None:
    catalog, root = many_parts(tmp_path / "root"), tmp_path / "root"
    found = verify_streams(Catalog(root), "raw/go")
    first = next(found)
    for number in range(2):
        merge(catalog, "raw/go")
        publish(catalog, "raw/go", documents_of("go", 3, first=8000 + 10 * number), seed=8000 + number)
    assert len(in_folders(catalog)) < 10
    assert not any(one.is_fault for one in [first, *found])


def test_rows_without_documents_are_known_again_after_a_merge(tmp_path: Path) -> None:
    catalog, rows = Catalog(tmp_path / "root"), np.arange(96, dtype=np.uint16).reshape(3, 32)
    for number in range(3):
        catalog.append("raw/go", rows + number, seq_len=32, tokenizer="bpe-0")
    folder = tmp_path / "kept"
    shutil.copytree(catalog.store.local_path(catalog.stream("raw/go").parts[1].folder) or "", folder)
    assert merge(catalog, "raw/go").parts == 3
    with pytest.raises(AlreadyPublishedError):
        catalog.publish_directory("raw/go", folder, tokenizer="bpe-0")
    assert merge(catalog, "raw/go").parts == 0


def test_a_damaged_shared_file_is_named_for_each_part_and_read_once(tmp_path: Path) -> None:
    catalog = many_parts(tmp_path / "root")
    merge(catalog, "raw/go")
    part = catalog.stream("raw/go").parts[5]
    place = Path(catalog.store.local_path(part.folder) or "", part.shards[0].name)
    data = bytearray(place.read_bytes())
    data[-1] ^= 1
    place.write_bytes(data)
    named = [one for one in verify_streams(Catalog(tmp_path / "root"), "raw/go") if one.is_fault]
    assert len(named) == 43
    with pytest.raises(PartError, match="phasemix streams verify"):
        list(SnapshotLoader(str(tmp_path / "root"), "raw/go"))


def test_parts_without_the_same_files_and_foreign_ones_stay_apart(tmp_path: Path) -> None:
    catalog = many_parts(tmp_path / "root", 6)
    stream = catalog.stream("raw/go")
    rows = np.ones((3, stream.seq_len or 0), np.uint16)
    catalog.append("raw/go", rows, seq_len=stream.seq_len or 0, tokenizer=stream.tokenizer)
    publish(catalog, "raw/go", documents_of("go", 5, first=800), seed=4)
    assert merge(catalog, "raw/go").parts == 9
    assert len(places_of(catalog)) == 3


def test_the_same_folder_is_not_published_again_after_a_merge(tmp_path: Path) -> None:
    catalog = many_parts(tmp_path / "root")
    part = catalog.stream("raw/go").parts[7]
    folder = Path(catalog.store.local_path(part.folder) or "")
    merge(catalog, "raw/go")
    with pytest.raises(AlreadyPublishedError, match=part.part_id):
        catalog.publish_directory("raw/go", folder, tokenizer=catalog.stream("raw/go").tokenizer)


def test_boundaries_of_parts_that_share_a_sidecar(tmp_path: Path) -> None:
    catalog = many_parts(tmp_path / "root", 10)
    parts = list(catalog.stream("raw/go").parts)
    which, rows = np.array([4, 9, 4, 0]), np.array([0, 1, 1, 3])
    before = Boundaries(catalog.store).lengths(parts, which, rows, 32)
    merge(catalog, "raw/go")
    assert np.array_equal(Boundaries(catalog.store).lengths(list(catalog.stream("raw/go").parts), which, rows, 32), before)


def test_a_fork_of_a_run_reads_on_over_merged_parts(tmp_path: Path) -> None:
    catalog, root = many_parts(tmp_path / "root"), str(tmp_path / "root")
    read(catalog, range(20))
    merge(catalog, "raw/go")
    Runs(catalog).fork("r", "f", at_step=12)
    assert_same(read(catalog, range(40), run="f"), read(Catalog(root), range(40)))
