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

SCHEDULE = ("kind", "peak_learning_rate", "final_learning_rate", "warm_up_steps", "decay_share", "decay_steps")
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
        ("phasemix mixtures ", {"list", "show", "apply", "edit", "set", "diff", "preview", "schema"}),
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
        ("phasemix streams show r", {"raw/python"}),
        ("phasemix mixtures edit general --set raw.max", {"raw.max_passes="}),
        ("phasemix mixtures edit general --unset raw.", {"raw.streams", "raw.share"}),
        ("phasemix mixtures set general p", {"python="}),
        ("phasemix mixtures set general ra", {"raw="}),
        ("phasemix train general --set model.hid", {"model.hidden_size="}),
        ("phasemix train general --set general.sch", {f"general.schedule.{key}=" for key in SCHEDULE}),
        ("phasemix generators seed --language rus", {"rust"}),
    ],
)
def test_bash_completes(bash: Callable[[str], set[str]], line: str, offered: set[str]) -> None:
    assert bash(line) == offered


def test_a_root_that_cannot_be_read_is_silence(bash: Callable[[str], set[str]], root: Path) -> None:
    (root / "names" / "mixtures" / "00000000").write_text("torn")
    assert bash("phasemix mixtures show g") == set()


@pytest.mark.parametrize(
    "line",
    ["mixtures show g", "streams show r", "mixtures edit general --set raw.", "train general --set mod", "runs show f"],
)
def test_what_a_shell_waits_for_loads_neither_numpy_nor_pyarrow(
    bash: Callable[[str], set[str]], root: Path, line: str
) -> None:
    """Given the fixture's root, then the process that answers says what it loaded."""
    assert bash("phasemix mi")  # the fixture works here
    code = (
        "import atexit, os, sys\n"
        "real = os._exit\n"
        "os._exit = lambda code: (os.write(2, ' '.join(sys.modules).encode()), real(code))\n"
        "from deploy.command_line import main\n"
        "main([])\n"
    )
    asked = f"phasemix {line}"
    environment = {
        **os.environ, "PHASEMIX_ROOT": str(root), "_ARGCOMPLETE": "1", "COMP_LINE": asked, "COMP_POINT": str(len(asked)),
        "_ARGCOMPLETE_STDOUT_FILENAME": os.devnull, "_ARGCOMPLETE_IFS": "\013",
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, env=environment)
    loaded = set(done.stderr.split())
    assert "argcomplete" in loaded
    assert not {"numpy", "pyarrow", "httpx"} & loaded
