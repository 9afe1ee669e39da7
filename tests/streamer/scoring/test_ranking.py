"""Whole streams scored and ranked into tiers: exact, the same after a kill, and open to what comes later."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from two_kinds import bad, good

from deploy.command_line import main
from streamer import Catalog
from streamer.catalog import parts
from streamer.catalog.manifest import Snapshot
from streamer.corpus.annotation import overruled
from streamer.corpus.executors import Execution
from streamer.corpus.parts.publication import publish
from streamer.corpus.pipeline import build
from streamer.corpus.progress import Progress, silent
from streamer.corpus.ranking import tiers
from streamer.corpus.ranking.scoring import score_streams
from streamer.corpus.ranking.tiers import check_ranking, rank
from streamer.corpus.recipe import Recipe, Source
from streamer.errors import BadNameError, CorpusError
from streamer.scoring.annotator_recipe import AnnotatorRecipe, Positives, StudentRecipe
from streamer.scoring.quality_bins import TIERS, bin_name, equal_bounds
from streamer.scoring.score_sets import load_scores, score_sets
from streamer.scoring.student import EVERY
from streamer.scoring.students import load_student
from streamer.scoring.trained import Trained, gather, hash_of, keep, load, score, train

ONE = Execution(tasks=1, workers=1)
DEATH = """
import os, signal, sys
from streamer import Catalog
from streamer.corpus.executors import Execution
from streamer.corpus.ranking import exact_scores, listing
from streamer.corpus.ranking.scoring import score_streams
from streamer.scoring.trained import load

