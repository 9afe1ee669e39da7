"""Tracing: what it says of a row or a document is what a reader of the run saw, and it leaves no trace."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from histories import History, Life, examples, histories, live, read_on, toml
from hypothesis import given
from hypothesis import strategies as st

from deploy.command_line import main
from mixer import Mixtures, RunEnded, RunError, RunReader, Runs, StepError, Trace
from mixer.order.blocks import offsets_of, places_of
from mixer.order.permutation import Tables, permute, unpermute
from mixer.planning import planner
from mixer.reading.batch_page import BatchPages
from mixer.reading.turns import Row
from streamer import Catalog
from streamer.errors import PartError
from streamer.store.store import MemoryStore

HEAD = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'


@given(size=st.one_of(st.integers(1, 600), st.integers(1, 1 << 20)), key=st.integers(0, 2**63), data=st.data())
def test_a_permutation_can_be_inverted(size: int, key: int, data: st.DataObject) -> None:
    places = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=50)))
    keys, sizes = np.full(len(places), key, np.uint64), np.full(len(places), size)
    assert unpermute(keys, sizes, permute(keys, sizes, places, Tables())).tolist() == places.tolist()


@given(
    size=st.one_of(st.integers(1, 5000), st.integers(1, 1 << 40)),
    nodes=st.sampled_from([1, 2, 3, 16, 64]),
    passes=st.integers(0, 1000),
    data=st.data(),
)
def test_the_offset_of_a_place_is_the_one_that_goes_there(size: int, nodes: int, passes: int, data: st.DataObject) -> None:
    places = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=20)))
    sizes, keys = np.full(len(places), size), np.full(len(places), 77, np.uint64)
    index = np.full(len(places), passes)
    lanes, offsets = offsets_of(sizes, keys, index, places, nodes)
    assert places_of(sizes, keys, index, lanes, offsets, nodes, Tables()).tolist() == places.tolist()


@examples(150)
@given(history=histories(), data=st.data())
def test_the_positions_of_a_row_are_those_at_which_a_reader_sees_it(history: History, data: st.DataObject) -> None:
    """In a run, and in one of its lineage that goes on from one of its steps."""
    with pytest.MonkeyPatch.context() as patch:
        interval = data.draw(st.sampled_from([3, 7, 512]))
        patch.setattr(planner, "INTERVAL", interval)
        patch.setattr(planner, "LANED_INTERVAL", interval)
        store = MemoryStore("memory")
        life = live(history, store)
        check_positions(store, "a", life, data)
        Runs(store).create(
            "b",
            mixture=Mixtures(store).apply(toml(history, history.weights)),
            seed=history.seed + 1,
            global_batch=history.nodes * data.draw(st.sampled_from([1, 5, 16])),
            canonical_nodes=history.nodes,
            parent="a",
            parent_step=data.draw(st.integers(0, len(life.origin))),
        )
        check_positions(store, "b", read_on(store, "b", batches=data.draw(st.integers(0, 30))), data)


def check_positions(store: MemoryStore, run: str, life: Life, data: st.DataObject) -> None:
    origin, before = life.origin, dict(store._objects)
    if not len(origin):
        return
    catalog = Catalog(store)
    known = [
        Row(index, part.number, row)
        for index, name in enumerate(life.ledger.streams)
        for part in catalog.stream(name).parts
        for row in {0, part.samples // 2, part.samples - 1}
        if part.number < life.ledger.snapshots[index]
    ]
    seen = [Row(*place.tolist()) for place in origin.ravel()[:: max(1, origin.size // 7)]]
    rows = set(seen + data.draw(st.lists(st.sampled_from(known), max_size=6)))
    trace = Trace(store, run)
    found: dict[Row, list[tuple[int, int]]] = {row: [] for row in rows}
    passes: dict[Row, list[int]] = {row: [] for row in rows}
    for turn, step, slot in trace.find(rows, len(origin)):
        found[turn.row].append((step, slot))
        passes[turn.row].append(turn.pass_index)
    for row in rows:
        here = (origin["stream"] == row.stream) & (origin["part"] == row.part) & (origin["row"] == row.row)
        assert sorted(found[row]) == [(step, slot) for step, slot in np.argwhere(here).tolist()]
        assert len(set(passes[row])) == len(passes[row])
    assert store._objects == before


def append_documents(root: Path | MemoryStore, name: str, samples: int, first: int = 0) -> None:
    """Two documents a row: d/0 in the first half of row 0, d/1 in its second; each has the path of its number's parity."""
    rows = (np.arange(samples * 8) % 200).reshape(samples, 8).astype(np.uint16)
    documents = [
        {"sample": row, "start": 4 * half, "end": 4 * half + 4, "document": f"{name}/{first + 2 * row + half}",
         "repository": "r", "path": f"{half}.py"}
        for row in range(samples) for half in (0, 1)
    ]  # fmt: skip
    Catalog(root).append(name, rows, seq_len=8, documents=documents)


