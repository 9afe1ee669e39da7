"""Every mistake in a mixture file is one line that names file, line, key, value, what is allowed and the remedy."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from mistakes import MISTAKES, WHOLE, Mistake

from deploy.command_line import main
from mixer import MixtureError, Mixtures
from mixer.mixture.grammar import schema
from streamer import Catalog

Fill = Callable[..., Catalog]


@pytest.fixture
def catalog(root: Path, fill: Fill) -> Catalog:
    fill("raw/python", 40)
    fill("raw/go", 20)
    catalog = fill("synthetic/python", 10)
    catalog.append("long/go", np.zeros((4, 16), np.uint16), seq_len=16)
    Mixtures(catalog).apply(WHOLE.replace('"m"', '"base"'))
    return catalog


def test_there_are_mistakes_enough() -> None:
    assert len({mistake.text for mistake in MISTAKES}) == len(MISTAKES) >= 60


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    catalog = Catalog(tmp_path_factory.mktemp("mistakes"))
    for name, samples in (("raw/python", 40), ("raw/go", 20), ("synthetic/python", 10)):
        catalog.append(name, np.zeros((samples, 8), np.uint16), seq_len=8)
    catalog.append("long/go", np.zeros((4, 16), np.uint16), seq_len=16)
    Mixtures(catalog).apply(WHOLE.replace('"m"', '"base"'))
    return catalog


@pytest.mark.parametrize("mistake", MISTAKES, ids=[f"{place}" for place in range(len(MISTAKES))])
def test_a_mistake_is_named_with_its_place_and_nothing_is_written(shared: Catalog, mistake: Mistake) -> None:
    root = Path(shared.store.url)
    before = sorted(root.rglob("*"))
    with pytest.raises(MixtureError) as refused:
        Mixtures(shared).apply(mistake.text, name="a.toml")
    said = str(refused.value)
    assert said.startswith(f"a.toml:{mistake.line}:" if mistake.line else "a.toml:")
    assert [word for word in mistake.says if word not in said] == [], said
    assert "\n" not in said
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize("text", [mistake.text for mistake in MISTAKES if mistake.by_schema])
def test_an_editor_finds_by_the_schema_what_the_parser_finds(text: str) -> None:
    document = tomllib.loads(text)
    assert list(jsonschema.Draft7Validator(schema()).iter_errors(document))


@pytest.mark.parametrize("text", [WHOLE, "\ufeff" + WHOLE, WHOLE.replace("\n", "\r\n"), "# a\n" + WHOLE + "# b"])
def test_marks_and_line_ends_of_other_systems_are_no_mistakes(catalog: Catalog, text: str) -> None:
    assert Mixtures(catalog).apply(text) == "m@1"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"name = \xff\n", "UTF-8"), (b"\xff\xfen\x00a\x00", "UTF-8"), (None, "director"), (b"", "empty")],
)
def test_a_file_that_is_none_is_named(
    catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, said: str
) -> None:
    path = tmp_path / "m.toml"
    path.mkdir() if content is None else path.write_bytes(content)
    assert main(["mixtures", "apply", str(path), "--root", catalog.store.url]) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert said in error
    assert error.count("\n") == 1


def component(streams: str, share: str) -> str:
    return f"[[component]]\nstreams = {streams}\nshare = {share}\n"


@pytest.mark.parametrize(
    ("components", "said"),
    [
        (component('"' + "*a" * 9000 + '"', "1.0"), "component '\\*a\\*a"),
        (component('"raw/*"', "2.0") + f'name = "{"n" * 90_000}"\n', "component 'nnn"),
        (component('"raw/*"', "1.0") + f"name = [{'7, ' * 9000}]\n", "component '"),
        ("".join(component(f'"k{number}/*"', "0.1") for number in range(900)), "and 888 more sum to 90"),
    ],
)
def test_a_mistake_is_short_whatever_was_written(catalog: Catalog, components: str, said: str) -> None:
    with pytest.raises(MixtureError, match=said) as refused:
        Mixtures(catalog).apply('name = "x"\nseq_len = 8\n' + components)
    assert len(str(refused.value)) < 600
