"""`phasemix mixtures` as a user types it, the editor included."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from deploy.command_line import main
from mixer import Mixtures, Runs
from streamer import Catalog

Fill = Callable[..., Catalog]
TEXT = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\nmax_passes = 4\n'
Command = Callable[..., str]


@pytest.fixture
def command(root: Path, fill: Fill, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `phasemix mixtures ...` and returns what it printed."""
    fill("raw/python", 80)
    fill("raw/go", 20)
    (tmp_path / "m.toml").write_text(TEXT)

    def run(*words: str, code: int = 0) -> str:
        assert main(["mixtures", *words, *([] if words[0] == "schema" else ["--root", str(root)])]) == code
        captured = capsys.readouterr()
        return captured.err if code else captured.out

    return run


def test_apply_prints_what_it_changes_in_resolved_shares(command: Command, tmp_path: Path) -> None:
    assert command("apply", str(tmp_path / "m.toml"), "--why", "the first").split() == ["mixture", "m@1"]
    assert "m@1 already says the same" in command("apply", str(tmp_path / "m.toml"))
    (tmp_path / "m.toml").write_text(TEXT + "pin = { python = 0.5 }\n")
    rows = [line.split() for line in command("apply", str(tmp_path / "m.toml")).splitlines()]
    assert ["raw/go", "0.2000", "0.5000", "0.3000"] in rows
    assert ["raw/python", "0.8000", "0.5000", "-0.3000"] in rows


def test_everything_prints_json(command: Command, tmp_path: Path, root: Path) -> None:
    path = str(tmp_path / "m.toml")

    def answer(*words: str) -> Any:
        return json.loads(command(*words, "--json"))

    assert answer("apply", path, "--why", "the first") == [{"mixture": "m@1"}]
    assert answer("edit", "m", "--set", "raw.pin.python=0.5", "--unset", "raw.max_passes") == [{"mixture": "m@2"}]
    assert answer("list") == [{"mixture": "m", "versions": 2}]
    first, second = answer("list", "m")
    assert (first["mixture"], first["why"], second["extends"]) == ("m@1", "the first", "m@1")
    assert "max_passes" not in answer("show", "m")["component"][0]
    assert answer("diff", "m@1", "m@2") == [
        {"stream": "raw/go", "before": 0.2, "after": 0.5}, {"stream": "raw/python", "before": 0.8, "after": 0.5},
    ]  # fmt: skip
    assert answer("diff", "m@1", path) == []
    Runs(root).create("a", mixture="m@1", seed=1, global_batch=4)
    preview = answer("preview", "m@1", "--tokens", "4K", "--run", "a", "--tokens-per-s", "100")
    assert preview["ends_at_tokens"] == 3200
    assert preview["streams"][0]["dry_in_s"] == pytest.approx(32)
    assert answer("preview", path, "--tokens", "4K")["refusals"][0]["stream"] == "raw/go"
    assert answer("preview", "m", "--set", "raw.pin.python=0.9")["keys"][1]["share"] == pytest.approx(0.9)
    jsonschema.Draft7Validator.check_schema(json.loads(command("schema")))


def test_a_preview_says_in_words_what_is_not_possible_and_what_is(command: Command, tmp_path: Path) -> None:
    said = command("preview", str(tmp_path / "m.toml"), "--tokens", "4K")
    for words in (
        "After 3,200 tokens stream",
        "not possible: stream raw/go",
        "allow 3,200 tokens",
        "No shares last that long",
    ):
        assert words in said
    assert "The nearest shares that last 2,000 tokens" in command(
        "preview", write(tmp_path, TEXT + 'within = "equal"\n'), "--tokens", "2K"
    )


def test_a_file_without_end_is_refused(command: Command) -> None:
    assert "has more than" in command("apply", "/dev/zero", code=2)


def test_a_preview_says_which_stream_runs_dry_on_the_way_and_who_gets_its_share(
    command: Command, fill: Fill, tmp_path: Path
) -> None:
    """Given 640 tokens of python and 160 of go at equal shares and two passes, then go lasts 640 tokens of the mixture."""
    fill("scored/rust", 50)
    path = write(tmp_path, TEXT.replace("max_passes = 4", 'max_passes = 2\nwithin = "equal"\nwhen_dry = "share"'))
    said = "raw/go runs dry after 640 tokens (max_passes = 2); from there its share of 50.00% goes to the other streams of"
    assert f"\n{said} component raw.\n" in command("preview", path, "--tokens", "1K")
    assert "runs dry" not in command("preview", path, "--tokens", "640")
    assert "After 1,600 tokens every stream has run dry" in command("preview", path, "--tokens", "2K")
    alone = 'name = "m"\nseq_len = 8\n' + "".join(
        f'[[component]]\nstreams = "{name}"\nshare = 0.5\nmax_passes = 2\nwhen_dry = "share"\n'
        for name in ("raw/go", "scored/rust")
    )
    assert "its share of 50.00% goes to the other components" in command(
        "preview", write(tmp_path, alone), "--tokens", "800"
    )


def test_a_preview_of_many_streams_names_the_first_that_are_not_possible(
    command: Command, fill: Fill, tmp_path: Path
) -> None:
    for number in range(9):
        fill(f"raw/other{number}", 10)
    said = command("preview", str(tmp_path / "m.toml"), "--tokens", "1M")
    assert said.count("not possible: stream") == 5
    assert "not possible of 6 other streams either" in said


