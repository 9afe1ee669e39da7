"""The command as a user types it: results, one-line errors with exit code 2, and a quick help."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.command_line import main
from mixer import Mixtures
from streamer import Catalog
from streamer.store.object_store import ObjectStore

MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'


def test_a_mixture_is_applied_run_edited_and_switched(
    root: Path, fill: Callable[..., Catalog], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill("raw/python", 30)
    fill("raw/go", 30)
    (tmp_path / "m.toml").write_text(MIXTURE)

    def command(*words: str) -> list[dict[str, object]]:
        assert main([*words, "--root", str(root), "--json"]) == 0
        found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
        return found

    assert command("mixtures", "apply", str(tmp_path / "m.toml")) == [{"mixture": "m@1"}]
    assert command("runs", "create", "a", "--mixture", "m", "--seed", "1", "--global-batch", "4")[0]["run"] == "a"
    assert command("mixtures", "edit", "m", "--set", "raw.pin.python=0.4") == [{"mixture": "m@2"}]
    assert command("runs", "switch", "a", "m@2")[0]["from_step"] == 0
    assert {row["stream"]: row["share_now"] for row in command("runs", "show", "a")} == pytest.approx(
        {"raw/go": 0.6, "raw/python": 0.4}
    )
    assert [row["state"] for row in command("streams", "verify")] == ["whole", "whole"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stream", "list"], "did you mean 'streams'?"),
        (["streams", "lst"], "phasemix: invalid choice: 'lst' (choose from "),
        (["runs", "create", "a", "--steps", "4"], "the following arguments are required: --seed"),
        (
            ["runs", "create", "a", "--seed", "1", "--global-batch", "2", "--steps", "4", "--root", "r"],
            "unrecognized arguments: --steps 4; did you mean '--num-steps'?; phasemix runs create --help says more",
        ),
        (["status", "--root", "no-such-root"], "there is no root at "),
        (["--root", "no-such-root", "streams", "list"], "there is no root at "),
    ],
)
def test_a_mistyped_word_is_named_with_what_it_may_have_been(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main(words)
    except SystemExit as end:
        code = end.code  # type: ignore[assignment]
    assert code == 2
    assert said in capsys.readouterr().err


def test_a_root_may_stand_before_the_noun_and_absent_names_get_the_nearest_one(
    root: Path, fill: Callable[..., Catalog], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill("raw/python", 30)
    (tmp_path / "m.toml").write_text(MIXTURE)
    for before in (["--root", str(root)], [f"--root={root}"]):
        assert main([*before, "mixtures", "apply", str(tmp_path / "m.toml")]) == 0
    assert (
        main(["runs", "create", "first", "--mixture", "m", "--seed", "1", "--global-batch", "4", "--root", str(root)]) == 0
    )
    assert main(["status", "--root", str(root)]) == 0
    assert f"nothing is up for {root} on this machine" in capsys.readouterr().out
    assert main(["generators", "status", "--root", str(root)]) == 0
    assert "No pool reports for this root" in capsys.readouterr().err
    assert main(["streams", "show", "raw/pyton", "--root", str(root)]) == 2
    assert "stream raw/pyton does not exist under " in (said := capsys.readouterr().err)
    assert "did you mean 'raw/python'?" in said
    assert main(["runs", "show", "frist", "--root", str(root)]) == 2
    assert "did you mean 'first'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["mixtures", "show", "none"],
        ["mixtures", "apply", "no-such-file.toml"],
        ["mixtures", "edit", "none", "--set", "a.b=1"],
        ["runs", "show", "none"],
        ["runs", "create", "a", "--mixture", "none", "--seed", "1", "--global-batch", "4"],
        ["runs", "switch", "none", "m"],
        ["streams", "show", "raw/none"],
        ["streams", "publish", "raw/x", "/nonexistent"],
        ["streams", "create", "nokey", "--seq-len", "8"],
        ["streams", "create", "raw/x", "--seq-len", "0"],
    ],
)
def test_a_mistake_is_one_line_exit_2_and_leaves_nothing(
    root: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--root", str(root)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("phasemix: ")
    assert said.count("\n") == 1
    assert not root.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["streams", "list"],
        ["streams", "verify"],
        ["mixtures", "list"],
        ["runs", "list", "--archived"],
        ["runs", "verify"],
        ["corpus", "stats"],
        ["generators", "status"],
        ["generators", "scale", "2"],
        ["train", "general", "--mixture", "m", "--run", "a"],
    ],
)
@pytest.mark.parametrize("is_there", [False, True])
def test_a_root_that_nothing_was_written_to_is_not_taken_for_an_empty_one(
    root: Path, words: list[str], is_there: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given a mistyped root, also one that is another folder, then the command says so and does not make it."""
    if is_there:
        root.mkdir()
        (root / "notes.txt").write_text("not ours")
    assert main([*words, "--root", str(root)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"phasemix: there is no root at {root}: ")
    assert said.err.count("\n") == 1
    assert [path.name for path in root.rglob("*")] == ["notes.txt"] * is_there


def test_a_root_that_holds_nothing_yet_is_listed_and_one_of_an_older_version_too(
    root: Path, fill: Callable[..., Catalog], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["streams", "create", "raw/python", "--seq-len", "8", "--root", str(root)]) == 0
    assert main(["runs", "list", "--root", str(root)]) == 0
    shutil.rmtree(root / "identity")  # roots had none before
    assert main(["runs", "list", "--root", str(root)]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["none", "none"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["streams"], "required"),
        (["streams", "create", "raw/x", "--seq-len", "eight"], "eight"),
        (["streams", "create", "raw/x", "--seq-len", "8", "--dtype", "uint8"], "uint8"),
        (["streams", "show", "raw/python", "--root", ""], "empty"),
        (["mixtures", "edit", "m", "--set", "raw.streams.x=1"], "not a table"),
        (["mixtures", "edit", "m", "--set", "raw.streams=[]"], "name"),
        (["mixtures", "edit", "m", "--set", "raw.within={python=nan, go=1}"], "within.python"),
        (["mixtures", "edit", "m", "--set", "raw.within={python=-1, go=1}"], "within.python"),
        (["mixtures", "edit", "m", "--set", "raw.within={python=0, go=0}"], "sum to 0"),
        (["mixtures", "edit", "m", "--set", "raw.max_passes=99999999999"], "max_passes"),
        (["mixtures", "edit", "m", "--set", "raw.pin.python=nan"], "pin.python"),
        (["generators", "seed", "--from", "raw/*", "--files", "5"], "documents/"),
        (["up", "--workers", "-1"], "--workers"),
        (["train", "general", "--mixture", "m", "--run", "a", "--set", "model.num_kv_heads=0"], "num_kv_heads = 0"),
    ],
)
def test_odd_arguments_are_one_line_and_change_nothing(
    root: Path,
    fill: Callable[..., Catalog],
    words: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill("raw/python", 3)
    fill("raw/go", 3)
    Mixtures(root).apply(MIXTURE)
    before = sorted(root.rglob("*"))
    monkeypatch.setenv("PHASEMIX_ROOT", str(root))
    try:
        code = main(words)
    except SystemExit as ended:
        code = int(ended.code or 0)
    error = capsys.readouterr().err
    assert code == 2
    assert error.count("\n") == 1
    assert said in error
    assert sorted(root.rglob("*")) == before


def test_a_missing_root_names_the_variable(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHASEMIX_ROOT", "")
    with pytest.raises(SystemExit) as ended:
        main(["streams", "list"])
    assert ended.value.code == 2
    assert "PHASEMIX_ROOT" in capsys.readouterr().err


def test_an_unknown_noun_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stream"]) == 2
    assert "streams" in capsys.readouterr().err


def test_help_imports_no_room() -> None:
    code = "import sys; from deploy.command_line import main; main(['--help']); print('LOADED', *sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"streamer", "mixer", "generators", "training", "numpy", "msgspec"} & set(loaded.split("LOADED")[1].split())


@pytest.mark.parametrize(
    "words",
    [
        ["streams", "list", "[" * 100_000],
        ["streams", "verify", "*[" * 50_000],
        ["streams", "create", "raw/" + "x" * 100_000, "--seq-len", "8"],
        ["mixtures", "show", "\x1b[31m" * 1000],
        ["runs", "create", "a", "--mixture", "m", "--seed", "9" * 5000, "--global-batch", "4"],
    ],
)
def test_whatever_is_typed_is_answered_by_a_line_that_a_terminal_can_show(
    root: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main([*words, "--root", str(root)])
    except SystemExit as stop:
        code = int(str(stop.code))
    assert code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert len(said) < 2200
    assert said.rstrip("\n").isprintable()


def test_a_bucket_that_answers_may_be_empty(
    s3_store: Callable[..., ObjectStore],
    s3_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in (("ENDPOINT_URL", s3_endpoint), ("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    assert main(["streams", "list", "--root", s3_store().url, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == []
    assert "nothing was written there yet" in said.err
