"""Redacted documents: batches before stay what they were, later ones are without them, everywhere and after any crash."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from redacted_root import END, SEQ_LEN, assert_same, documents_of, expected, make_root, publish, read, take_out

from deploy.command_line import main
from mixer import Runs, Trace
from mixer.journal.journal import line_of
from mixer.ledger.history import history
from streamer import Catalog, SnapshotLoader
from streamer.catalog.redaction import Rule
from streamer.errors import StreamError
from streamer.packing.packing import pack, sidecar_rows
from streamer.publishing.redacting import redact, search
from streamer.reading.export import export_glob
from streamer.reading.looking.passages import Passages

RULES = [
    Rule(repositories=("r2",)),
    Rule(licenses=("GPL-3.0-only",)),
    Rule(documents=tuple(document.document for document in documents_of("python", 7))),
    Rule(documents=(documents_of("go", 300)[250].document,), repositories=("r0", "r1", "r2", "r3")),
]


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_from_the_next_segment_on_batches_are_without_it(tmp_path: Path, rule: Rule, ranks: int, nodes: int) -> None:
    whole = read(make_root(tmp_path / "whole", canonical_nodes=nodes), range(60))
    catalog = make_root(tmp_path / "root", canonical_nodes=nodes)
    before = read(catalog, range(10), ranks=ranks)
    written = Trace(catalog, "r").ledger.end
    take_out(catalog, rule)
    found = before + read(catalog, range(10, 60), ranks=ranks)
    wanted = whole[:written] + [expected(catalog, batch, rule) for batch in whole[written:]]
    assert any(batch.redacted is not None and batch.redacted.any() for batch in wanted)
    assert_same(found, wanted)
    assert_same(read(catalog, range(60), ranks=ranks), wanted)  # by fresh readers, from the log alone


def test_it_holds_for_forks_other_redactions_and_parts_that_join_later(tmp_path: Path) -> None:
    catalog, first, second = make_root(tmp_path / "root"), Rule(repositories=("r1",)), Rule(licenses=("MIT",))
    whole = read(make_root(tmp_path / "whole"), range(40))
    read(catalog, range(8))
    one = Trace(catalog, "r").ledger.end
    take_out(catalog, first)
    read(catalog, range(8, 20))
    two = Trace(catalog, "r").ledger.end
    take_out(catalog, second)
    both = Rule(repositories=first.repositories, licenses=second.licenses)
    wanted = [*whole[:one], *(expected(catalog, batch, first) for batch in whole[one:two])]
    wanted += [expected(catalog, batch, both) for batch in whole[two:]]
    assert_same(read(catalog, range(40)), wanted)
    Runs(catalog).fork("r", "f", at_step=12)
    assert_same(read(catalog, range(40), run="f")[:12], wanted[:12])
    assert all(
        batch.tokens[batch.redacted].tolist() == [END] * int(batch.redacted.sum())
        for batch in read(catalog, range(12, 40), run="f")
        if batch.redacted is not None
    )


def test_a_part_with_a_redacted_document_is_refused(tmp_path: Path) -> None:
    catalog = make_root(tmp_path / "root")
    take_out(catalog, Rule(repositories=("r3",)))
    with pytest.raises(StreamError, match=r"r3/python/3\.py.* is redacted"):
        publish(catalog, "raw/python", documents_of("python", 8))
    with pytest.raises(StreamError, match="is redacted"):
        publish(catalog, "raw/rust", documents_of("rust", 8))
    publish(catalog, "raw/python", [document for document in documents_of("python", 8) if document.repository != "r3"])


def test_a_trace_shows_no_later_position(tmp_path: Path) -> None:
    catalog = make_root(tmp_path / "root")
    read(catalog, range(30))
    gone, stays = documents_of("python", 50)[49], documents_of("python", 50)[48]
    end = Trace(catalog, "r").ledger.end
    before = [position for position in Trace(catalog, "r").document(gone.document, to_step=300) if position.step < end]
    others = Trace(catalog, "r").document(stays.document, to_step=300)
    take_out(catalog, Rule(documents=(gone.document,)))
    read(catalog, range(30, 280))
    trace = Trace(catalog, "r")
    assert trace.document(gone.document, to_step=300) == before
    assert [(p.step, p.slot, p.start) for p in trace.document(stays.document, to_step=300)] == [
        (p.step, p.slot, p.start) for p in others
    ]
    for step in range(end, 280):
        for row in trace.batch(step, text=True):
            assert gone.document not in [span.document for span in row.documents or []]


def test_what_people_see_and_what_is_made_of_documents_is_without_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog, root = make_root(tmp_path / "root"), str(tmp_path / "root")
    rows = tmp_path / "documents.jsonl"
    texts = [{"text": d.text, "path": d.path, "repository": d.repository} for d in documents_of("go", 40)]
    rows.write_text("".join(json.dumps(text) + "\n" for text in texts))
    assert main(["streams", "publish", "documents/go", str(rows), "--root", root]) == 0
    capsys.readouterr()
    assert main(["streams", "redact", "--repository", "r2", "--why", "asked for", "--root", root, "--json"]) == 0
    done = {row["stream"]: row["documents"] for row in json.loads(capsys.readouterr().out)}
    assert done == {"raw/python": 90, "raw/go": 90, "documents/go": 10}
    assert {document.repository for document in catalog.documents("documents/go")} == {"r0", "r1", "r3"}
    for stream in ("raw/go", "documents/go"):
        passages = Passages(catalog).window(stream, 0, 40)
        assert {passage.repository for passage in passages if passage.text is None} == {"r2"}
        assert all(passage.is_redacted == (passage.repository == "r2") for passage in passages)
    with pytest.raises(StreamError, match="stock streaming would read"):
        export_glob(catalog, "raw/*")
    for batch in SnapshotLoader(catalog.store, "raw/go"):
        assert batch.redacted is not None
        assert set(batch.tokens[batch.redacted].tolist()) == {END}
    assert main(["corpus", "repack", "--seq-len", "64", "--streams", "raw/*", "--root", root]) == 0
    packed = {passage.repository for passage in Passages(catalog).window("raw-64/go", 0, 200)}
    assert packed == {"r0", "r1", "r3"}
    assert len(export_glob(catalog, "raw-64/*")) == 6
    capsys.readouterr()
    assert main(["streams", "publish", "documents/go", str(rows), "--again", "--root", root, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["redacted"] == 10
    read(catalog, range(4))
    assert [event.why for event in history(catalog, line_of(catalog, "r")) if event.event == "redacted"] == [
        "documents of raw/go, raw/python"
    ]
    assert main(["streams", "show", "raw/go", "--root", root, "--json"]) == 0
    assert all(row["redacted"] for row in json.loads(capsys.readouterr().out))
    assert main(["streams", "redact", "--list", "--root", root, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["why"] == "asked for"
    assert main(["streams", "redact", "--list", "--root", root]) == 0
    assert re.search(r"asked for +\d{4}-\d\d-\d\d \d\d:\d\d\n", capsys.readouterr().out)
    assert main(["streams", "verify", "--root", root]) == 0
    capsys.readouterr()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([], "nothing is named"),
        (["--repository", "none-such"], "nothing was written"),
        (["--documents-from", "/none/such"], "cannot be read"),
        (["--document", "none-such"], "nothing was written"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: list[str], said: str
) -> None:
    catalog = make_root(tmp_path / "root")
    lengths = {name: catalog.stream(name).number for name in catalog.names("streams")}
    assert main(["streams", "redact", *asked, "--root", str(tmp_path / "root")]) == 2
    assert said in capsys.readouterr().err
    assert {name: Catalog(catalog.store).stream(name).number for name in lengths} == lengths
    assert not catalog.redaction_rules()


def test_the_same_again_writes_nothing(tmp_path: Path) -> None:
    catalog, rule = make_root(tmp_path / "root"), Rule(repositories=("r1",))
    take_out(catalog, rule)
    length = catalog.stream("raw/go").number
    take_out(catalog, rule)
    assert catalog.stream("raw/go").number == length
    assert len(catalog.redaction_rules()) == 1


def test_a_stream_without_its_tokenizer_asks_for_an_id(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    documents = documents_of("go", 9)
    packed = pack([np.arange(9)] * 9, seq_len=SEQ_LEN, dtype="uint16", end_of_document_id=END)
    catalog.append("raw/go", packed.rows, seq_len=SEQ_LEN, documents=sidecar_rows(packed, documents))
    rule = Rule(repositories=("r1",))
    with pytest.raises(StreamError, match="give that id with --fill"):
        list(search(catalog, rule))
    redact(catalog, rule, list(search(catalog, rule, fill=7)), by=None, why=None, at_s=0.0)
    batch = next(iter(SnapshotLoader(catalog.store, "raw/go")))
    assert batch.redacted is not None
    assert set(batch.tokens[batch.redacted].tolist()) == {7}


@pytest.mark.parametrize("broken", range(6))
def test_an_interrupted_command_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int) -> None:
    """Given an interrupt before or behind each of its writes, then a second call writes what is missing, once."""
    catalog, rule, puts = make_root(tmp_path / "root"), Rule(repositories=("r1",)), [0]
    put = type(catalog.store).put_if_absent

    def interrupted(store: object, key: str, data: bytes) -> bytes:
        puts[0] += 1
        if puts[0] == broken // 2 + 1 and not broken % 2:
            raise KeyboardInterrupt
        found: bytes = put(store, key, data)  # type: ignore[arg-type]
        if puts[0] == broken // 2 + 1:
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patch:
        patch.setattr(type(catalog.store), "put_if_absent", interrupted)
        with pytest.raises(KeyboardInterrupt):
            take_out(catalog, rule)
    fresh = Catalog(catalog.store)
    take_out(fresh, rule)
    assert len(fresh.redaction_rules()) == 1
    for name in fresh.names("streams"):
        assert [body["event"] for body in fresh.stream_log(name).read()].count("redacted") == 1


def test_a_part_that_is_published_meanwhile_is_searched_too(tmp_path: Path) -> None:
    catalog, rule = make_root(tmp_path / "root"), Rule(repositories=("r1",))
    found = list(search(catalog, rule))
    publish(Catalog(catalog.store), "raw/go", documents_of("go", 40, first=900), seed=99)
    redact(catalog, rule, found, by=None, why=None, at_s=0.0)
    for batch in SnapshotLoader(catalog.store, "raw/go"):
        assert batch.redacted is not None
        assert np.array_equal(expected(catalog, batch, rule).redacted, batch.redacted)