def test_a_version_shown_can_be_applied_again(command: Command, tmp_path: Path) -> None:
    command("apply", str(tmp_path / "m.toml"))
    assert "already says the same" in command("apply", write(tmp_path, command("show", "m")))


def write(folder: Path, text: str) -> str:
    (folder / "other.toml").write_text(text)
    return str(folder / "other.toml")


# the editor: a script in its place, in a process of its own


def edit(root: Path, tmp_path: Path, script: str, answers: str = "", *words: str) -> subprocess.CompletedProcess[str]:
    """`phasemix mixtures edit m` with a shell script as editor; `$1` is the file."""
    editor = tmp_path / "an editor"
    editor.write_text(f"#!/bin/sh\n{script}\n")
    editor.chmod(0o755)
    return subprocess.run(
        [sys.executable, "-P", "-m", "phasemix", "mixtures", "edit", "m", "--root", str(root), *words],
        input=answers,
        capture_output=True,
        text=True,
        env={**os.environ, "VISUAL": f"'{editor}'", "TMPDIR": str(tmp_path)},
        cwd=Path(__file__).parents[3],
        check=False,
    )


@pytest.fixture
def edited(root: Path, fill: Fill) -> Mixtures:
    fill("raw/python", 80)
    fill("raw/go", 20)
    Mixtures(root).apply(TEXT)
    return Mixtures(root)


def test_the_editor_shows_preview_and_difference_and_applies_after_a_yes(
    edited: Mixtures, root: Path, tmp_path: Path
) -> None:
    done = edit(root, tmp_path, "sed -i 's/max_passes = 4/pin = { python = 0.5 }/' \"$1\"", "y\n", "--tokens", "1K")
    assert done.returncode == 0, done.stderr
    assert "m@2" in done.stdout
    for words in ("1,000 tokens", "against the version before", "-0.3000"):
        assert words in done.stdout
    assert "[y]es" in done.stderr
    assert edited.document("m")["component"][0]["pin"] == {"python": 0.5}


def test_a_no_applies_nothing_and_keeps_the_text(edited: Mixtures, root: Path, tmp_path: Path) -> None:
    done = edit(root, tmp_path, "sed -i 's/max_passes = 4/max_passes = 5/' \"$1\"", "n\n")
    assert done.returncode == 2
    (kept,) = tmp_path.rglob("m.toml")
    assert str(kept) in done.stderr
    assert "max_passes = 5" in kept.read_text()
    assert edited.list() == [("m", 1)]


def test_a_mistake_opens_the_editor_again_with_the_error_and_loses_nothing(
    edited: Mixtures, root: Path, tmp_path: Path
) -> None:
    script = f"""
if grep -q '# mistake: m.toml:9: component raw, max_passes = 0' "$1"; then
    grep -c kept "$1" > {tmp_path}/seen; sed -i 's/max_passes = 0/max_passes = 7/' "$1"
else sed -i 's/max_passes = 4/max_passes = 0 # kept/' "$1"; fi"""
    done = edit(root, tmp_path, script, "", "--yes", "--json")
    assert json.loads(done.stdout) == [{"mixture": "m@2"}], done.stderr
    assert (tmp_path / "seen").read_text() == "1\n"
    assert edited.document("m")["component"][0]["max_passes"] == 7


def test_who_leaves_a_mistake_as_it_is_gets_it_said_and_keeps_the_text(edited: Mixtures, root: Path, tmp_path: Path) -> None:
    done = edit(root, tmp_path, "sed -i 's/max_passes = 4/max_passes = 0/' \"$1\"", "y\n")
    assert done.returncode == 2
    assert "max_passes = 0: it must be a whole number" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.rglob("m.toml"))
    assert edited.list() == [("m", 1)]


def test_an_editor_that_is_no_command_and_a_reason_too_long_are_said_before_anything_is_typed(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command("apply", str(tmp_path / "m.toml"))
    monkeypatch.setenv("VISUAL", "'")
    said = command("edit", "m", code=2)
    assert "cannot be read as a command: No closing quotation" in said
    assert said.count("\n") == 1
    assert "printable characters" in command("edit", "m", "--why", "x" * 1001, code=2)
    assert "not a number of tokens" in command("edit", "m", "--set", "raw.pin.python=0.5", "--tokens", "x", code=2)


@pytest.mark.parametrize("speed", ["nan", "inf", "0", "-1"])
def test_a_speed_of_training_that_is_none_is_refused(command: Command, tmp_path: Path, speed: str) -> None:
    assert "must be a finite number above 0" in command(
        "preview", str(tmp_path / "m.toml"), f"--tokens-per-s={speed}", code=2
    )


def test_a_mixture_whose_first_version_was_never_written_is_none(command: Command, root: Path, tmp_path: Path) -> None:
    Catalog(root).register("mixtures", "ghost")
    assert command("list").split() == ["none"]
    assert "newest versions: none yet" in command("show", "ghost", code=2)
    assert command("apply", str(tmp_path / "m.toml")).split() == ["mixture", "m@1"]


def test_an_editor_that_changes_nothing_makes_no_version(edited: Mixtures, root: Path, tmp_path: Path) -> None:
    assert "m@1 stays" in edit(root, tmp_path, "true").stdout
    failed = edit(root, tmp_path, "exit 3")
    assert (failed.returncode, "code 3" in failed.stderr) == (2, True)
    assert edited.list() == [("m", 1)]
