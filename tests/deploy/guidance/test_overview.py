"""`phasemix` alone: what a root holds and what to type next; the command after a command; the version."""

import argparse
import importlib
import importlib.metadata
import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.command_line import NOUNS, OneLineParser, main
from deploy.guidance.next_steps import NEXT, next_step
from deploy.guidance.overview import Holding, describe, next_command
from mixer import Mixtures, Runs
from streamer import Catalog

MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'


def parser_of(noun: str) -> OneLineParser:
    parser = OneLineParser(prog=noun)
    importlib.import_module(NOUNS[noun][0]).NOUNS[noun](parser)
    return parser


def parses(command: str) -> bool:
    """Whether the command line would take a command as it stands."""
    words = shlex.split(command)
    assert words.pop(0) == "phasemix"
    parser_of(words[0]).parse_args([*words[1:], "--root", "r"])
    return True


def options_of(noun: str, verb: str) -> argparse.Namespace:
    """Options as the parser of a verb makes them, every one of them a word."""
    parser: argparse.ArgumentParser = parser_of(noun)
    if verb:
        inner = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
        parser = inner.choices[verb]
    found = argparse.Namespace(**{action.dest: "a" for action in parser._actions})
    if (noun, verb) == ("mixtures", "apply"):  # which says what it made
        found.mixture = "a@1"
    return found


def test_a_root_tells_what_it_holds_and_each_step_leads_to_the_next(
    root: Path, fill: Callable[..., Catalog], capsys: pytest.CaptureFixture[str]
) -> None:
    def said() -> str:
        assert main(["--root", str(root)]) == 0
        return capsys.readouterr().out

    assert "is empty" in said()
    assert not root.exists()
    fill("raw/python", 8)
    fill("raw/go", 8)
    assert "2 streams (2 raw), no mixture and no run" in said()
    Mixtures(root).apply(MIXTURE)
    assert "1 mixture (m) and no run" in said()
    Runs(root).create("a", mixture="m", seed=1, global_batch=4)
    found = said()
    assert "1 run (a)" in found
    assert f"phasemix runs show a --root {root}" in found


def test_without_a_root_it_says_how_to_name_one(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PHASEMIX_ROOT", raising=False)
    assert main([]) == 0
    assert "export PHASEMIX_ROOT=" in capsys.readouterr().out


def test_a_root_that_is_a_file_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--root", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_documents_alone_still_need_rows_of_tokens() -> None:
    purpose, command = next_command(Holding(["documents/python"], [], []), can_train=True)
    assert command.startswith("phasemix quickstart")
    assert purpose
    assert "1 documents" in describe(Holding(["documents/python"], [], []))


@pytest.mark.parametrize("can_train", [True, False])
@pytest.mark.parametrize(
    "holding", [Holding([], [], []), Holding(["raw/c"], [], []), Holding([], ["m"], []), Holding(["raw/c"], ["m"], ["a"])]
)
def test_every_command_of_the_overview_parses(holding: Holding, can_train: bool) -> None:
    assert parses(next_command(holding, can_train=can_train)[1])


def test_every_next_command_parses() -> None:
    for noun, verb in NEXT:
        assert parses(next_step(noun, verb, options_of(noun, verb)) or f"none after {noun} {verb}")


def test_a_step_whose_name_is_not_known_is_left_out() -> None:
    assert next_step("runs", "create", argparse.Namespace()) is None
    assert next_step("completion", "bash", argparse.Namespace()) is None


def test_the_next_command_is_said_to_a_terminal_alone(root: Path, fill: Callable[..., Catalog]) -> None:
    fill("raw/python", 8)

    def typed(*words: str, terminal: bool) -> str:
        argv = [sys.executable, "-P", "-m", "phasemix", *words, "--root", str(root)]
        if not terminal:
            return subprocess.run(argv, capture_output=True, text=True, check=True).stderr
        ours, theirs = pty.openpty()
        subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=theirs, check=True)
        os.close(theirs)
        try:
            return os.read(ours, 4096).decode()
        except OSError:  # the other end is closed and nothing was written
            return ""
        finally:
            os.close(ours)

    assert "Next: phasemix mixtures list" in typed("streams", "list", terminal=True)
    assert typed("streams", "list", terminal=False) == ""
    assert typed("streams", "list", "--json", terminal=True) == ""


def test_the_version_is_the_one_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"phasemix {importlib.metadata.version('phasemix')}\n"


def test_the_overview_loads_neither_numpy_nor_pyarrow(root: Path, fill: Callable[..., Catalog]) -> None:
    fill("raw/python", 8)
    code = (
        f"import sys; from deploy.command_line import main; main(['--root', {str(root)!r}]); print('LOADED', *sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"numpy", "pyarrow", "httpx"} & set(loaded.split("LOADED")[1].split())


@pytest.mark.parametrize("package", ["streamer", "mixer"])
def test_a_package_shows_its_public_names_and_loads_each(package: str) -> None:
    module = importlib.import_module(package)
    assert dir(module) == sorted(module.__all__)
    assert all(getattr(module, name) is not None for name in module.__all__)
    with pytest.raises(AttributeError, match="no attribute"):
        module.nothing  # noqa: B018
