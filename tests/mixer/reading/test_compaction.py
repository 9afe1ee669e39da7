"""Parts that are written anew without what is redacted in them: the text leaves the disk, and no order changes."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from redacted_root import (
    END,
    SEQ_LEN,
    TOKENIZER,
    assert_same,
    documents_of,
    expected,
    full_disk,
    make_root,
    publish,
    read,
    take_out,
)

from deploy.command_line import main
from mixer import RunReader, Runs, Trace
from streamer import Catalog, SnapshotLoader
from streamer.catalog.parts import verify_folder
from streamer.catalog.redaction import Rule
from streamer.catalog.shard_rows import iterate_shard
from streamer.catalog.verification import verify_streams
from streamer.errors import PartError, StoreError
from streamer.mds.folder import MdsFolder
from streamer.publishing import compacting
from streamer.publishing.compacting import compact
from streamer.publishing.redacting import search
from streamer.reading.export import export_glob
from streamer.reading.looking.passages import Passages, Place

RULE, LATER = Rule(repositories=("r2",)), Rule(licenses=("MIT",))


Spans = dict[str, list[tuple[int, int, int]]]


def spans_of(catalog: Catalog, name: str, rule: Rule) -> Spans:
    """Where the tokens of the documents stand that a rule matches, by part."""
    found = next(one for one in search(catalog, rule) if one.stream == name)
    return {part: [tuple(span) for span in spans] for part, spans in found.spans.items()}


def in_files(catalog: Catalog, name: str, spans: Spans) -> list[set[int]]:
    """What the files of a stream have there."""
    found = []
    for part in catalog.stream(name).parts:
        rows = [row["tokens"] for shard in part.shards for row in iterate_shard(catalog.store, part, shard)]
        found += [set(rows[sample][start:end].tolist()) for sample, start, end in spans[part.part_id]]
    return found


def test_the_text_leaves_the_files_and_every_batch_keeps_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = read(make_root(tmp_path / "whole"), range(60))
    catalog, root = make_root(tmp_path / "root"), str(tmp_path / "root")
    read(catalog, range(10))
    spans = spans_of(catalog, "raw/go", RULE)
    written, before = Trace(catalog, "r").ledger.end, catalog.stream("raw/go")
    take_out(catalog, RULE)
    wanted = [expected(catalog, batch, RULE) for batch in whole]
    with RunReader(root, "r", 0, 1) as opened:
        early = [opened.read(step) for step in range(12)]
        assert main(["streams", "compact", "raw/*", "--root", root, "--json"]) == 0
        done = {row["stream"]: row["parts"] for row in json.loads(capsys.readouterr().out)}
        assert done == {"raw/go": 3, "raw/python": 3}
        assert_same(early[:written], whole[:written])  # the files had it still
        assert_same([opened.read(step) for step in range(12, 60)], wanted[12:])
    assert_same(read(catalog, range(60)), wanted)  # the earlier batches too: nobody has their text any more
    assert catalog.stream("raw/go").digest == before.digest
    assert all(found == {END} for found in in_files(Catalog(root), "raw/go", spans))
    assert main(["streams", "verify", "--root", root, "--remove"]) == 0
    assert main(["runs", "verify", "--root", root]) == 0
    assert not any(Catalog(root).garbage(name) for name in ("raw/go", "raw/python"))
    told = [pq.read_table(path)["repository"].to_pylist() for path in Path(root, "streams").rglob("*.parquet")]
    assert len(told) == 6
    assert not any("r2" in names for names in told)
    assert_same(read(Catalog(root), range(60)), wanted)
    assert len(export_glob(Catalog(root), "raw/*")) == 6
    assert main(["streams", "compact", "--root", root]) == 0
    assert "nothing was written" in capsys.readouterr().out
    for step in (3, 40):
        for row in Trace(Catalog(root), "r").batch(step, text=True):
            assert "r2" not in {span.repository for span in row.documents or []}


def test_documents_lose_their_words_and_the_others_keep_theirs(tmp_path: Path) -> None:
    root, rows = str(tmp_path / "root"), tmp_path / "documents.jsonl"
    texts = [{"text": d.text, "path": d.path, "repository": d.repository} for d in documents_of("go", 40)]
    rows.write_text("".join(json.dumps(text) + "\n" for text in texts))
    assert main(["streams", "publish", "documents/go", str(rows), "--root", root]) == 0
    catalog = Catalog(root)
    before = list(catalog.documents("documents/go"))
    take_out(catalog, RULE)
    assert compact(catalog, "documents/go").samples == 10
    (part,) = catalog.stream("documents/go").parts
    kept = [row for shard in part.shards for row in iterate_shard(catalog.store, part, shard)]
    assert len(kept) == 40
    for row, document in zip(kept, before, strict=True):
        assert (row["text"].strip() == "") == (document.repository == "r2")
        assert len(row["text"]) == len(document.text)
        assert row["repository"].strip() == ("" if document.repository == "r2" else document.repository)
    assert list(catalog.documents("documents/go")) == [document for document in before if document.repository != "r2"]


def test_what_is_redacted_while_a_part_is_written_is_not_in_it_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, write, tries = make_root(tmp_path / "root"), compacting.write_part, []
    take_out(catalog, RULE)

    def slow(*args: object) -> object:
        found = write(*args)  # type: ignore[arg-type]
        tries.append(args)
        if len(tries) == 1:
            take_out(Catalog(catalog.store), LATER)
        return found

    looked: list[Catalog] = []
    find = compacting.find_redactions
    monkeypatch.setattr(compacting, "find_redactions", lambda *args: (looked.append(args[0]), find(*args))[1])
    monkeypatch.setattr(compacting, "write_part", slow)
    compact(catalog, "raw/go")
    assert len(tries) == 4  # three parts, the first one twice
    assert len(looked) == 2  # not once for each part
    assert catalog.manifest("raw/go").in_files(catalog.stream("raw/go").number) == []
    assert catalog.garbage("raw/go") == [
        part.part_id for part in sorted(catalog.stream("raw/go").parts, key=lambda p: p.part_id)
    ]


@pytest.mark.parametrize("broken", range(9))
def test_a_command_that_broke_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int) -> None:
    catalog = make_root(tmp_path / "root")
    read(catalog, range(12))
    take_out(catalog, RULE)
    read(catalog, range(12, 20))
    with full_disk(monkeypatch, after=broken), pytest.raises(StoreError, match="disk is full"):
        compact(Catalog(catalog.store), "raw/go")
    fresh = Catalog(str(tmp_path / "root"))
    assert not any(one.is_fault for one in verify_streams(fresh, "*"))
    compact(fresh, "raw/go")
    assert fresh.manifest("raw/go").in_files(fresh.stream("raw/go").number) == []
    assert not any(one.is_fault for one in verify_streams(fresh, "*", remove=True))
    assert not fresh.garbage("raw/go")


def test_a_part_may_be_compacted_again_and_where_it_lies_is_never_removed(tmp_path: Path) -> None:
    catalog = make_root(tmp_path / "root")
    for rule in (RULE, LATER):
        take_out(catalog, rule)
        assert compact(catalog, "raw/go").parts == 3
    places = {part.folder.rsplit("/", 1)[1] for part in catalog.stream("raw/go").parts}
    assert len(catalog.garbage("raw/go")) == 6
    for place in places:
        assert not catalog.remove_garbage("raw/go", place)
    for part_id in catalog.garbage("raw/go"):
        assert catalog.remove_garbage("raw/go", part_id)
    fresh = Catalog(str(tmp_path / "root"))
    assert not any(one.is_fault for one in verify_streams(fresh, "*"))
    assert {part.folder.rsplit("/", 1)[1] for part in fresh.stream("raw/go").parts} == places


def test_compressed_shards_stay_compressed(tmp_path: Path) -> None:
    streaming = pytest.importorskip("streaming", reason="the corpus extra is not installed")
    catalog, documents = Catalog(tmp_path / "root"), documents_of("go", 60)
    catalog.put_tokenizer(TOKENIZER)
    publish(catalog, "raw/go", documents)
    (plain,) = catalog.stream("raw/go").parts
    rows = [row["tokens"] for shard in plain.shards for row in iterate_shard(catalog.store, plain, shard)]
    with streaming.MDSWriter(
        out=str(tmp_path / "mds"), columns={"tokens": f"ndarray:uint16:{SEQ_LEN}"}, compression="zstd", size_limit=1500
    ) as writer:
        for row in rows:
            writer.write({"tokens": row})
    sidecar = Path(catalog.store.local_path(plain.folder) or "", "documents.parquet")
    tokenizer = catalog.stream("raw/go").tokenizer
    told = pq.read_table(sidecar).to_pylist()
    catalog.publish_directory("raw/c", tmp_path / "mds", tokenizer=tokenizer, documents=told, again=True)
    take_out(catalog, RULE)
    before = catalog.stream("raw/c").parts[0]
    assert len(before.shards) > 2
    compact(catalog, "raw/c")
    after = catalog.stream("raw/c").parts[0]
    assert [(shard.name, shard.samples, shard.raw_bytes) for shard in after.shards] == [
        (shard.name, shard.samples, shard.raw_bytes) for shard in before.shards
    ]
    assert not any(one.is_fault for one in verify_streams(catalog, "*"))
    found = [row["tokens"] for shard in after.shards for row in iterate_shard(catalog.store, after, shard)]
    for line in told:
        span = slice(line["start"], line["end"])
        wanted = {END} if line["repository"] == "r2" else set(rows[line["sample"]][span].tolist())
        assert set(found[line["sample"]][span].tolist()) == wanted
    folder = MdsFolder(Path(catalog.store.local_path(after.folder) or ""))
    assert verify_folder(folder, catalog.stream("raw/c").schema) == list(after.shards)


def remove_old_files(root: str) -> None:
    assert main(["streams", "compact", "--root", root]) == 0
    assert main(["streams", "verify", "--root", root, "--remove"]) == 0


@pytest.mark.parametrize("boundaries", [False, True])
def test_a_reader_goes_on_when_the_old_files_go_while_it_reads(tmp_path: Path, boundaries: bool) -> None:
    catalog, root = make_root(tmp_path / "root"), str(tmp_path / "root")
    whole = read(catalog, range(30))
    take_out(catalog, RULE)
    Runs(catalog).fork("r", "f", at_step=20)
    with RunReader(root, "r", boundaries=boundaries) as reader, RunReader(root, "f") as fork:
        reader.read(0)
        remove_old_files(root)
        fresh = read(catalog, range(40))
        found = [reader.read(step) for step in range(40)]
        moved = next(step for step, batch in enumerate(found) if batch.redacted is not None)
        assert_same(found[:moved], whole[:moved])  # what the reader had mapped
        assert_same(found[moved:], fresh[moved:])
        assert_same([fork.read(step) for step in range(20)], fresh[:20])
        parts = catalog.stream("raw/go").parts
        Path(catalog.store.local_path(parts[0].folder) or "", parts[0].shards[0].name).unlink()
        with pytest.raises(PartError, match=r"is missing; restore that object"), RunReader(root, "r") as other:
            [other.read(step) for step in range(40)]


def test_a_pass_over_a_snapshot_goes_on_when_the_old_files_go(tmp_path: Path) -> None:
    catalog, root = make_root(tmp_path / "root"), str(tmp_path / "root")
    whole, opened = list(SnapshotLoader(root, "raw/*")), iter(SnapshotLoader(root, "raw/*"))
    found = [next(opened)]
    take_out(catalog, RULE)
    remove_old_files(root)
    found += opened
    moved = next(number for number, batch in enumerate(found) if batch.redacted is not None)
    assert_same(found[:moved], whole[:moved])  # what it had mapped
    assert_same(found[moved:], list(SnapshotLoader(root, "raw/*"))[moved:])
    part = catalog.stream("raw/python").parts[2]
    Path(catalog.store.local_path(part.folder) or "", part.shards[0].name).unlink()
    with pytest.raises(PartError, match="is missing; restore that object"):
        list(SnapshotLoader(root, "raw/*"))


def test_who_looks_at_rows_goes_on_when_the_old_files_go(tmp_path: Path) -> None:
    catalog, root = make_root(tmp_path / "root"), str(tmp_path / "root")
    read(catalog, range(30))
    Runs(catalog).fork("r", "f", at_step=20)
    take_out(catalog, RULE)
    kept = documents_of("go", 4)[3].document
    traces, passages = [Trace(root, "r"), Trace(root, "f")], Passages(Catalog(root))
    rows = [Place(part.number, 5) for part in catalog.stream("raw/go").parts]
    for trace in traces:
        trace.places(25, range(8))  # the streams are known
    passages.read("raw/python", [Place(catalog.stream("raw/python").parts[0].number, 0)])
    passages._catalog.stream("raw/go")
    remove_old_files(root)
    for trace, fresh in zip(traces, [Trace(root, "r"), Trace(root, "f")], strict=True):
        assert trace.batch(10, text=True) == fresh.batch(10, text=True)
        assert trace.batch(25, text=True) == fresh.batch(25, text=True)
        assert trace.document(kept) == fresh.document(kept) != []
    assert passages.read("raw/go", rows) == Passages(Catalog(root)).read("raw/go", rows)


def test_documents_that_are_being_read_do_not_turn_into_white_space(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    for part in range(2):
        rows = tmp_path / f"{part}.jsonl"
        texts = [{"text": d.text, "path": d.path, "repository": d.repository} for d in documents_of("go", 8, first=part * 8)]
        rows.write_text("".join(json.dumps(text) + "\n" for text in texts))
        assert main(["streams", "publish", "documents/go", str(rows), "--root", root]) == 0
    catalog = Catalog(root)
    documents = catalog.documents("documents/go")
    found = [next(documents)]
    take_out(Catalog(root), RULE)
    compact(Catalog(root), "documents/go")
    catalog.stream("documents/go")  # somebody else of this process looks
    found += documents
    assert [one.repository for one in found] == ["r0", "r1", "r2", "r3", "r0", "r1", "r2", "r3", *["r0", "r1", "r3"] * 2]


def test_a_stream_whose_first_part_was_never_published_holds_up_no_other(tmp_path: Path) -> None:
    catalog = make_root(tmp_path / "root")
    take_out(catalog, RULE)
    catalog.register("streams", "raw/abandoned")
    assert main(["streams", "compact", "--root", str(tmp_path / "root")]) == 0
    assert len(Catalog(catalog.store).garbage("raw/python")) == 3


def test_what_was_taken_out_does_not_come_back_by_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, theirs, rows = str(tmp_path / "root"), tmp_path / "theirs", tmp_path / "documents.jsonl"
    texts = [{"text": d.text, "path": d.path, "repository": d.repository} for d in documents_of("go", 40)]
    rows.write_text("".join(json.dumps(text) + "\n" for text in texts))
    assert main(["streams", "publish", "documents/go", str(rows), "--root", str(theirs)]) == 0
    other = Catalog(theirs)
    folder = other.store.local_path(other.stream("documents/go").parts[0].folder)
    publish = ["streams", "publish", "documents/go", str(folder), "--reference", "--root", root]
    assert main(publish) == 0
    catalog = Catalog(root)
    take_out(catalog, RULE)
    compact(catalog, "documents/go")
    capsys.readouterr()
    assert main(publish) == 2
    assert "is redacted under this root; leave it out of the part" in capsys.readouterr().err
    assert {document.repository for document in catalog.documents("documents/go")} == {"r0", "r1", "r3"}
