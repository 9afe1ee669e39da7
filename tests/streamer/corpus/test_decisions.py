"""The pure parts: languages, order, packing, bins, near-duplicates, what is held out."""

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.corpus.recipe import parse_recipe
from streamer.documents.document import Document
from streamer.documents.languages import LANGUAGES, detect, key_of
from streamer.errors import CorpusError
from streamer.packing.grouping import Grouping, choose_order
from streamer.packing.packing import pack
from streamer.publishing.heldout import is_held_out
from streamer.scoring.quality_bins import cut_bins
from streamer.scoring.sections import cut_sections


@pytest.mark.parametrize(
    ("path", "text", "language"),
    [
        ("a/b.py", "", "python"),
        ("x.h", "int f(void);\n", "c"),
        ("x.h", "namespace a {\n}\n", "cpp"),
        ("x.h", "@interface A\n@end\n", None),
        ("run", "#!/usr/bin/env -S python3 -u\n", "python"),
        ("run", "#!/bin/bash -e\n", "shell"),
        ("run", "#!/usr/bin/perl\n", None),
        ("x.ipynb", "{}", "jupyter-notebook"),
        ("README.md", "# hi\n", None),
        (".gitignore", "*.pyc\n", None),
    ],
)
def test_the_language_of_a_file(path: str, text: str, language: str | None) -> None:
    assert detect(path, text) == language


def test_usual_names_of_the_languages_are_known() -> None:
    names = ["Python", "Java", "C++", "C", "JavaScript", "PHP", "C#", "Go", "TypeScript", "SQL", "Ruby", "Rust"]
    names += ["Jupyter Notebook", "Scala", "Kotlin", "Shell", "Dart", "Swift"]
    assert [key_of(name) for name in names] == list(LANGUAGES)
    assert key_of("Perl") is None


def documents(count: int) -> list[Document]:
    return [
        Document(
            text=f"x = {n}",
            path=f"{n}.py",
            repository=f"r{n % 4}",
            language=("python", "c")[n % 3 == 0],
            license="MIT",
            document=f"{n:032x}",
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("grouping", list(Grouping))
def test_the_order_is_of_the_documents_not_of_how_they_came(grouping: Grouping) -> None:
    found = documents(40)
    shuffled = random.Random(3).sample(found, len(found))
    orders = [
        {key: [given_[i].document for i in order] for key, order in choose_order(given_, grouping, seed=1).items()}
        for given_ in (found, shuffled)
    ]
    assert orders[0] == orders[1]
    assert sorted(name for order in orders[0].values() for name in order) == [doc.document for doc in found]
    assert set(orders[0]) == ({"c", "python"} if grouping is Grouping.LANGUAGE_REPO else {"all"})


def test_repo_language_keeps_languages_together_inside_a_repository() -> None:
    found = documents(60)
    for grouping, runs in ((Grouping.REPO_LANGUAGE, 8), (Grouping.REPO, None)):
        order = choose_order(found, grouping, seed=1)["all"]
        pairs = [(found[i].repository, found[i].language) for i in order]
        changes = 1 + sum(first != second for first, second in pairwise(pairs))
        assert changes == runs if runs else changes > 8


@given(
    lengths=st.lists(st.integers(0, 40), max_size=20),
    seq_len=st.integers(2, 17),
)
def test_rows_are_the_documents_and_pieces_cover_all_but_padding(lengths: list[int], seq_len: int) -> None:
    ids = [list(range(1, length + 1)) for length in lengths]
    packed = pack(ids, seq_len=seq_len, dtype="uint16", end_of_document_id=0)
    flat = [token for document in ids for token in [*document, 0]]
    assert packed.rows.ravel().tolist() == flat + [0] * packed.padding_tokens
    assert 0 <= packed.padding_tokens < seq_len
    covered = [token for piece in packed.pieces for token in packed.rows[piece.sample, piece.start : piece.end].tolist()]
    assert covered == flat
    assert sum(piece.end - piece.start for piece in packed.pieces) == packed.tokens == len(flat)


def test_an_id_that_does_not_fit_is_refused() -> None:
    with pytest.raises(CorpusError, match=r"65536 does not fit uint16 .*use dtype uint32"):
        pack([[65536]], seq_len=4, dtype="uint16", end_of_document_id=0)


@given(scores=st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_bins_are_cut_by_rank(scores: list[float]) -> None:
    ids = [f"{n:03d}" for n in range(len(scores))]
    bins = cut_bins(scores, ids, [80, 50, 0])
    order = [index for members in bins.values() for index in members]
    assert sorted(order) == list(range(len(scores)))
    assert [scores[i] for i in order] == sorted(scores, reverse=True)
    assert abs(len(bins[80]) - 0.2 * len(scores)) <= 0.5 + 1e-9


def test_about_the_share_of_repositories_is_held_out_and_a_larger_share_holds_more() -> None:
    names = [f"someone/repository-{n}" for n in range(20_000)]
    small = {name for name in names if is_held_out(name)}
    large = {name for name in names if is_held_out(name, share=0.1)}
    assert 300 < len(small) < 500
    assert small < large
    assert small != {name for name in names if is_held_out(name, key="another")}
    assert not any(is_held_out(name, share=0) for name in names)


def test_sections_are_top_middle_and_bottom() -> None:
    text = "".join(chr(65 + n % 26) for n in range(1000))
    assert cut_sections(text, section_tokens=400) == [text]
    assert cut_sections(text, section_tokens=200) == [text[:600], text[-600:]]
    assert cut_sections(text, section_tokens=50) == [text[:150], text[425:575], text[-150:]]


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("sources = []", "sources 0 is not in"),
        ('sorces = [{path = "x"}]', "unknown field `sorces`|required field `sources`"),
        ('sources = [{path = "x", pth = 1}]', "unknown field `pth`.*a source's keys are .*did you mean 'path'"),
        ('sources = [{path = "x"}]\nvocabulry = 3', "did you mean 'vocabulary'"),
        ('bins = [50, 80]\nsources = [{path = "x"}]', "bins .* cannot be lower percentiles"),
        ('sample_files = 19\nsources = [{path = "x"}]', "sample_files 19 is not in 20..10000000"),
        ('pass_on = 1.5\nsources = [{path = "x"}]', "pass_on 1.5 is not in 0..1"),
        ('annotator = "a@1"\npositives = ["x"]\nsources = [{path = "x"}]', "leave one of them out"),
        ('dtype = "int64"\nsources = [{path = "x"}]', "dtype int64 is not one of"),
        ("seq_len = ", "recipe: "),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_refused(toml: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        parse_recipe(toml)


def test_rows_of_no_documents_are_none() -> None:
    packed = pack([], seq_len=8, dtype="uint32", end_of_document_id=1)
    assert packed.rows.shape == (0, 8)
    assert packed.rows.dtype == np.uint32
