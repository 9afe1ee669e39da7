"""A whole build over small real sources."""

import warnings
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

from streamer import Catalog
from streamer.catalog import parts
from streamer.commands.corpus import INGEST
from streamer.commands.progress_line import Course
from streamer.corpus.parts import publication
from streamer.corpus.parts.report import CorpusReport
from streamer.corpus.pipeline import build
from streamer.corpus.recipe import Recipe, Source
from streamer.documents.text import DropReason
from streamer.errors import CorpusError
from streamer.mds import layout as mds
from streamer.packing import tokenizer as tokenizers
from streamer.packing.grouping import Grouping


@pytest.fixture(scope="module", autouse=True)
def _streaming() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("streaming", reason="the corpus extra is not installed")


@pytest.fixture(scope="module")
def built(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalog, CorpusReport]:
    catalog = Catalog(tmp_path_factory.mktemp("built") / "root")
    return catalog, build(catalog, recipe)


def token_rows(catalog: Catalog, stream: str) -> np.ndarray:
    snapshot = catalog.stream(stream)
    blocks = []
    for part in snapshot.parts:
        for shard in part.shards:
            path = catalog.store.local_path(f"{part.folder}/{shard.name}")
            assert path is not None
            data = np.fromfile(path, np.uint8)
            rows, first, size = mds.read_head(data, name=shard.name)
            blocks.append(data[first:].view(snapshot.dtype).reshape(rows, snapshot.seq_len or 0))
            assert size == blocks[-1].itemsize * (snapshot.seq_len or 0)
    return np.concatenate(blocks)


def test_every_file_is_a_document_or_counted_under_one_reason(built: tuple[Catalog, CorpusReport]) -> None:
    _, report = built
    assert report.files == sum(report.dropped.values()) + report.documents + report.heldout_documents
    assert report.dropped[DropReason.NOT_A_FILE] == 2
    assert report.dropped[DropReason.TOO_LARGE] == 1
    assert report.dropped[DropReason.BINARY] == 2
    for reason in ("empty", "unknown_language", "generated", "long_lines", "exact_duplicate", "near_duplicate"):
        assert report.dropped[reason] >= 1, reason


def test_held_out_repositories_are_nowhere_else(built: tuple[Catalog, CorpusReport]) -> None:
    catalog, report = built
    repositories: dict[str, set[str]] = {}
    for found in catalog.streams():
        if found.kind == "tokens":
            for part in catalog.stream(found.name).parts:
                kind = "heldout" if found.name.startswith("heldout/") else "corpus"
                names = parts.read_sidecar(catalog.store, part)["repository"].to_pylist()
                repositories.setdefault(kind, set()).update(names)
    assert report.heldout_documents > 0
    assert not repositories["heldout"] & repositories["corpus"]
    kept = {doc.repository for name in catalog.streams("documents/*") for doc in catalog.documents(name.name)}
    assert kept == repositories["corpus"]


def test_rows_and_sidecar_give_the_documents_back(built: tuple[Catalog, CorpusReport]) -> None:
    catalog, report = built
    tokenizer = catalog.load_tokenizer(report.tokenizer)
    texts = {doc.document: doc.text for doc in catalog.documents("documents/python")}
    rows = token_rows(catalog, "raw/python")
    sidecar = parts.read_sidecar(catalog.store, catalog.stream("raw/python").parts[0]).to_pylist()
    ids: dict[str, list[int]] = {}
    for piece in sidecar:
        ids.setdefault(piece["document"], []).extend(rows[piece["sample"], piece["start"] : piece["end"]].tolist())
    end = tokenizers.end_of_document_id(tokenizer)
    assert ids.keys() == texts.keys()
    for document, found in ids.items():
        assert found[-1] == end
        assert tokenizer.decode(found[:-1], skip_special_tokens=False) == texts[document]
    repositories = [piece["repository"] for piece in sidecar]
    changes = sum(first != second for first, second in pairwise(repositories))
    assert changes == len(set(repositories)) - 1