def begin(root: Path, fill: Callable[..., Catalog], **settings: int) -> None:
    append_documents(root, "raw/python", 30)
    fill("raw/java", 50)
    reference = Mixtures(root).apply(HEAD + "max_passes = 4\n")
    Runs(root).create("a", mixture=reference, seed=3, global_batch=16, segment_batches=4, **settings)


def test_a_batch_is_traced_to_its_documents(root: Path, fill: Callable[..., Catalog]) -> None:
    begin(root, fill)
    batch = RunReader(root, "a").read(2)
    rows = Trace(root, "a").batch(2)
    assert [(row.slot, row.row) for row in rows] == list(enumerate(batch.origin["row"].tolist()))
    for row in rows:
        assert (row.source, row.text, row.tokens) == ("ledger", None, None)
        if row.stream == "raw/java":
            assert row.documents is None
        else:
            assert row.documents is not None
            assert [(span.document, span.start, span.end, span.path) for span in row.documents] == [
                (f"raw/python/{2 * row.row}", 0, 4, "0.py"), (f"raw/python/{2 * row.row + 1}", 4, 8, "1.py"),
            ]  # fmt: skip
    assert {row.stream for row in rows} == {"raw/java", "raw/python"}
    ranks = [row for rank in range(4) for row in Trace(root, "a").batch(2, rank, 4)]
    assert ranks == rows
    assert [row.tokens for row in Trace(root, "a").batch(2, text=True)] == batch.tokens.tolist()


def test_the_text_of_a_batch_is_what_its_tokenizer_says(root: Path) -> None:
    from streamer.packing import tokenizer

    trained = tokenizer.train(["def f(): return 1\n" * 20], vocabulary=300)
    fingerprint = Catalog(root).put_tokenizer(trained.to_str())
    ids = (trained.encode("def f(): return 1\n").ids * 8)[:8]
    Catalog(root).append("raw/python", np.array([ids, ids]), seq_len=8, tokenizer=fingerprint)
    Runs(root).create("a", mixture=Mixtures(root).apply(HEAD), seed=3, global_batch=2)
    rows = Trace(root, "a").batch(0, text=True)
    assert [row.text for row in rows] == [trained.decode(ids)] * 2


def test_a_document_has_every_position_of_the_ledger_and_what_lies_past_it_is_a_forecast(
    root: Path, fill: Callable[..., Catalog]
) -> None:
    begin(root, fill)
    reader = RunReader(root, "a")
    reader.read(3)
    trace, document = Trace(root, "a"), "raw/python/13"
    assert {position.source for position in trace.document(document)} <= {"ledger"}
    assert all(position.step < 4 for position in trace.document(document))
    to_end = trace.document(document, to_step=1000)  # the run ends after four passes
    assert [(position.pass_index, position.start, position.path) for position in to_end] == [
        (number, 4, "1.py") for number in range(4)
    ]
    assert all((position.source == "forecast") == (position.step >= 4) for position in to_end)
    assert Runs(root).show("a").end_step == 4
    for position in to_end:
        origin = reader.read(position.step).origin[position.slot]
        assert (int(origin["part"]), int(origin["row"])) == (position.part, position.row) == (0, 6)
    after = trace.document(document)
    assert [position.source for position in after] == ["ledger"] * 4
    assert [(position.step, position.slot) for position in after] == [(p.step, p.slot) for p in to_end]


