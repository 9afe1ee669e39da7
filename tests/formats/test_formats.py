"""Old files are read as they were, and today's are the same. `make.py` wrote what is committed."""

import json
import shutil
from pathlib import Path

import make
import pytest

from mixer import Mixtures, RunReader, Runs, Trace
from mixer.journal.journal import Journal
from mixer.pool import pool
from mixer.runs.verification import verify_runs
from streamer import Catalog
from streamer.catalog.verification import verify_streams


@pytest.mark.parametrize("number", make.numbers())
def test_every_committed_catalog_reads_as_it_did(number: int) -> None:
    root = make.HERE / f"catalog_{number}"
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert make.describe(root) == json.loads(root.with_suffix(".json").read_text())
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("number", make.numbers())
def test_every_committed_catalog_takes_new_entries_and_parts(number: int, tmp_path: Path) -> None:
    root = Path(shutil.copytree(make.HERE / f"catalog_{number}", tmp_path / "root"))
    said = json.loads((make.HERE / f"catalog_{number}.json").read_text())
    end = said["runs"]["first"]["info"]["end_step"]
    catalog, rows = Catalog(root), make.rows(0, 30)
    for stream in ("raw/go", "raw/python"):
        catalog.append(stream, rows, seq_len=make.SEQ_LEN, tokenizer=catalog.stream(stream).tokenizer)
    runs = Runs(catalog)
    runs.switch("first", Mixtures(catalog).apply(make.MIXTURE % 5))
    runs.fork("first", "newest", at_step=270, seed=99)
    make.read(root, "first", end + 60)
    make.read(root, "newest", end + 60)
    pool.set_wanted(catalog, 7)
    assert pool.wanted(Catalog(root)) == 7
    runs.archive("second")
    assert {info.name for info in Runs(root).list(archived=True)} == {"second", *said.get("archived", [])}
    assert {found.run for found in verify_runs(Catalog(root))} >= {"first", "newest"}
    assert [found for found in (*verify_runs(Catalog(root)), *verify_streams(Catalog(root))) if found.is_fault] == []
    now = make.describe(root)["runs"]
    assert now["first"]["batches"][: len(said["runs"]["first"]["batches"])] == said["runs"]["first"]["batches"]
    assert now["newest"]["batches"][:270] == said["runs"]["first"]["batches"][:270]
    assert {name: now[name] for name in said["runs"] if name != "first"} == {
        name: run for name, run in said["runs"].items() if name != "first"
    }


def test_a_committed_run_goes_on_and_is_traced(newest: Path, old: Path) -> None:
    end = Journal(Catalog(old), "first").ledger.end
    with RunReader(old, "first") as reader, RunReader(newest, "first", read_only=True) as forecast:
        for step in (end, end + 40):
            assert reader.read(step).origin.tolist() == forecast.read(step).origin.tolist()
    told = {(len(row.documents or []), row.redacted) for row in Trace(old, "third").batch(3)}
    assert told == {(2, 0), (1, 1)}


def test_what_is_written_today_is_what_is_committed(newest: Path, root: Path) -> None:
    make.build(root)
    now, then = make.contents(root), make.contents(newest)
    assert list(now) == list(then)
    for key, value in then.items():
        assert now[key] == value, key
    assert make.without_digests(make.describe(root)["runs"]) == make.without_digests(make.describe(newest)["runs"])


def test_every_format_is_in_the_committed_catalog(newest: Path) -> None:
    text = " ".join(map(str, make.contents(newest).values()))
    names = ("log", "names", "stream", "sidecar", "mixture", "ledger", "order", "state", "orders", "pool", "report")
    newer = {"log": 2, "state": 2}
    assert [name for name in (*names, "archive") if f"'{name}/{newer.get(name, 1)}'" not in text] == []
    assert "'mixture/2'" in text
    assert "'mixture/3'" in text
    assert "'stream/2'" in text
    assert "'stream/3'" in text
    assert "'stream/4'" in text
    assert "'stream/5'" in text
    assert "'redaction/1'" in text
    events = (
        "created",
        "redacted",
        "compacted",
        "merged",
        "part",
        "condemned",
        "switched",
        "segment",
        "skipped",
        "paused",
        "resumed",
        "noted",
        "ended",
    )
    assert [event for event in (*events, "archived", "restored") if f"'event': '{event}'" not in text] == []
    keys = ("before", "joins", "counts", "reason", "parent", "fork", "lanes", "compression", "policy", "steered")
    assert [key for key in keys if f"'{key}': " not in text] == []
