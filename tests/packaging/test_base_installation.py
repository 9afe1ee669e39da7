"""The base installation reads catalogs, mixtures and runs, and a command that needs more says which extra, in one line."""

import re
import subprocess
import tomllib
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from deploy.command_line import NEEDS, NOUNS
from streamer.extras import EXTRAS

REPOSITORY = Path(__file__).parents[2]
FOR_ANY_NOUN = {
    "quickstart": "quickstart . --root ROOT",
    "demo": "demo",
    "up": "up --root ROOT",
    "down": "down --root ROOT",
    "status": "status --root ROOT",
    "doctor": "doctor",
    "corpus": "corpus ingest . --root ROOT",
    "tokenizer": "tokenizer train . --root ROOT",
    "annotator": "annotator evaluate a --sets b --root ROOT",
    "streams": "streams list --root ROOT",
    "mixtures": "mixtures list --root ROOT",
    "runs": "runs list --root ROOT",
    "generators": "generators status --root ROOT",
    "train": "train general --mixture a --run b --root ROOT",
    "evaluate": "evaluate --list --root ROOT",
    "export": "export a b --root ROOT",
    "completion": "completion bash",
}


@pytest.fixture(scope="module")
def base(install: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("base") / "venv")


def call(base: Path, words: list[str], place: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(base / words[0]), *words[1:]], capture_output=True, text=True, cwd=place)


def test_a_run_is_written_and_read(base: Path, tmp_path: Path) -> None:
    done = call(base, ["python", "-P", str(Path(__file__).with_name("smoke.py")), str(tmp_path / "root"), "base"], tmp_path)
    assert (done.stdout, done.returncode) == ("works\n", 0), done.stderr


@pytest.mark.parametrize("noun", NOUNS)
def test_a_noun_works_or_names_its_extra_in_one_line(base: Path, noun: str, tmp_path: Path) -> None:
    """Given no extra, then help is there, and a command that cannot work says so before it writes anything."""
    root = tmp_path / "root"
    assert call(base, ["phasemix", noun, "--help"], tmp_path).returncode == 0
    words = FOR_ANY_NOUN[noun].replace("ROOT", str(root)).split()
    needs = NEEDS.get(noun) or NEEDS.get(" ".join(words[:2]), ())
    if noun == "quickstart":  # it names all that its options need at once
        needs = ("corpus", "generators", "service", "train")
    if not needs:
        made = call(base, ["phasemix", "streams", "create", "raw/go", "--seq-len", "8", "--root", str(root)], tmp_path)
        assert made.returncode == 0, made.stderr
    done = call(base, ["phasemix", *words], tmp_path)
    if not needs:
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 2
    remedy = f"pip install 'phasemix[{','.join(needs)}]'"
    assert re.fullmatch(rf"phasemix: {noun}[a-z ]* needs the extras? .+: {re.escape(remedy)}(; with .+)?\n", done.stderr)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["MixedLoader", "TrainerPosition"])
def test_a_name_of_training_says_its_extra(base: Path, name: str, tmp_path: Path) -> None:
    done = call(base, ["python", "-c", f"from training import {name}"], tmp_path)
    last = done.stderr.splitlines()[-1]
    assert last.endswith(f"MissingExtraError: training.{name} needs the extra train: pip install 'phasemix[train]'")


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_modules_of_an_extra_are_of_packages_that_it_installs(extra: str) -> None:
    text = (REPOSITORY / "pyproject.toml").read_text()
    declared = tomllib.loads(text)["project"]["optional-dependencies"][extra]
    names = {re.split(r"[\[<>=]", line)[0] for line in declared}
    distributions = packages_distributions()
    for module in EXTRAS[extra]:
        if extra in ("wandb", "mlflow") and module not in distributions:
            pytest.skip(f"{extra} is not part of the environment of development")
        assert {name.lower().replace("_", "-") for name in distributions[module]} & names, module