def test_positions_in_skipped_batches_are_marked_and_those_of_a_fork_begin_in_its_parent(
    root: Path, fill: Callable[..., Catalog]
) -> None:
    begin(root, fill)
    RunReader(root, "a").read(15)
    Runs(root).fork("a", "b", at_step=6, skip=5)
    RunReader(root, "b").read(15)
    whole, fork = (Trace(root, run).document("raw/python/13", to_step=16) for run in ("a", "b"))
    assert len(whole) == len(fork) >= 2
    for before, position in zip(whole, fork, strict=True):
        assert (position.step, position.slot, position.row) == (before.step, before.slot, before.row)
        assert position.source == ("skipped" if 6 <= position.step < 11 else "ledger")
    assert {row.source for row in Trace(root, "b").batch(7)} == {"skipped"}
    assert Trace(root, "b").batch(3) == Trace(root, "a").batch(3)


def test_a_path_finds_the_documents_that_have_it_in_every_part(root: Path, fill: Callable[..., Catalog]) -> None:
    begin(root, fill)
    append_documents(root, "raw/python", 3, first=60)
    RunReader(root, "a").read(3)
    found = {position.document for position in Trace(root, "a").document("1.py", to_step=12)}
    assert found == {f"raw/python/{number}" for number in range(1, 66, 2)}


def test_sidecars_of_a_store_without_paths_are_read_and_one_that_is_gone_is_named() -> None:
    store = MemoryStore("memory")
    append_documents(store, "raw/python", 30)
    Runs(store).create("a", mixture=Mixtures(store).apply(HEAD), seed=3, global_batch=16)
    first = Trace(store, "a").batch(0)[0]
    assert first.documents is not None
    document = first.documents[0].document or ""
    assert (0, 0, 0) in [(p.step, p.slot, p.start) for p in Trace(store, "a").document(document, to_step=1)]
    for key in [key for key in store._objects if key.endswith("documents.parquet")]:
        store.delete(key)
    with pytest.raises(PartError, match="documents.parquet is missing"):
        Trace(store, "a").batch(0)


def test_what_cannot_be_traced_is_said(root: Path, fill: Callable[..., Catalog]) -> None:
    begin(root, fill)
    with pytest.raises(RunError, match="has taken in no parts yet, .*; name a later step with --to"):
        Trace(root, "a").document("nothing")
    RunReader(root, "a").read(0)
    trace = Trace(root, "a")
    with pytest.raises(RunError, match="run b does not exist"):
        Trace(root, "b")
    with pytest.raises(RunError, match="document nothing is in none of its 2 parts, 1 of which do not say what they hold"):
        trace.document("nothing")
    with pytest.raises(StepError, match="step -1 is below 0"):
        trace.batch(-1)
    with pytest.raises(StepError, match="step -1 is below 0"):
        trace.document("1.py", to_step=-1)
    with pytest.raises(RunError, match="rank 2 of world size 2"):
        trace.batch(0, 2, 2)
    with pytest.raises(RunEnded, match="max_passes = 4"):
        trace.batch(1000)
    assert trace.batch(15)[0].source == "forecast"


