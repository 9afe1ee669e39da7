"""`phasemix annotator evaluate --plot`: pictures and a page that say what the table says."""

import re
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import matplotlib
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import CorpusError
from streamer.scoring.annotator_recipe import AnnotatorRecipe, Positives
from streamer.scoring.evaluating.benchmarks import Judged
from streamer.scoring.evaluating.evaluation import Scored, compare
from streamer.scoring.evaluating.page import prepare_folder, write_evaluation
from streamer.scoring.evaluating.plots import draw_curves, draw_histograms, roc_curve
from streamer.scoring.roc import roc_auc
from streamer.scoring.trained import Trained

HOSTILE = "<b>&\"'$x^2$ \x07😀"
SCORES = st.lists(st.integers(0, 6), min_size=1, max_size=20)


def files(count: int, mean: float, seed: int, languages: tuple[str, ...]) -> Scored:
    chance = np.random.default_rng(seed)
    lengths = chance.integers(50, 5000, count)
    return Scored(chance.beta(mean * 8, (1 - mean) * 8, count), lengths, np.array([*languages] * count)[:count])


def judged(name: str = "mine", sets: tuple[str, ...] = ("First",), languages: tuple[str, ...] = ("go", "python")) -> Judged:
    recipe = AnnotatorRecipe(name=name, positives=(Positives(files=("x",)),))
    nothing = np.zeros(0)
    trained = Trained(
        name=name, version=1, recipe=recipe, embedder="ngrams", fingerprint="ngrams", weights=nothing.astype(np.float32),
        bias=0.0, good=1, other=1, languages={}, digest="", seen=nothing.astype(np.uint64), figure=0.5,
    )  # fmt: skip
    solutions = {one: files(40, 0.7, seed, languages) for seed, one in enumerate(sets)}
    documents = files(80, 0.4, 99, languages)
    by_language = {language: documents.of(language) for language in languages}
    figures = []
    for one, found in solutions.items():
        figures.append(compare(one, None, found, documents, seed=0))
        figures += [compare(one, word, found.of(word), by_language[word], seed=0) for word in languages]
    return Judged(trained, figures, solutions, documents, by_language)


def rows_of(found: list[Judged]) -> list[dict[str, object]]:
    return [{"annotator": one.annotator.label, **msgspec.to_builtins(row)} for one in found for row in one.figures]


def words_in(svg: bytes) -> list[str]:
    """The texts of a picture, in order."""
    return [one.text or "" for one in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@given(SCORES, SCORES)
def test_the_area_under_the_drawn_curve_is_the_one_in_the_table(good: list[int], other: list[int]) -> None:
    right, up = roc_curve(good, other)
    assert (right[0], up[0], right[-1], up[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(up, right) == pytest.approx(roc_auc(good, other))


def test_curves_name_each_annotator_with_its_area_and_length_alone() -> None:
    found = [judged(), judged("other")]
    words = words_in(draw_curves(found, "First"))
    assert {"First, all languages", "First, go", "First, python"} <= set(words)
    for one in found:
        for figures in one.figures:
            assert f"{one.annotator.label} {figures.auc:.3f}" in words
            assert f"length alone {figures.by_length:.3f}" in words


def test_a_set_of_the_documents_only_language_is_drawn_once() -> None:
    one = judged(languages=("python",))
    words = words_in(draw_histograms(one))
    assert "First, all languages" in words
    assert "First, python" not in words
    assert {"40 solutions", "80 documents"} <= set(words)


def test_the_same_scores_give_the_same_bytes_whatever_a_user_has_set(tmp_path: Path) -> None:
    found, loaded = [judged(), judged("other")], "matplotlib.pyplot" in sys.modules  # by another test of the process
    for name in "ab":
        (tmp_path / name).mkdir()
    write_evaluation(tmp_path / "a", found, rows_of(found), "About.")
    with matplotlib.rc_context({"svg.hashsalt": None, "lines.linewidth": 9, "svg.fonttype": "path", "font.size": 20}):
        write_evaluation(tmp_path / "b", found, rows_of(found), "About.")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["index.html", "roc-1-First.svg", "scores-mine@1.svg", "scores-other@1.svg"]
    assert [(tmp_path / "a" / name).read_bytes() for name in names] == [
        (tmp_path / "b" / name).read_bytes() for name in names
    ]
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_names_are_text_and_nothing_leads_out_of_the_folder(tmp_path: Path) -> None:
    found = [judged(sets=(HOSTILE, "a/b", "a b"))]
    page = write_evaluation(tmp_path, found, rows_of(found), f"Of {HOSTILE}.").read_text()
    pictures, tags = list[str](), set[str]()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            tags.add(tag)
            pictures.extend(value or "" for name, value in attributes if name in ("src", "href"))

    Reader().feed(page)
    assert not tags & {"b", "script", "link", "a"}
    assert len(pictures) == len(set(pictures)) == 4
    assert all((tmp_path / unquote(name)).is_file() for name in pictures)
    assert "&lt;b&gt;&amp;" in page
    words = words_in((tmp_path / unquote(pictures[0])).read_bytes())
    assert "<b>&\"'$x^2$  😀, all languages" in words
    for path in tmp_path.glob("*.svg"):
        addresses = re.findall(r'(?:href|src)="([^"]*)"|url\(([^)]*)\)', path.read_text())
        assert all((one or other).startswith("#") for one, other in addresses)


def test_many_languages_and_annotators_stay_one_picture_each(tmp_path: Path) -> None:
    languages = tuple(f"language-{number:02}" for number in range(18))
    found = [judged(f"a{number}", ("First",), languages) for number in range(9)]
    page = write_evaluation(tmp_path, found, rows_of(found), "About.")
    assert len(list(page.parent.glob("*.svg"))) == 10
    words = words_in((tmp_path / "roc-1-First.svg").read_bytes())
    assert sum(word.startswith("First, ") for word in words) == 19


def test_a_folder_that_cannot_be_is_refused_before_anything_is_scored(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match=r"--plot .*file cannot be written"):
        prepare_folder(tmp_path / "file")
    prepare_folder(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
