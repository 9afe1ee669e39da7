"""Scores: a histogram over a key's tiers and documents by their scores, from a bounded number of sidecars."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from streamer import Catalog, Document
from streamer.catalog import sidecar
from streamer.documents.document import document_id
from streamer.errors import StreamError
from streamer.packing import tokenizer as tokenizers
from streamer.packing.packing import pack, sidecar_rows
from streamer.packing.tokenizer import end_of_document_id
from streamer.reading.looking import scores as module
from streamer.reading.looking.passages import Passages
from streamer.reading.looking.scores import Scores

SEQ_LEN = 16
TEXT = "def f{0}(value):\n    return value + {0}\n"
TOKENIZER = tokenizers.train([TEXT.format(number) for number in range(60)], vocabulary=300)


def source(name: str, score: float | None) -> Document:
    text = TEXT.format(name) * 3
    return Document(
        text=text, path=f"{name}.py", repository="r", language="python", license="MIT",
        document=document_id("r", f"{name}.py", text), score=score,
    )  # fmt: skip


def add(catalog: Catalog, stream: str, documents: list[Document]) -> None:
    """Appends documents as a part; each goes over several rows."""
    packed = pack(
        [TOKENIZER.encode(one.text).ids for one in documents],
        seq_len=SEQ_LEN, dtype="uint16", end_of_document_id=end_of_document_id(TOKENIZER),
    )  # fmt: skip
    stamp, rows = catalog.put_tokenizer(TOKENIZER.to_str()), sidecar_rows(packed, documents)
    catalog.append(stream, packed.rows, seq_len=SEQ_LEN, tokenizer=stamp, documents=rows)


@pytest.fixture
def tiers(root: Path) -> tuple[Catalog, dict[str, Document]]:
    """Twenty tiers of four documents, of which one has no score, and other streams beside them."""
    catalog, found = Catalog(root), dict[str, Document]()
    for tier in range(20):
        documents = [source(f"{tier}-{n}", None if n == 3 else (tier + n / 4) / 20) for n in range(4)]
        add(catalog, f"scored/python/q{tier * 5:02d}", documents)
        found |= {one.document: one for one in documents}
    add(catalog, "scored/python2/q00", [source("other", 0.5)])
    add(catalog, "scored@edu/python/q00", [source("elsewhere", 3.5), source("else", 3.5)])
    return catalog, found


def test_every_document_is_counted_once_in_the_bin_of_its_score(tiers: tuple[Catalog, dict[str, Document]]) -> None:
    catalog, documents = tiers
    found, known = (
        Scores(catalog).histogram("scored", "python"),
        [one.score for one in documents.values() if one.score is not None],
    )
    assert (found.documents, found.parts, found.parts_read) == (60, 20, 20)
    assert sum(one.documents for one in found.bins) == 60
    for place, one in enumerate(found.bins):
        is_last = place == len(found.bins) - 1
        assert one.documents == sum(one.low <= score and (score < one.high or is_last) for score in known)
    assert (found.bins[0].low, found.bins[-1].high) == (min(known), max(known))
    assert [(one.stream, one.documents, one.low) for one in found.tiers[:2]] == [
        ("scored/python/q00", 3, 0.0), ("scored/python/q05", 3, 0.05),
    ]  # fmt: skip
    other = Scores(catalog).histogram("scored@edu", "python")
    assert (other.documents, sum(one.documents for one in other.bins)) == (2, 2)


def test_documents_come_by_score_and_open_whole(tiers: tuple[Catalog, dict[str, Document]]) -> None:
    catalog, documents = tiers
    scores = Scores(catalog)
    known = sorted((one for one in documents.values() if one.score is not None), key=lambda one: one.score or 0)
    best = scores.documents("scored", "python", worst=False, first=0, count=5)
    assert [one.document for one in best] == [one.document for one in known[::-1][:5]]
    worst = scores.documents("scored", "python", worst=True, first=2, count=3)
    assert [(one.path, one.score) for one in worst] == [(one.path, one.score) for one in known[2:5]]
    middle = scores.histogram("scored", "python").bins[7]
    inside = scores.documents("scored", "python", low=middle.low, high=middle.high, worst=False, first=0, count=32)
    assert len(inside) == middle.documents > 0
    assert scores.documents("scored", "python", worst=False, first=60, count=5) == []
    for one in (*best, *worst):
        assert one.document is not None
        rows = Passages(catalog).document(one.stream, one.part, one.document)
        assert len(rows) > 1
        assert rows[0].row == one.row
        assert "".join(row.text or "" for row in rows).startswith(documents[one.document].text)


def test_what_was_read_is_read_again_only_when_a_tier_grew(
    tiers: tuple[Catalog, dict[str, Document]], monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, _ = tiers
    read, scores = list[str](), Scores(catalog)
    real: Callable[..., object] = sidecar.read_parquet
    monkeypatch.setattr(
        sidecar, "read_parquet", lambda store, part, *rest: (read.append(part.folder), real(store, part, *rest))[1]
    )
    before = scores.version("scored", "python")
    scores.histogram("scored", "python")
    scores.histogram("scored", "python")
    assert len(read) == 20
    scores.documents("scored", "python", worst=False, first=0, count=3)
    assert len(read) == 21  # the three lie in one part
    add(catalog, "scored/python2/q00", [source("more", 0.1)])
    assert scores.version("scored", "python") == before
    add(catalog, "scored/python/q95", [source("new", 2.0)])
    assert scores.version("scored", "python") != before
    assert scores.histogram("scored", "python").documents == 61
    assert len(read) == 22  # the new part alone
    assert scores.histogram("scored", "python") == Scores(catalog).histogram("scored", "python")


def test_of_many_parts_a_bounded_number_is_read_and_numbers_are_estimates(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(root)
    for number in range(12):
        add(catalog, "scored/go/q00", [source(f"low-{number}", 0.1)])
    add(catalog, "scored/go/q50", [source("high", 0.9)])
    monkeypatch.setattr(module, "MOST_PARTS", 5)
    found = Scores(catalog).histogram("scored", "go")
    assert (found.parts, found.parts_read) == (13, 5)
    assert [(one.parts, one.parts_read) for one in found.tiers] == [(12, 4), (1, 1)]
    assert found.documents == pytest.approx(13, abs=1)
    assert found.bins[-1].documents == 1
    listed = Scores(catalog).documents("scored", "go", worst=True, first=0, count=32)
    assert len(listed) == 5
    assert {"low-0.py", "low-11.py"} <= {one.path for one in listed}
    monkeypatch.setattr(module, "MOST_BYTES", 1)
    assert Scores(catalog).histogram("scored", "go").parts_read == 1


def test_streams_without_scores_have_no_histogram_and_absent_ones_are_said(root: Path) -> None:
    catalog = Catalog(root)
    catalog.append("scored/c", np.arange(32).reshape(4, 8), seq_len=8)
    rows = [{"sample": 0, "start": 0, "end": 8, "document": "d", "repository": None, "path": None}]
    catalog.append("scored/c/q00", np.arange(8).reshape(1, 8), seq_len=8, documents=rows)
    found = Scores(catalog).histogram("scored", "c")
    assert (found.documents, found.parts, found.parts_read, found.bins) == (0, 2, 2, [])
    assert Scores(catalog).documents("scored", "c", worst=False, first=0, count=5) == []
    with pytest.raises(StreamError, match=r"there is no stream scored/rust under .*; see phasemix streams list"):
        Scores(catalog).histogram("scored", "rust")
    part = catalog.stream("scored/c/q00").parts[0].number
    assert [one.row for one in Passages(catalog).document("scored/c/q00", part, "d")] == [0]
    for number, document in ((part, "absent"), (99, "d")):
        with pytest.raises(StreamError, match=r"has no document \w+ in part"):
            Passages(catalog).document("scored/c/q00", number, document)
