"""The licence of a repository is the one that its package states, unless the recipe or the file says another."""

import json
import subprocess
from pathlib import Path

import pytest

from streamer.corpus.recipe import Source
from streamer.corpus.sources.ingest import read_source
from streamer.corpus.sources.stated_licence import stated_licence


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("package.json", '{"license": "MIT"}', "MIT"),
        ("package.json", '{"license": {"type": "ISC"}}', "ISC"),
        ("package.json", '{"license": "(MIT OR Apache-2.0)"}', "(MIT OR Apache-2.0)"),
        ("package.json", '{"license": "UNLICENSED"}', None),
        ("package.json", '{"license": "SEE LICENSE IN LICENSE.md"}', None),
        ("package.json", '{"license": 7}', None),
        ("package.json", "[1]", None),
        ("package.json", "[" * 100_000, None),
        ("package.json", '{"license": "\\ud800"}', None),
        ("composer.json", '{"license": ["MIT", "GPL-2.0-only"]}', "MIT OR GPL-2.0-only"),
        ("composer.json", '{"license": [1]}', None),
        ("pyproject.toml", '[project]\nlicense = "BSD-3-Clause"\n', "BSD-3-Clause"),
        ("pyproject.toml", '[project]\nlicense = { text = "MIT" }\n', "MIT"),
        ("pyproject.toml", '[project]\nlicense = { file = "LICENSE" }\n', None),
        ("pyproject.toml", "project = 3\n", None),
        ("Cargo.toml", '[package]\nlicense = "MIT/Apache-2.0"\n', "MIT OR Apache-2.0"),
        ("Cargo.toml", "torn = [", None),
    ],
)
def test_a_description_states_a_licence_or_none(name: str, text: str, wanted: str | None) -> None:
    files = {name: text.encode("utf-8", "surrogatepass")}
    assert stated_licence(files.get) == wanted


def test_the_first_description_that_states_one_counts() -> None:
    files = {"package.json": b"{}", "Cargo.toml": b'[package]\nlicense = "MIT"\n', "composer.json": b'{"license": "ISC"}'}
    assert stated_licence(files.get) == "MIT"
    assert stated_licence({"package.json": b" " * (1 << 20) + b'{"license": "MIT"}'}.get) is None


@pytest.fixture
def repositories(tmp_path: Path) -> Path:
    for name, licence in (("one", "MIT"), ("two", "GPL-3.0-only"), ("three", None)):
        (tmp_path / "src" / name).mkdir(parents=True)
        (tmp_path / "src" / name / "a.js").write_text("let a = 1\n")
        (tmp_path / "src" / name / "package.json").write_text(json.dumps({} if licence is None else {"license": licence}))
    return tmp_path / "src"


def licences(source: Source) -> dict[str, str]:
    return {file.path: file.license for file in read_source(source, seed=1) if file.path.endswith(".js")}


def test_repositories_of_a_folder_have_the_licence_that_they_state(repositories: Path) -> None:
    found = licences(Source(path=str(repositories)))
    assert found == {"one/a.js": "MIT", "two/a.js": "GPL-3.0-only", "three/a.js": "unknown"}
    assert set(licences(Source(path=str(repositories), license="Apache-2.0")).values()) == {"Apache-2.0"}
    one = licences(Source(path=str(repositories / "one"), repository="me/one"))
    assert one == {"a.js": "MIT"}
    (repositories / "three" / "package.json").unlink()
    (repositories / "three" / "package.json").symlink_to(repositories / "one" / "package.json")
    assert licences(Source(path=str(repositories)))["three/a.js"] == "unknown"


def test_a_commit_has_the_licence_that_it_states(repositories: Path) -> None:
    place = repositories / "one"
    for words in (
        ["init", "--quiet", "-b", "main"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "first"],
    ):
        subprocess.run(["git", "-C", str(place), *words], check=True)
    assert licences(Source(path=str(place), revision="main")) == {"a.js": "MIT"}