def test_bins_hold_every_document_once_and_the_best_first(built: tuple[Catalog, CorpusReport]) -> None:
    catalog, _ = built
    lowest, counts, seen = np.inf, {}, Counter()
    for name in ("q80", "q50", "q00"):
        sidecar = parts.read_sidecar(catalog.store, catalog.stream(f"scored/python/{name}").parts[0])
        scores = sidecar["score"].to_pylist()
        assert scores == sorted(scores, reverse=True)
        assert scores[0] <= lowest
        lowest = scores[-1]
        counts[name] = len(set(sidecar["document"].to_pylist()))
        seen.update(set(sidecar["document"].to_pylist()))
    assert set(seen.values()) == {1}
    total = sum(counts.values())
    assert abs(counts["q80"] - 0.2 * total) <= 1
    assert abs(counts["q50"] - 0.3 * total) <= 1
    scored = {doc.document for doc in catalog.documents("documents/python") if doc.score is not None}
    assert scored == set(seen)


def test_a_part_by_mds_writer_has_the_bytes_of_our_own(built: tuple[Catalog, CorpusReport], tmp_path: Path) -> None:
    catalog, _ = built
    mds.write_shards(token_rows(catalog, "raw/c"), tmp_path)
    part = catalog.stream("raw/c").parts[0]
    for name in ("shard.00000.mds", "index.json"):
        assert (tmp_path / name).read_bytes() == catalog.store.get(f"{part.folder}/{name}")


def test_the_same_recipe_gives_the_same_bytes_with_two_workers(
    built: tuple[Catalog, CorpusReport], recipe: Recipe, tmp_path: Path
) -> None:
    catalog, report = built
    again = Catalog(tmp_path / "again")
    other = build(again, msgspec.structs.replace(recipe, workers=2))
    assert other.streams == report.streams
    assert other.dropped == report.dropped
    for name in report.streams:
        hashes = [[shard.xxh3 for part in root.stream(name).parts for shard in part.shards] for root in (catalog, again)]
        assert hashes[0] == hashes[1], name


def test_a_root_with_a_corpus_is_refused(built: tuple[Catalog, CorpusReport], recipe: Recipe) -> None:
    catalog, report = built
    with pytest.raises(CorpusError, match=r"already has .* build into another root"):
        build(catalog, recipe)
    assert {found.name: found.samples for found in catalog.streams()} == report.streams
    assert publication.last_report(catalog) == report


def test_an_interrupted_build_is_completed_and_nothing_is_doubled(
    built: tuple[Catalog, CorpusReport], recipe: Recipe, tmp_path: Path
) -> None:
    class Interrupted(BaseException):
        pass

    def stop(step: str, done: int, total: int) -> None:
        if step == "publish" and done >= 1:
            raise Interrupted

    catalog = Catalog(tmp_path / "root")
    with pytest.raises(Interrupted):
        build(catalog, recipe, progress=stop)
    partly = {found.name: found.samples for found in catalog.streams()}
    assert 0 < len(partly) < len(built[1].streams)
    with pytest.raises(CorpusError, match="of another build"):
        build(catalog, msgspec.structs.replace(recipe, seed=5))
    build(catalog, recipe)
    assert {found.name: found.samples for found in catalog.streams()} == built[1].streams


def test_grouping_by_repository_gives_one_stream_of_all_languages(recipe: Recipe, tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "root")
    report = build(catalog, msgspec.structs.replace(recipe, grouping=Grouping.HYBRID))
    assert [name for name in report.streams if name.startswith("raw/")] == ["raw/all"]
    languages = parts.read_sidecar(catalog.store, catalog.stream("raw/all").parts[0])["language"].to_pylist()
    assert set(languages) == {"python", "c"}


def test_sources_without_a_document_are_an_error_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.py").write_bytes(b"\0")
    recipe = Recipe(sources=(Source(path=str(tmp_path / "in")),), annotator_model="ngrams")
    with pytest.raises(CorpusError, match=r"no document is left of 1 files .*binary 1"):
        build(Catalog(tmp_path / "root"), recipe)
    assert not (tmp_path / "root").exists()


def test_the_bar_of_an_ingest_knows_every_stage_and_ends_full(recipe: Recipe, tmp_path: Path) -> None:
    reports: list[tuple[str, int, int]] = []
    build(Catalog(tmp_path / "root"), recipe, progress=lambda *report: reports.append(report))
    assert list(dict.fromkeys(step for step, _, _ in reports)) == [stage.name for stage in INGEST]
    course = Course(INGEST)
    assert [course.share(*report) for report in reports][-1] == 1.0
