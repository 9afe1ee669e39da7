"""A shell completes nouns, verbs, options, and the names that the root has."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.command_line import main
from mixer import Mixtures, Runs
from streamer import Catalog

ASK = """
eval "$(phasemix completion bash)"
COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}; COMP_WORDS=($1); COMP_TYPE=9
[[ "$1" == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
spec=$(complete -p phasemix); function_name=${spec##*-F }
${function_name%% *} phasemix
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_printed_for_each_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "phasemix" in capsys.readouterr().out


@pytest.fixture
def bash(root: Path, fill: Callable[..., Catalog], tmp_path: Path) -> Callable[[str], set[str]]:
    """What a real bash offers for a line."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    fill("raw/python", 30)
    mixtures = Mixtures(root)
    for name in ("general", "enhanced"):
        mixtures.apply(f'name = "{name}"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n')
    Runs(root).create("first", mixture="general", seed=1, global_batch=4)
    command = tmp_path / "bin" / "phasemix"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m deploy.command_line "$@"\n')
    command.chmod(0o755)

    def ask(line: str) -> set[str]:
        project = str(Path(__file__).parents[2])
        path = f"{command.parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PHASEMIX_ROOT": str(root), "PYTHONPATH": project}
        words = ["bash", "--norc", "-c", ASK, "bash", line]
        done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=tmp_path, check=True)
        return {word.strip() for word in done.stdout.split()}

    return ask


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("phasemix mi", {"mixtures"}),
        ("phasemix mixtures ", {"list", "show", "apply", "edit", "diff", "preview", "schema"}),
        ("phasemix mixtures show ", {"general", "enhanced"}),
        ("phasemix mixtures diff general en", {"enhanced"}),
        ("phasemix runs show f", {"first"}),
        ("phasemix runs switch first g", {"general"}),
        ("phasemix runs create a --mixture g", {"general"}),
        ("phasemix mixtures preview general --tok", {"--tokens", "--tokens-per-s"}),
        ("phasemix runs create ", set()),
        ("phasemix mixtures show general@", {"1"}),
        ("phasemix runs create a --policy ", {"loss-fed"}),
        ("phasemix train g", {"general"}),
        ("phasemix train general --run f", {"first"}),
        ("phasemix completion ", {"bash", "zsh", "fish"}),
    ],
)
def test_bash_completes(bash: Callable[[str], set[str]], line: str, offered: set[str]) -> None:
    assert bash(line) == offered


def test_a_root_that_cannot_be_read_is_silence(bash: Callable[[str], set[str]], root: Path) -> None:
    (root / "names" / "mixtures" / "00000000").write_text("torn")
    assert bash("phasemix mixtures show g") == set()