def command(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def test_the_command_prints_a_batch_and_a_document(
    root: Path, fill: Callable[..., Catalog], capsys: pytest.CaptureFixture[str]
) -> None:
    begin(root, fill)
    RunReader(root, "a").read(3)
    trace = ("runs", "trace", "a", "--root", root)
    rows = Trace(root, "a").batch(2)
    table = command(capsys, *trace, "--batch", 2)
    assert table.count("no sidecar") == sum(row.stream == "raw/java" for row in rows)
    assert len(table.splitlines()) == 1 + sum(len(row.documents or [0]) for row in rows)
    assert "forecast" in command(capsys, *trace, "--batch", 9)
    found = json.loads(command(capsys, *trace, "--batch", 2, "--rank", 1, "--world-size", 4, "--json"))
    assert [row["slot"] for row in found] == [4, 5, 6, 7]
    assert "tokens" not in found[0]
    ids = json.loads(command(capsys, *trace, "--batch", 2, "--text", "--json"))[0]["tokens"]
    assert str(ids) in command(capsys, *trace, "--batch", 2, "--text")
    positions = json.loads(command(capsys, *trace, "--document", "raw/python/13", "--to", 1000, "--json"))
    assert [position["pass_index"] for position in positions] == [0, 1, 2, 3]
    assert len(command(capsys, *trace, "--document", "raw/python/13", "--to", 1000).splitlines()) == 5
    assert "a does not give raw/python/13 up to there" in command(capsys, *trace, "--document", "raw/python/13", "--to", 0)


@pytest.mark.parametrize(
    "words",
    [
        ["b", "--batch", "0"],
        ["a", "--batch", "-1"],
        ["a", "--batch", "1000"],
        ["a", "--batch", "0", "--rank", "2", "--world-size", "2"],
        ["a", "--batch", "0", "--to", "5"],
        ["a", "--document", "nothing"],
        ["a", "--document", "nothing", "--text"],
        ["a", "--document", "raw/python/13", "--to", "-1"],
    ],
)
def test_a_mistake_in_a_trace_is_one_line(
    root: Path, fill: Callable[..., Catalog], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    begin(root, fill)
    assert main(["runs", "trace", *words, "--root", str(root)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("phasemix: ")
    assert said.count("\n") == 1


def test_a_step_far_past_the_ledgers_end_is_refused(root: Path, fill: Callable[..., Catalog]) -> None:
    fill("raw/python", 30)
    text = 'name = "far"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'
    Runs(root).create("far", mixture=Mixtures(root).apply(text), seed=1, global_batch=2)
    for ask in (lambda trace: trace.batch(10**30), lambda trace: trace.document("x", to_step=10**30)):
        with pytest.raises(StepError, match="past the ledger's end"):
            ask(Trace(root, "far"))


def test_a_page_of_a_batch_has_its_rows_with_their_documents_and_follows_a_switch(
    root: Path, fill: Callable[..., Catalog]
) -> None:
    begin(root, fill)
    pages = BatchPages(Catalog(root), "a")
    batch = RunReader(root, "a").read(2)
    rows = batch.origin["row"].tolist()
    page = pages.page(2, 1, 2)
    assert (page.step, page.source, page.size) == (2, "ledger", len(rows))
    assert [(row.slot, row.row) for row in page.rows] == [(1, rows[1]), (2, rows[2])]
    for row in page.rows:
        known = [passage.document for passage in row.passages]
        here = [f"raw/python/{2 * row.row}", f"raw/python/{2 * row.row + 1}"]
        assert known == (here if row.stream == "raw/python" else [None])
    assert [row.slot for row in pages.page(2, len(rows) - 1, 9).rows] == [len(rows) - 1]
    with pytest.raises(RunError, match="a global batch has slots 0 to"):
        pages.page(2, len(rows), 1)
    ahead = Runs(root).show("a").end_step + 3
    assert pages.page(ahead, 0, 1).source == "forecast"
    with pytest.raises(StepError, match=r"is more than 4,096 batches past the ledger's end"):
        pages.page(ahead + 5000, 0, 1)
    changed = Mixtures(root).apply(HEAD.replace("raw/*", "raw/java"))
    Runs(root).switch("a", changed)
    reader = RunReader(root, "a")
    for step in range(ahead + 40):
        reader.read(step)
    page = pages.page(ahead + 39, 0, len(rows))
    assert page.source == "ledger"
    assert {row.stream for row in page.rows} == {"raw/java"}
