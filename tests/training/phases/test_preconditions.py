"""What a training would meet only later is found before its run is made, and said in one line with the remedy."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from train_process import SMALL

from mixer import Mixtures, Runs
from mixer.ledger.reports import Report
from streamer import Catalog
from streamer.errors import MissingExtraError, PhasemixError
from streamer.extras import EXTRAS
from streamer.publishing.publication import Options, publish_path
from training.checkpoints import files, record
from training.commands.train import add_train, prepare
from training.errors import CheckpointError, HeldoutError, RecipeError, RunMismatchError

NO_TOKENIZER = """
name = "bare"
seq_len = 32

[[component]]
streams = "bare/*"
share = 1.0
"""


def parse(root: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_train(parser)
    return parser.parse_args(
        ["general", "--mixture", "code", "--run", "a", "--root", str(root), *SMALL, "--set", "steps=20", *more]
    )


def write_checkpoint(folder: Path, step: int, *, content: bytes = b"weights", **shape: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    aside, target = folder / f".step-{step:08d}.pt", files.path_of(folder, step)
    aside.write_bytes(content * (100 + step))
    files.publish(aside, target, run=folder.name, step=step, model=shape, keep=99)
    return target


def refused(root: Path, kind: type[PhasemixError], says: str, *more: str) -> str:
    """The one line that is said; nothing was made."""
    before = {run.name: run.num_steps for run in Runs(root).list()}
    with pytest.raises(kind, match=says) as error:
        prepare(parse(root, *more))
    assert "\n" not in str(error.value)
    assert {run.name: run.num_steps for run in Runs(root).list()} == before
    return str(error.value)


def outcome(root: Path, *more: str) -> int | str:
    """The step that is resumed, or what is said against it."""
    try:
        return prepare(parse(root, *more)).resume_step
    except CheckpointError as error:
        return str(error)


def test_a_folder_that_cannot_be_written_is_said_before_the_run_is_made(code_root, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in ("/proc/nowhere", str(tmp_path / "file"), str(tmp_path / "file" / "below")):
        refused(code_root, CheckpointError, "cannot be written to .*--save-folder", "--save-folder", folder)


def test_a_logger_that_is_not_installed_is_said_before_the_run_is_made(code_root, monkeypatch):
    monkeypatch.setitem(EXTRAS, "wandb", ("a_module_that_nobody_has",))
    said = refused(code_root, MissingExtraError, "wandb of the recipe", "--set", "loggers.wandb.mode=offline")
    assert said.endswith("pip install 'phasemix[wandb]'")
    assert not (code_root / "checkpoints").exists()


def test_what_cannot_be_evaluated_is_said_before_the_run_is_made(code_root):
    Catalog(code_root).append("heldout/go", np.zeros((4, 32), np.uint16), seq_len=32)
    refused(code_root, HeldoutError, "heldout/go")
    assert prepare(parse(code_root, "--set", "heldout.streams=")).recipe.heldout.streams == ""


@pytest.mark.parametrize("how", ["appended", "a stock folder", "converted"])
def test_ids_beyond_the_models_table_are_found_without_a_tokenizer(code_root, tmp_path, how):
    """Given streams whose tokenizer nobody named, then what their publication saw is asked."""
    from streaming import MDSWriter

    catalog, rows = Catalog(code_root), (np.arange(40 * 32) % 601).astype(np.uint16).reshape(40, 32)
    if how == "appended":
        catalog.append("bare/go", rows, seq_len=32)
    else:
        kind = "ndarray:uint16:32" if how == "a stock folder" else "bytes"
        with MDSWriter(out=str(tmp_path / "mds"), columns={"tokens": kind}) as writer:
            for row in rows:
                writer.write({"tokens": row if how == "a stock folder" else row.astype(np.int32).tobytes()})
        token_dtype = None if how == "a stock folder" else "int32"
        options = Options(seq_len=32, dtype="uint16", token_dtype=token_dtype)
        publish_path(catalog, "bare/go", tmp_path / "mds", options)
    assert [part.highest_id for part in catalog.stream("bare/go").parts] == [600]
    Mixtures(catalog).apply(NO_TOKENIZER)
    more = ["--mixture", "bare", "--set", "heldout.streams="]
    refused(code_root, RecipeError, "bare/go has ids up to 600, .*model.vocab_size=601", *more)
    marks = [f"objective.fill_in_the_middle.{key}" for key in ("share=0.5", "prefix=600", "suffix=601", "middle=602")]
    gaps = [word for key in ("model.vocab_size=603", *marks) for word in ("--set", key)]
    refused(code_root, RecipeError, "have ids up to 600, so 600 stands for text; give an id from 601 to 602", *more, *gaps)
    assert prepare(parse(code_root, *more, "--set", "model.vocab_size=601")).tokenizer is None


@pytest.mark.parametrize("how", ["--resume", "--from"])
def test_a_checkpoint_of_another_shape_is_named_with_the_keys(code_root, how):
    shape = {"vocab_size": 512, "hidden_size": 48, "num_layers": 3, "intermediate_size": 64, "dropout": 0}
    write_checkpoint(code_root / "checkpoints" / ("a" if how == "--resume" else "b"), 8, **shape)
    more = ["--resume"] if how == "--resume" else ["--from", "b"]
    said = refused(code_root, CheckpointError, "step-00000008.pt is of a model with", *more)
    assert said.endswith("add --set model.hidden_size=48 --set model.num_layers=3")


def test_weights_that_learned_another_tokenizers_ids_are_refused(code_root, other_tokenizer):
    catalog = Catalog(code_root)
    prepare(parse(code_root, "--run", "b"))
    write_checkpoint(code_root / "checkpoints" / "b", 8)
    other = catalog.put_tokenizer(other_tokenizer.to_str())
    catalog.append("bare/go", np.zeros((40, 32), np.uint16), seq_len=32, tokenizer=other)
    Mixtures(catalog).apply(NO_TOKENIZER)
    bare = ["--mixture", "bare", "--from", "b", "--set", "heldout.streams="]
    refused(
        code_root, RunMismatchError, f"run b learned the ids of tokenizer .* of {other}, where they stand for other", *bare
    )
    assert prepare(parse(code_root, "--from", "b")).weights is not None


def test_the_newest_whole_checkpoint_is_taken_and_the_damaged_one_is_named(code_root, capsys):
    folder = code_root / "checkpoints" / "a"
    for step in (4, 8, 12, 16):
        write_checkpoint(folder, step)
    os.truncate(files.path_of(folder, 16), 100)
    data = bytearray(files.path_of(folder, 12).read_bytes())
    data[57] ^= 4
    files.path_of(folder, 12).write_bytes(data)
    files.path_of(folder, 20).write_bytes(b"somebody else's")
    assert prepare(parse(code_root, "--resume")).resume_step == 8
    said = capsys.readouterr().err.splitlines()
    assert [re.findall(r"step-\d+", line) for line in said] == [
        ["step-00000020", "step-00000008"], ["step-00000016", "step-00000008"], ["step-00000012", "step-00000008"]
    ]  # fmt: skip
    assert ["does not name it" in said[0], "damaged" in said[1], "SHA-256" in said[2]] == [True] * 3


@pytest.mark.parametrize("where", [0, 1, -1])
def test_every_flipped_bit_and_missing_byte_of_a_lone_checkpoint_is_found(code_root, where):
    """Of the file: bits all along it, and one byte less. Of the record: nothing that is changed there names the file."""
    folder = code_root / "checkpoints" / "a"
    path = write_checkpoint(folder, 4)
    whole, line = path.read_bytes(), (folder / record.NAME).read_bytes()
    for place in range(0, len(whole), 40):
        changed = bytearray(whole)
        changed[place] ^= 1 << (place + where) % 8
        path.write_bytes(changed)
        refused(code_root, CheckpointError, "damaged: its SHA-256", "--resume")
    path.write_bytes(whole[:where] + whole[where:][1:] if where > 0 else whole[1:] if where == 0 else whole[:-1])
    refused(code_root, CheckpointError, "damaged: it has", "--resume")
    path.write_bytes(whole)
    keys = b'{"run":"a","step":4,"sha256":"%s","size_bytes":%d' % (record.digest(path).encode(), len(whole))
    for place in range(line.index(keys), line.index(keys) + len(keys)):
        changed = bytearray(line)
        changed[place] ^= 1 << (place + where) % 8
        (folder / record.NAME).write_bytes(changed)
        said = outcome(code_root, "--resume")
        assert said == 4 or re.fullmatch(r".*step-00000004\.pt.*", str(said)), said  # 4: the run's name is not needed


def test_a_person_may_vouch_for_a_checkpoint_by_its_digest(code_root):
    path = write_checkpoint(code_root / "checkpoints" / "a", 4)
    (path.parent / record.NAME).unlink()
    said = refused(code_root, CheckpointError, "this run did not write it", "--resume")
    digest = said.rpartition("--trust ")[2]
    assert digest == record.digest(path)
    assert prepare(parse(code_root, "--resume", "--trust", digest)).resume_step == 4
    refused(code_root, CheckpointError, "this run did not write it", "--resume", "--trust", "0" * 64)


def report(root: Path, run: str) -> None:
    Runs(root).extend(run, 8)
    Runs(root).report(run, Report(start_step=0, end_step=8, streams=["raw/go"], samples=[64], loss=[6.0]))


def test_the_history_names_who_trained(code_root, monkeypatch):
    monkeypatch.setenv("PHASEMIX_BY", "night-shift")
    prepare(parse(code_root))
    assert [(event.event, event.by) for event in Runs(code_root).history("a")] == [("created", "night-shift")]


def test_a_run_that_was_not_trained_takes_any_horizon(code_root):
    """Given a first try that came to nothing, then the real training may be longer, or shorter."""
    Runs(code_root).create("a", mixture="code", seed=17, global_batch=8, num_steps=10)
    Runs(code_root).extend("a", 10)
    assert prepare(parse(code_root, "--set", "steps=40")).num_steps == 40
    assert Runs(code_root).show("a").num_steps == 40
    assert prepare(parse(code_root, "--set", "steps=5")).num_steps == 5
    assert prepare(parse(code_root, "--set", "steps=40")).num_steps == 40


@pytest.mark.parametrize("sign", ["checkpoint", "report"])
def test_the_horizon_of_a_run_that_was_trained_moves_on_request_alone(code_root, sign):
    Runs(code_root).create("a", mixture="code", seed=17, global_batch=8, num_steps=10)
    if sign == "checkpoint":
        write_checkpoint(code_root / "checkpoints" / "a", 8)
    else:
        report(code_root, "a")
    says = r"towards a horizon of 10 steps.*asks for 40; add --extend to train on to 40, or --set general.steps=10"
    refused(code_root, RunMismatchError, says, "--resume", "--set", "steps=40")
    assert prepare(parse(code_root, "--resume", "--set", "steps=10")).num_steps == 10
    for _ in range(2):  # as two ranks do
        assert prepare(parse(code_root, "--resume", "--extend", "--set", "steps=40")).num_steps == 40
    assert Runs(code_root).show("a").num_steps == 40


def test_an_extension_that_caps_cannot_last_is_refused(code_root):
    Runs(code_root).create("a", mixture="code", seed=17, global_batch=8, num_steps=10)
    refused(code_root, PhasemixError, "max_passes", "--set", "steps=400")


def test_a_mistake_is_one_line_and_exit_code_2(code_root):
    command = [
        sys.executable,
        "-m",
        "training",
        "general",
        "--mixture",
        "code",
        "--run",
        "a",
        "--root",
        str(code_root),
        *SMALL,
    ]
    done = subprocess.run([*command, "--save-folder", "/proc/nowhere"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
