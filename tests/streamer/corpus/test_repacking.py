"""`corpus repack`: samples of another length from those under a root, as an ingest at that length would have made them."""

import json
import warnings
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.command_line import main
from streamer import Catalog
from streamer.catalog import parts
from streamer.corpus.pipeline import build
from streamer.corpus.recipe import Recipe
from streamer.corpus.repacking import read_rows, repack, unpack
from streamer.documents.document import Document
from streamer.errors import CorpusError, PhasemixError
from streamer.packing.packing import pack, sidecar_rows

END = 0


@pytest.fixture(scope="module", autouse=True)
def _streaming() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("streaming", reason="the corpus extra is not installed")


@pytest.fixture(scope="module")
def built(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    catalog = Catalog(tmp_path_factory.mktemp("built") / "root")
    build(catalog, recipe)
    return catalog


def tokens_of(catalog: Catalog, stream: str) -> list[tuple[np.ndarray, list[dict]]]:
    """(rows, sidecar) of each part."""
    found = catalog.stream(stream).parts
    return [(read_rows(catalog, part), parts.read_sidecar(catalog.store, part).to_pylist()) for part in found]


def one_document(catalog: Catalog, stream: str, rows: np.ndarray, tokenizer: str | None) -> None:
    """A part whose samples are one document that fills them."""
    span = {"start": 0, "end": rows.shape[1], "document": "d", "repository": "r", "path": "p", "license": "l",
            "language": "go", "score": 0.5}  # fmt: skip
    documents = [{"sample": sample, **span} for sample in range(len(rows))]
    catalog.append(stream, rows, seq_len=rows.shape[1], tokenizer=tokenizer, documents=documents)


def test_streams_are_those_of_an_ingest_at_the_new_length(built: Catalog, recipe: Recipe, tmp_path: Path) -> None:
    direct = Catalog(tmp_path / "direct")
    build(direct, msgspec.structs.replace(recipe, seq_len=96))
    before = {stream.name: stream for stream in built.streams()}
    found = {one.origin: one for one in repack(built, 96)}
    wanted = [stream for stream in direct.streams() if stream.kind == "tokens"]
    assert sorted(found) == [stream.name for stream in wanted]
    for stream in wanted:
        kind, rest = stream.name.split("/", 1)
        assert found[stream.name].stream == f"{kind}-96/{rest}"
        (again,) = built.streams(f"{kind}-96/{rest}")
        assert (again.key, again.seq_len, again.tokenizer) == (stream.key, 96, stream.tokenizer)
        for (rows, spans), (rows_wanted, spans_wanted) in zip(
            tokens_of(built, again.name), tokens_of(direct, stream.name), strict=True
        ):
            np.testing.assert_array_equal(rows, rows_wanted)
            assert spans == spans_wanted
    assert {stream.name: stream for stream in built.streams() if stream.name in before} == before


def test_what_was_interrupted_goes_on_and_nothing_is_doubled(built: Catalog) -> None:
    calls: list[int] = []

    def interrupt(step: str, done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(repack(built, 64, progress=interrupt))
    there = built.streams("*-64/*")
    first = list(repack(built, 64))
    assert 0 < len(there) < len(first)
    assert {one.new_parts for one in first} == {0, 1}
    assert [one.new_parts for one in repack(built, 64)] == [0] * len(first)
    assert all(len(built.stream(one.stream).parts) == 1 for one in first)


def test_the_command_prints_a_line_a_stream(built: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    root = built.store.url.removeprefix("file://")
    assert main(["corpus", "repack", "--root", root, "--seq-len", "80", "--streams", "scored/c/*", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["origin"] for row in rows} == {stream.name for stream in built.streams("scored/c/*")}
    assert {row["stream"].split("/")[0] for row in rows} == {"scored-80"}
    assert main(["corpus", "repack", "--root", root, "--seq-len", "80", "--streams", "scored-80/*"]) == 2
    assert capsys.readouterr().err.startswith("phasemix: root ")


def test_a_part_that_joined_later_is_packed_alone(built: Catalog) -> None:
    list(repack(built, 48))
    snapshot = built.stream("raw/c")
    rows = np.full((3, snapshot.seq_len), 7, np.uint16)
    one_document(built, "raw/c", rows, snapshot.tokenizer)
    found = {one.origin: one.new_parts for one in repack(built, 48)}
    assert found.pop("raw/c") == 1
    assert set(found.values()) == {0}
    packed, spans = tokens_of(built, "raw-48/c")[1]
    assert packed.ravel()[: rows.size].tolist() == rows.ravel().tolist()
    assert {(span["document"], span["score"]) for span in spans} == {("d", 0.5)}
    assert len(spans) == len(packed)


def test_what_cannot_be_packed_again_is_said_before_anything_is_written(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "root")
    rows = np.ones((2, 16), np.uint16)

    def refused(says: str, seq_len: int = 8, glob: str | None = None) -> None:
        names = catalog.names("streams")
        with pytest.raises(PhasemixError, match=says) as error:
            list(repack(catalog, seq_len, glob=glob))
        assert "\n" not in str(error.value)
        assert catalog.names("streams") == names

    refused("no corpus to pack again.*corpus ingest")
    one_document(catalog, "raw/go", rows, None)
    refused("raw/go names no tokenizer")
    refused("no stream with samples that matches 'scored/\\*'", glob="scored/*")
    refused("is not in 2..", seq_len=1)
    refused("16 tokens already", seq_len=16)
    one_document(catalog, "raw/rust", rows, "bpe-0000000000000000")
    refused("bpe-0000000000000000 is not under", glob="raw/rust")
    catalog.append("raw/java", rows, seq_len=16, tokenizer="bpe-0000000000000000")
    refused("raw/java was published as samples", glob="raw/java")


def test_a_part_at_another_address_is_refused_with_the_address(built: Catalog, tmp_path: Path) -> None:
    part = built.stream("raw/python").parts[0]
    catalog = Catalog(tmp_path / "root")
    fingerprint = built.stream("raw/python").tokenizer
    catalog.publish_reference(
        "raw/python", f"{built.store.url}/{part.folder}".removeprefix("file://"), tokenizer=fingerprint
    )
    with pytest.raises(CorpusError, match="is at /.*without its documents"):
        list(repack(catalog, 32))


documents_of_ids = st.lists(st.lists(st.integers(1, 60_000), max_size=40), min_size=1, max_size=12)


@given(ids=documents_of_ids, before=st.integers(2, 30), after=st.integers(2, 30))
def test_packing_what_was_unpacked_is_packing_anew(ids: list[list[int]], before: int, after: int) -> None:
    documents = [
        Document(text="", path="p", repository="r", language="go", license="l", document=str(place), score=float(place))
        for place in range(len(ids))
    ]
    arrays = [np.array(one, np.int64) for one in ids]
    first = pack(arrays, seq_len=before, dtype="uint16", end_of_document_id=END)
    found, tokens = unpack(first.rows, sidecar_rows(first, documents), end_of_document_id=END)
    again = pack(tokens, seq_len=after, dtype="uint16", end_of_document_id=END)
    wanted = pack(arrays, seq_len=after, dtype="uint16", end_of_document_id=END)
    assert found == documents
    np.testing.assert_array_equal(again.rows, wanted.rows)
    assert again.pieces == wanted.pieces