root, step, left = sys.argv[1], sys.argv[2], int(sys.argv[3])
exact_scores.FEWEST_NGRAMS = 16
write = exact_scores.write_through
def write_and_die(path, data):
    global left
    write(path, data)
    left -= path.parent.name == step
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
exact_scores.write_through = listing.write_through = write_and_die
catalog = Catalog(root)
score_streams(catalog, load(catalog, "mine@1"), "documents/*", how=Execution(tasks=1, workers=1))
"""


def poor(number: int) -> str:
    return "".join(f"x{number}_{n} = {n} * {number}\nprint(x{number}_{n})\n" for n in range(number % 9 + 9))


def write_sources(folder: Path, numbers: range) -> Recipe:
    """Python files of two kinds, a third of them bad, in seven repositories."""
    for number in numbers:
        place = folder / f"r{number % 7}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"f{number}.py").write_text(good(number) if number % 3 else poor(number))
    return Recipe(
        sources=(Source(path=str(folder)),), seq_len=32, vocabulary=400, tokenizer_mb=0.01, annotator_model="ngrams",
        sample_files=40, heldout_share=0.0, positives=(str(folder.parent / "good" / "*.py"),), duplicates=NEVER,
    )  # fmt: skip


NEVER = msgspec.structs.replace(Recipe(sources=(Source(path="x"),)).duplicates, threshold=1.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recipe]:
    """A root with a corpus, and the recipe that built it."""
    folder = tmp_path_factory.mktemp("ranking")
    (folder / "good").mkdir()
    for number in range(1000, 1025):
        (folder / "good" / f"{number}.py").write_text(good(number))
    recipe = write_sources(folder / "files", range(150))
    build(Catalog(folder / "root"), recipe, tasks=1)
    return folder, recipe


@pytest.fixture
def corpus(made: tuple[Path, Recipe], tmp_path: Path) -> Catalog:
    """A copy of that root."""
    shutil.copytree(made[0] / "root", tmp_path / "root")
    return Catalog(tmp_path / "root")


def mine(corpus: Catalog, made: tuple[Path, Recipe], *, student: StudentRecipe | None = None) -> Trained:
    positives = (Positives(files=(str(made[0] / "good" / "*.py"),)),)
    recipe = AnnotatorRecipe(
        name="mine", embedder="ngrams", section_tokens=16, files=30, positives=positives, student=student
    )
    return train(corpus, recipe, gather(corpus, recipe))


def test_every_document_has_the_score_of_its_text(corpus: Catalog, made: tuple[Path, Recipe]) -> None:
    found = mine(corpus, made)
    (done,) = score_streams(corpus, found, "documents/*", how=ONE)
    assert (done.stream, done.annotator, done.exact) == ("documents/python", "mine@1", done.documents)
    scores = load_scores(corpus, "mine@1", "documents/python")
    documents = list(corpus.documents("documents/python"))
    assert len(scores) == len(documents) == 150
    for one in documents:
        assert scores[one.document] == (pytest.approx(score(found, [one.text])[0], abs=1e-6), True)
    assert score_streams(corpus, found, "documents/*", how=ONE) == []


def test_tiers_are_equal_and_best_first_and_beside_those_of_the_ingest(corpus: Catalog, made: tuple[Path, Recipe]) -> None:
    found, before = mine(corpus, made), {one.name: one.samples for one in corpus.streams()}
    score_streams(corpus, found, "documents/*", how=ONE)
    found_tiers = rank(corpus, "mine@1", "documents/*", name="mine", how=ONE)
    assert [tier.stream for tier in found_tiers] == [f"scored@mine/python/{bin_name(bound)}" for bound in sorted(TIERS)]
    lowest, seen = np.inf, list[str]()
    for bound in TIERS:
        (part,) = corpus.stream(f"scored@mine/python/{bin_name(bound)}").parts
        assert part.extra["annotator"] == "mine@1"
        rows = parts.read_sidecar(corpus.store, part)
        scores, documents = rows["score"].to_pylist(), list(dict.fromkeys(rows["document"].to_pylist()))
        assert scores == sorted(scores, reverse=True)
        assert scores[0] <= lowest
        lowest = scores[-1]
        assert abs(len(documents) - 150 / 20) <= 1
        seen += documents
    assert sorted(seen) == sorted(one.document for one in corpus.documents("documents/python"))
    assert before.items() <= {one.name: one.samples for one in corpus.streams()}.items()
    assert rank(corpus, "mine@1", "documents/*", name="mine", how=ONE) == found_tiers
    with pytest.raises(CorpusError, match=r"is ranked by mine@1 with the bounds \[95, .* another name with --as"):
        rank(corpus, "mine@1", "documents/*", name="mine", bounds=equal_bounds(5), how=ONE)
    with pytest.raises(CorpusError, match="1 parts of stream documents/python have no scores by ingest@1; score them first"):
        rank(corpus, "ingest@1", "documents/*", name="ingest", how=ONE)


def test_killed_at_any_place_the_scores_are_the_same(corpus: Catalog, made: tuple[Path, Recipe], tmp_path: Path) -> None:
    from train_process import Forked, forks

    found = mine(corpus, made)
    (tmp_path / "death.py").write_text(DEATH)
    for step, files in (("score-listed", 1), ("tasks", 3), ("scores", 2), ("scores", 1), ("scores", 5)):
        where = [str(tmp_path / "root"), step, str(files)]
        killed = Forked(forks("streamer.corpus.pipeline"), tmp_path / "death.py", where, tmp_path)
        assert killed.poll(timeout=120) == -signal.SIGKILL, killed.output()
        assert score_sets(corpus, "mine@1") == []
    where = [str(tmp_path / "root"), "scores", "6"]  # five of ten tasks are left, and the sixth file would end it
    left = Forked(forks("streamer.corpus.pipeline"), tmp_path / "death.py", where, tmp_path)
    assert left.poll(timeout=120) == 0, left.output()
    scores = load_scores(Catalog(tmp_path / "root"), "mine@1", "documents/python")
    texts = {one.document: one.text for one in corpus.documents("documents/python")}
    assert {one: number for one, (number, _) in scores.items()} == {
        one: pytest.approx(score(found, [text])[0], abs=1e-6) for one, text in texts.items()
    }
    assert not (tmp_path / "root/scores/work").exists()


def test_with_a_student_the_annotator_reads_what_it_likes_best(corpus: Catalog, made: tuple[Path, Recipe]) -> None:
    found = mine(corpus, made, student=StudentRecipe(files=100, pass_on=0.2))
    (done,) = score_streams(corpus, found, "documents/*", how=ONE)
    assert (done.documents, done.exact) == (150, 30)
    student = load_student(corpus, "mine@1")
    assert student is not None
    assert student.agreement[EVERY].files == 100
    assert student.agreement["python"].rank_correlation > 0.6
    scores = load_scores(corpus, "mine@1", "documents/python")
    texts = {one.document: one.text for one in corpus.documents("documents/python")}
    foretold = {one: student.score([text], ["python"])[0] for one, text in texts.items()}
    exact = {one for one, (_, is_exact) in scores.items() if is_exact}
    assert min(foretold[one] for one in exact) >= max(foretold[one] for one in texts.keys() - exact)
    for one, (number, is_exact) in scores.items():
        wanted = score(found, [texts[one]])[0] if is_exact else foretold[one]
        assert number == pytest.approx(wanted, abs=1e-6)


def test_a_second_ingest_is_scored_on_the_scale_of_the_first_and_joins_its_tiers(
    corpus: Catalog, made: tuple[Path, Recipe], tmp_path: Path
) -> None:
    found = mine(corpus, made)
    score_streams(corpus, found, "documents/*", how=ONE)
    rank(corpus, "mine@1", "documents/*", name="mine", how=ONE)
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "a.py").write_text(bad(3))  # what the second recipe takes for good is not asked
    (tmp_path / "good" / "b.py").write_text(bad(4))
    more = write_sources(tmp_path / "more", range(200, 230))
    report = build(corpus, more, tasks=1)
    assert report.annotator == "ingest@1"
    old = load(corpus, "ingest@1")
    assert overruled(more, old) == []
    assert overruled(msgspec.structs.replace(more, section_tokens=99, sample_files=41), old) == [
        "section_tokens",
        "sample_files",
    ]
    documents = list(corpus.documents("documents/python"))
    assert len(documents) == 180
    seen = set(old.seen.tolist())
    for one in documents:
        if hash_of(one.text) not in seen:
            assert one.score == pytest.approx(score(old, [one.text])[0], abs=1e-6)
    ranked = sorted(documents, key=lambda one: (-(one.score or 0.0), one.document))
    tier = {
        one.document: bin_name(next(b for b in TIERS if 100 * (2 * (180 - place) - 1) >= 2 * 180 * b))
        for place, one in enumerate(ranked)
    }
    new = {one.document for one in documents[150:]}
    for bound in TIERS:
        stream = f"scored/python/{bin_name(bound)}"
        for part in corpus.stream(stream).parts[1:]:
            there = set(parts.read_sidecar(corpus.store, part)["document"].to_pylist())
            assert there <= new
            assert {tier[one] for one in there} == {bin_name(bound)}
    score_streams(corpus, found, "documents/*", how=ONE)
    before = sum(len(corpus.stream(f"scored@mine/python/{bin_name(bound)}").parts) for bound in TIERS)
    rank(corpus, "mine@1", "documents/*", name="mine", how=ONE)
    names = [f"scored@mine/python/{bin_name(bound)}" for bound in TIERS]
    rows = [
        row
        for name in names
        for part in corpus.stream(name).parts
        for row in parts.read_sidecar(corpus.store, part)["document"].to_pylist()
    ]
    assert set(rows) == {one.document for one in documents}
    assert sum(len(corpus.stream(name).parts) for name in names) > before


def test_a_ranking_that_was_killed_while_it_published_doubles_nothing_whatever_came_meanwhile(
    corpus: Catalog, made: tuple[Path, Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = mine(corpus, made)
    score_streams(corpus, found, "documents/*", how=ONE)

    class Stops(Progress):
        """Reports to nobody, and interrupts after seven parts."""

        def report(self, step: str, done: int, total: int) -> None:
            if done == 7:
                raise KeyboardInterrupt

    def publish_some(*words: Any, **options: Any) -> None:
        publish(*words, **{**options, "progress": Stops(silent)})

    monkeypatch.setattr(tiers, "publish", publish_some)
    with pytest.raises(KeyboardInterrupt):
        rank(corpus, "mine@1", "documents/*", name="mine", how=ONE)
    monkeypatch.undo()
    assert len(corpus.match_names("scored@mine/*")) == 7
    build(corpus, write_sources(tmp_path / "more", range(200, 230)), tasks=1)
    score_streams(corpus, found, "documents/*", how=ONE)
    rank(corpus, "mine@1", "documents/*", name="mine", how=ONE)
    there = [document for bound in TIERS for document in documents_of(corpus, f"scored@mine/python/{bin_name(bound)}")]
    assert len(there) == len(set(there)) == 180


def test_of_two_machines_that_rank_at_once_each_part_comes_from_one(
    corpus: Catalog, made: tuple[Path, Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score_streams(corpus, mine(corpus, made), "documents/*", how=ONE)
    publish_directory, store_part = Catalog.publish_directory, parts.store_part
    waiting: list[Callable[[], object]] = []

    def publish_beside(catalog: Catalog, *words: Any, **options: Any) -> Snapshot:
        waiting.append(lambda: publish_directory(Catalog(tmp_path / "root"), *words, **options))
        return publish_directory(catalog, *words, **options)

    def store_second(*words: Any) -> Any:
        if waiting:
            waiting.pop()()  # the other machine publishes the same after this one has looked, and before it does
        return store_part(*words)

    monkeypatch.setattr(Catalog, "publish_directory", publish_beside)
    monkeypatch.setattr(parts, "store_part", store_second)
    rank(corpus, "mine@1", "documents/*", name="mine", how=ONE)
    assert [len(snapshot.parts) for snapshot in corpus.match("scored@mine/*")] == [1] * len(TIERS)


def documents_of(corpus: Catalog, stream: str) -> list[str]:
    """The documents of a stream, by part."""
    return [
        document
        for part in corpus.stream(stream).parts
        for document in dict.fromkeys(parts.read_sidecar(corpus.store, part)["document"].to_pylist())
    ]


def test_what_an_unfinished_ingest_has_published_is_neither_scored_nor_ranked(
    corpus: Catalog, made: tuple[Path, Recipe], tmp_path: Path
) -> None:
    found = mine(corpus, made)

    def interrupt(step: str, done: int, total: int) -> None:
        if step == "publish" and done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(corpus, write_sources(tmp_path / "more", range(200, 230)), tasks=1, progress=interrupt)
    assert len(corpus.stream("documents/python").parts) == 2
    (done,) = score_streams(corpus, found, "documents/*", how=ONE)
    assert done.documents == 150
    rank(corpus, "mine@1", "documents/*", name="mine", how=ONE)
    assert sum(len(documents_of(corpus, f"scored@mine/python/{bin_name(bound)}")) for bound in TIERS) == 150


def test_other_tiers_than_the_roots_are_refused(corpus: Catalog, made: tuple[Path, Recipe], tmp_path: Path) -> None:
    more = msgspec.structs.replace(write_sources(tmp_path / "more", range(200, 230)), bins=(80, 50, 0))
    with pytest.raises(CorpusError, match=r"bins \[80, 50, 0\] are not those of scored/\* .* phasemix annotator rank"):
        build(corpus, more, tasks=1)


@pytest.mark.parametrize("name", ["mine-2", "a" * 60])
def test_a_ranking_that_could_not_be_published_is_refused_at_once(corpus: Catalog, name: str) -> None:
    with pytest.raises((CorpusError, BadNameError), match="give another with --as|cannot be the name of a stream"):
        check_ranking(corpus, "mine@1", name=name, bounds=TIERS)


def test_an_ingest_takes_a_version_that_the_root_has_and_no_other_later(
    corpus: Catalog, made: tuple[Path, Recipe], tmp_path: Path
) -> None:
    found = mine(corpus, made)
    more = msgspec.structs.replace(write_sources(tmp_path / "more", range(200, 230)), positives=(), annotator="mine")
    with pytest.raises(CorpusError, match=r"scored/\* of root .* is scored by ingest@1, and two scales"):
        build(corpus, more, tasks=1)
    with pytest.raises(CorpusError, match="annotator other is unknown"):
        build(corpus, msgspec.structs.replace(more, annotator="other"), tasks=1)
    fresh = Catalog(tmp_path / "fresh")
    with pytest.raises(CorpusError, match="annotator mine is unknown"):
        build(fresh, more, tasks=1)
    (tmp_path / "fresh").mkdir(exist_ok=True)
    keep(fresh, dict(corpus.log("annotators/mine").read()[0]))
    report = build(fresh, more, tasks=1)
    assert report.annotator == "mine@1"
    for one in fresh.documents("documents/python"):
        assert one.score == pytest.approx(score(found, [one.text])[0], abs=1e-6)


def test_tiers_that_whole_percents_cannot_bound_are_refused() -> None:
    assert equal_bounds(20) == TIERS
    assert equal_bounds(4) == (75, 50, 25, 0)
    with pytest.raises(CorpusError, match="3 equal tiers have no whole percents"):
        equal_bounds(3)


def test_the_commands(
    corpus: Catalog, made: tuple[Path, Recipe], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine(corpus, made)
    where = ["--root", str(tmp_path / "root"), "--workers", "1"]
    assert main(["annotator", "rank", "mine", "--tiers", "5", "--as", "five", *where]) == 0
    said = capsys.readouterr().out
    assert "scored@five/python/q80" in said
    assert main(["annotator", "score", "mine", *where]) == 0
    assert "All documents of documents/* have scores by mine@1." in capsys.readouterr().out
    assert main(["annotator", "rank", "mine", "--as", "Five", *where]) == 2
    assert "cannot be the name of a ranking" in capsys.readouterr().err
    assert os.path.isdir(tmp_path / "root/scores/mine@1")
