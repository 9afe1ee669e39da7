"""`phasemix train --dry-run` says what a training would be, and writes nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from train_process import SMALL

from deploy.command_line import main
from mixer import Runs
from training.checkpoints import files
from training.commands.dry_run import curve
from training.phases.phase import load_recipe
from training.phases.recipe_file import read_recipe


def words(root: Path, *more: str) -> list[str]:
    return ["train", "general", "--mixture", "code", "--run", "a", "--root", str(root), *SMALL, "--dry-run", *more]


def tree(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*")}


def test_a_training_is_described_and_nothing_is_written(code_root, capsys):
    before = tree(code_root)
    more = ["--set", "steps=20", "--set", "schedule.warm_up_steps=4", "--set", "heldout.every_steps=5"]
    assert main([*words(code_root, *more)]) == 0
    said = capsys.readouterr().out
    assert "run a (new), general: steps 0 to 20, 5,120 tokens, with new weights" in said
    assert "held-out streams: evaluated every 5 steps and at the end" in said
    assert "code@1: 5,120 tokens" in said
    assert said.endswith("nothing was written\n")
    assert tree(code_root) == before


def test_its_json_has_steps_memory_rates_and_the_preview(code_root, capsys):
    assert main([*words(code_root, "--set", "steps=20", "--ranks", "2", "--json")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["steps"], found["tokens"], found["ranks"], found["run_is"]) == (20, 20 * 8 * 32, 2, "new")
    assert (found["evaluates"], found["evaluates_every"]) == (True, 0)
    assert found["memory_bytes"] == sum(found["memory"].values())
    assert found["preview"]["tokens"] == found["tokens"]
    steps, rates = zip(*found["learning_rate"], strict=True)
    assert (steps[0], steps[-1], rates[0]) == (0, 19, 0.0)
    assert max(rates) == pytest.approx(3e-3)


def test_of_a_run_that_exists_what_is_left_is_previewed(code_root, capsys):
    """Given some of 90 steps drawn and no checkpoint, then all steps are trained and the others are yet to be drawn."""
    Runs(code_root).create("a", mixture="code", seed=17, global_batch=8, num_steps=90)
    Runs(code_root).extend("a", 8)
    drawn = Runs(code_root).show("a").end_step
    assert 8 <= drawn < 90
    assert main([*words(code_root, "--set", "steps=90", "--json")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["run_is"], found["first_step"], found["tokens"]) == ("open", 0, 90 * 8 * 32)
    assert found["preview"]["tokens"] == (90 - drawn) * 8 * 32


def test_a_checkpoint_that_is_gone_on_from_is_named(code_root, capsys):
    folder = code_root / "checkpoints" / "a"
    folder.mkdir(parents=True)
    (folder / ".step-00000008.pt").write_bytes(b"weights")
    files.publish(folder / ".step-00000008.pt", files.path_of(folder, 8), run="a", step=8, model={}, keep=9)
    assert main([*words(code_root, "--set", "steps=20", "--resume")]) == 0
    assert f"steps 8 to 20, 3,072 tokens, with {folder}/step-00000008.pt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--set", "batch.seq_len=64"], "seq_len"),
        (["--mixture", "cod"], "cod"),
        (["--from", "nobody"], "train that run first"),
        (["--set", "heldout.streams=raw/*", "--set", "model.vocab_size=100"], "vocab_size"),
        (["--recipe", "papr"], "did you mean 'paper'"),
        (["--ranks", "3"], "does not divide batch.global_batch = 8"),
        (["--ranks", "0"], "does not divide"),
    ],
)
def test_what_is_not_there_or_does_not_fit_is_one_line(code_root, capsys, more, says):
    before = tree(code_root)
    assert main([*words(code_root, "--set", "steps=20"), *more]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert tree(code_root) == before


def test_the_trainer_is_not_loaded(code_root):
    code = (
        "import sys; from deploy.command_line import main; code = main(sys.argv[1:]);"
        "assert not {'torch', 'composer', 'transformers'} & sys.modules.keys(); sys.exit(code)"
    )
    argv = [sys.executable, "-c", code, *words(code_root, "--set", "steps=20")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, env=os.environ)
    assert done.returncode == 0, done.stderr


def test_the_curve_has_both_ends_and_the_peak():
    name, text = read_recipe("paper")
    recipe = load_recipe(text, name=name, phase="general", overrides=[])
    rates = dict(curve(recipe.general.schedule, recipe.num_steps("general")))
    last = recipe.num_steps("general") - 1
    assert (max(rates), rates[0], rates[600], rates[last]) == (last, 0.0, 5.3e-4, pytest.approx(5.3e-5))
