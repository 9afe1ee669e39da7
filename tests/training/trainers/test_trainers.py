"""The plain PyTorch loop trains as Composer does; each takes the other's weights, and stops where a loss is no number."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from train_process import REPOSITORY, Training, environment, start_ranks, train, words

from mixer import Trace
from mixer.ledger.reports import Reports
from streamer import Catalog
from training.checkpoints import files, record
from training.measures.steps_log import StepLine, read_steps

STILL = ("--set", "model.dropout=0")


def steps(root: Path, run: str) -> list[StepLine]:
    return read_steps(root / "checkpoints" / run / "steps.jsonl")


def result(root: Path, run: str) -> dict:
    return msgspec.json.decode((root / "checkpoints" / run / "result.json").read_bytes())


def asked(root: Path, run: str, trainer: str, *more: str) -> list[str]:
    return [*words(root, run, *more), "--trainer", trainer]


def test_both_trainers_do_the_same_to_the_bit(code_root: Path) -> None:
    """Given dropout, microbatches and 50 steps of the laptop's recipe, then batches, losses and results are equal."""
    for trainer in ("composer", "torch"):
        train(code_root, trainer, "--set", "steps=50", "--trainer", trainer)
    assert len(steps(code_root, "torch")) == 50
    assert steps(code_root, "torch") == steps(code_root, "composer")
    plain, composer = result(code_root, "torch"), result(code_root, "composer")
    differing = {key for key in plain if plain[key] != composer[key]}
    assert differing <= {"run", "wall_s", "tokens_per_s", "wait_share"}
    shares = [(code_root / "checkpoints" / run / "shares.jsonl").read_bytes() for run in ("torch", "composer")]
    assert shares[0] == shares[1]
    plain, composer = (
        [msgspec.structs.replace(report, at_s=0.0) for report in Reports(Catalog(code_root), run).read()]
        for run in ("torch", "composer")
    )
    assert plain == composer != []


def test_the_plain_loop_needs_nothing_of_composer(code_root: Path) -> None:
    code = (
        "import sys; from training.__main__ import main; found = main(); "
        "print(found, {'composer', 'streaming'} & {name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *asked(code_root, "a", "torch", "--set", "steps=2")],
        cwd=REPOSITORY, env=environment(), capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "0 set()", done.stderr


@pytest.mark.parametrize(("first", "other"), [("composer", "torch"), ("torch", "composer")])
def test_each_trainer_begins_with_the_others_weights_but_does_not_resume_it(code_root: Path, first: str, other: str) -> None:
    """Given weights of one trainer, then both begin with the same losses."""
    train(code_root, "a", "--trainer", first, "--set", "steps=8")
    before = {path.name: path.read_bytes() for path in (code_root / "checkpoints" / "a").iterdir()}
    refused = Training(asked(code_root, "a", other, "--set", "steps=12", "--resume", "--extend"))
    assert refused.poll(timeout=100) == 2
    said = refused.output().splitlines()[-1]
    assert f"was written by --trainer {first} and cannot be resumed by --trainer {other}; resume with" in said
    assert {path.name: path.read_bytes() for path in (code_root / "checkpoints" / "a").iterdir()} == before
    for trainer in (first, other):
        train(code_root, f"from_{trainer}", "--trainer", trainer, "--set", "steps=6", "--from", "a")
    assert steps(code_root, f"from_{other}") == steps(code_root, f"from_{first}")
    assert steps(code_root, f"from_{other}")[0].loss < steps(code_root, "a")[0].loss


@pytest.mark.parametrize("world_size", [1, 2])
def test_a_loss_that_is_no_number_stops_the_training_with_the_trace_of_its_batch(
    code_root: Path, tmp_path: Path, trainer: str, world_size: int
) -> None:
    """Given a rate that destroys the weights, then what was saved before stays, and the batch's rows are written."""
    large = ["--set", "schedule.kind=constant", "--set", "schedule.peak_learning_rate=1e12", "--set", "steps=20"]
    large += ["--set", f"loggers.tensorboard={tmp_path / 'curves'}"]
    train(code_root, "a", "--set", "steps=8")
    ranks = start_ranks(words(code_root, "a", *large, "--resume", "--extend"), world_size)
    assert [rank.poll(timeout=100) for rank in ranks] == [2] * world_size, [rank.output() for rank in ranks]
    folder = code_root / "checkpoints" / "a"
    (path,) = folder.glob("diverged-step-*.json")
    found = json.loads(path.read_text())
    for rank in ranks:
        assert f"the loss of step {found['step']} is " in rank.output()
        assert str(path) in rank.output()
        assert "Traceback" not in rank.output()
    traced = Trace(code_root, "a").batch(found["batch"])
    assert [{**row, "loss": None} for row in found["rows"]] == [{**msgspec.to_builtins(row), "loss": None} for row in traced]
    assert {row["loss"] for row in found["rows"]} & {"nan", "inf"}
    assert (found["format"], found["run"]) == ("divergence/1", "a")
    assert len(steps(code_root, "a")) == found["step"]
    curves = EventAccumulator(str(tmp_path / "curves" / "a"))
    curves.Reload()
    assert [event.step for event in curves.Scalars("loss/train/total")] == list(range(9, found["step"] + 1))
    newest = files.latest(folder)
    assert newest is not None
    assert 8 <= newest[0] <= found["step"]
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("world_size", [1, 2])
def test_gradients_that_are_no_numbers_stop_the_training_before_they_change_the_weights(
    code_root: Path, trainer: str, world_size: int
) -> None:
    """Given a loss that is a number and gradients that are none, then their own batch is blamed, and the run can go on."""
    more = ("--set", "steps=11")
    train(code_root, "a", *more)
    folder, whole = code_root / "checkpoints" / "a", steps(code_root, "a")
    path, good = folder / "step-00000008.pt", (folder / "step-00000008.pt").read_bytes()
    (folder / "step-00000011.pt").unlink()
    found = torch.load(path, weights_only=False)
    found["state"]["model"]["model.model.norm.weight"] *= 1e25  # squares of such gradients are beyond float32
    torch.save(found, path)
    bad = path.read_bytes()
    ranks = start_ranks(words(code_root, "a", *more, "--resume", "--trust", record.digest(path)), world_size)
    assert [rank.poll(timeout=100) for rank in ranks] == [2] * world_size, [rank.output() for rank in ranks]
    for rank in ranks:
        assert "the norm of the gradients of step 8 is inf. The rows of batch 8 of run a" in rank.output()
        assert "Traceback" not in rank.output()
    written = json.loads((folder / "diverged-step-00000008.json").read_text())
    traced = [msgspec.to_builtins(row) for row in Trace(code_root, "a").batch(8)]
    assert [{**row, "loss": None} for row in written["rows"]] == [{**row, "loss": None} for row in traced]
    assert all(isinstance(row["loss"], float) for row in written["rows"])
    assert steps(code_root, "a") == whole[:8]
    assert files.latest(folder) == (8, path)
    assert path.read_bytes() == bad

    path.write_bytes(good)
    train(code_root, "a", *more, "--resume")
    assert steps(code_root, "a") == whole


def test_a_resumed_training_takes_the_optimizers_settings_from_the_recipe(code_root: Path) -> None:
    """Given other betas, epsilon and weight decay than before, then both trainers go on with them, and keep them."""
    other = [f"optimizer.{key}" for key in ("beta1=0.5", "beta2=0.6", "epsilon=1e-3", "weight_decay=0.5")]
    more = [word for setting in other for word in ("--set", setting)]
    for run in ("composer", "torch"):
        train(code_root, run, "--trainer", run, "--set", "steps=4")
        train(code_root, run, "--trainer", run, "--set", "steps=8", *more, "--resume", "--extend")
    train(code_root, "same", "--trainer", "torch", "--set", "steps=4")
    train(code_root, "same", "--trainer", "torch", "--set", "steps=8", "--resume", "--extend")
    assert steps(code_root, "torch") == steps(code_root, "composer")
    assert steps(code_root, "torch")[:5] == steps(code_root, "same")[:5]
    assert steps(code_root, "torch")[5:] != steps(code_root, "same")[5:]
    saved = torch.load(code_root / "checkpoints" / "torch" / "step-00000008.pt", weights_only=False)["optimizer"]
    (group,) = saved["param_groups"]
    found = (group["betas"], group["eps"], group["weight_decay"])
    assert found == ((0.5, 0.6), 1e-3, 0.5)


def test_a_checkpoint_of_another_format_is_refused_by_name(code_root: Path) -> None:
    train(code_root, "a", "--trainer", "torch", "--set", "steps=4")
    path = code_root / "checkpoints" / "a" / "step-00000004.pt"
    torch.save({**torch.load(path, weights_only=False), "format": "torch-state/9"}, path)
    more = ["--set", "steps=6", "--resume", "--extend", "--trust", record.digest(path)]
    refused = Training(asked(code_root, "a", "torch", *more))
    assert refused.poll(timeout=100) == 2, refused.output()
    assert f"{path} has the format torch-state/9, but this version of phasemix reads" in refused.output().splitlines()[-1]


@pytest.mark.parametrize(
    ("trainer", "lost"),
    [("torch", "optimizer"), ("torch", "state.dataset_state"), ("composer", "state.optimizers"), ("composer", "rng")],
)
def test_a_checkpoint_that_lacks_a_part_is_refused_by_name(code_root: Path, trainer: str, lost: str) -> None:
    """Also one that a person vouches for: without its optimizer Composer would go on with a new one."""
    train(code_root, "a", "--trainer", trainer, "--set", "steps=4")
    path = code_root / "checkpoints" / "a" / "step-00000004.pt"
    held = torch.load(path, weights_only=False)
    *above, last = lost.split(".")
    del (held[above[0]] if above else held)[last]
    torch.save(held, path)
    more = ["--set", "steps=6", "--resume", "--extend", "--trust", record.digest(path)]
    refused = Training(asked(code_root, "a", trainer, *more))
    assert refused.poll(timeout=100) == 2, refused.output()
    assert f"{path} lacks {lost}" in refused.output().splitlines()[-1]


@pytest.mark.usefixtures("trainer")
def test_a_second_training_of_a_run_is_refused_while_the_first_is_there(code_root: Path) -> None:
    folder, more = code_root / "checkpoints" / "a", ("--set", "steps=60")
    first = Training(words(code_root, "a", *more))
    while first.poll() is None and len(read_steps(folder / "steps.jsonl")) < 6:
        time.sleep(0.005)
    os.kill(first.pid, signal.SIGSTOP)
    second = Training(words(code_root, "a", *more, "--resume"))
    assert second.poll(timeout=100) == 2, second.output()
    assert f"another training writes to {folder}; let it end" in second.output().splitlines()[-1]
    os.kill(first.pid, signal.SIGKILL)
    first.poll(timeout=60)
    assert len(steps(code_root, "a")) >= 6
    assert "to step 60" in train(code_root, "a", *more, "--resume")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.usefixtures("trainer")
def test_a_gpu_that_is_not_there_is_one_line(code_root: Path) -> None:
    refused = Training(words(code_root, "a", "--set", "steps=2", "--set", "numerics.device=gpu"))
    assert refused.poll(timeout=100) == 2, refused.output()
    assert 'numerics.device is "gpu", but PyTorch finds no GPU' in refused.output().splitlines()[-1]
    assert "Traceback" not in refused.output()


@pytest.mark.usefixtures("trainer")
def test_weights_that_are_no_numbers_are_never_saved(code_root: Path) -> None:
    """Given 0 divided by 0 for tokens that do not occur, then the loss is a number still, but the weights are not saved."""
    more = ["--set", "optimizer.epsilon=0", "--set", "model.tied_embeddings=false", "--set", "checkpoints.every_steps=1"]
    training = Training(words(code_root, "a", *more, "--set", "steps=20"))
    assert training.poll(timeout=100) == 2, training.output()
    assert "after step 0 there are weights that are not numbers (" in training.output().splitlines()[-1]
    assert files.latest(code_root / "checkpoints" / "a") is None


@pytest.mark.parametrize("sharded", ["true", "false"])
def test_two_ranks_are_killed_and_resumed_by_two_and_by_one(code_root: Path, sharded: str) -> None:
    """Given whole or divided weights, then two ranks go on to the bit, and one with the same batches and close losses."""
    more = (*STILL, "--set", "steps=40", "--set", f"numerics.sharded={sharded}")
    chance = random.Random()
    whole, killed = (start_ranks(asked(code_root, run, "torch", *more), 2) for run in ("whole", "killed"))
    while killed[0].poll() is None and len(steps(code_root, "killed")) < 10 + chance.randrange(15):
        time.sleep(0.005)
    for rank in killed:
        os.kill(rank.pid, signal.SIGKILL)
        assert rank.poll(timeout=60) == -signal.SIGKILL, rank.output()
    finish(whole)
    train(code_root, "alone", *more, "--trainer", "torch")
    finish(start_ranks(asked(code_root, "killed", "torch", *more, "--resume"), 2))
    assert steps(code_root, "killed") == steps(code_root, "whole")
    assert result(code_root, "killed")["heldout"] == result(code_root, "whole")["heldout"]
    same_batches(steps(code_root, "whole"), steps(code_root, "alone"))

    folder = code_root / "checkpoints" / "killed"
    (folder / "step-00000040.pt").unlink()
    train(code_root, "killed", *more, "--trainer", "torch", "--resume")
    same_batches(steps(code_root, "killed"), steps(code_root, "alone"))
    assert result(code_root, "killed")["heldout_bits_per_byte"] == pytest.approx(
        result(code_root, "alone")["heldout_bits_per_byte"], rel=1e-4
    )


def test_two_ranks_divide_a_model_in_bf16_and_one_or_two_go_on(code_root: Path) -> None:
    """Given activations that are computed again too, then losses are near those of float32, resumed or not."""
    more = (*STILL, "--set", "steps=11", "--set", "heldout.every_steps=3")
    bf16 = (*more, "--set", "numerics.precision=amp_bf16", "--set", "numerics.activation_checkpointing=true")
    divided = (*bf16, "--set", "numerics.sharded=true")
    finish(start_ranks(asked(code_root, "a", "torch", *divided), 2))
    first, figures = steps(code_root, "a"), result(code_root, "a")["heldout"]
    train(code_root, "exact", *more, "--trainer", "torch")
    assert [line.loss for line in first] == pytest.approx([line.loss for line in steps(code_root, "exact")], abs=1e-3)
    assert figures["all"]["loss"] == pytest.approx(result(code_root, "exact")["heldout"]["all"]["loss"], abs=1e-3)
    assert figures["all"]["loss"] != result(code_root, "exact")["heldout"]["all"]["loss"]

    path = code_root / "checkpoints" / "a" / "step-00000011.pt"
    path.unlink()
    finish(start_ranks(asked(code_root, "a", "torch", *divided, "--resume"), 2))
    assert (steps(code_root, "a"), result(code_root, "a")["heldout"]) == (first, figures)
    path.unlink()
    train(code_root, "a", *bf16, "--trainer", "torch", "--resume")
    assert [line.origin for line in steps(code_root, "a")] == [line.origin for line in first]
    assert [line.loss for line in steps(code_root, "a")] == pytest.approx([line.loss for line in first], abs=1e-3)


def test_composer_says_in_one_line_that_it_computes_in_bf16_on_gpus_alone(code_root: Path) -> None:
    bf16 = ["--set", "steps=2", "--set", "numerics.device=cpu", "--set", "numerics.precision=amp_bf16"]
    refused = Training(asked(code_root, "a", "composer", *bf16))
    assert refused.poll(timeout=100) == 2, refused.output()
    assert "numerics.precision is amp_bf16, but on the CPU Composer computes in fp32" in refused.output().splitlines()[-1]
    assert "Traceback" not in refused.output()


def finish(ranks: list[Training]) -> None:
    assert [rank.poll(timeout=100) for rank in ranks] == [0] * len(ranks), [rank.output() for rank in ranks]


def same_batches(found: list[StepLine], wanted: list[StepLine]) -> None:
    assert [line.origin for line in found] == [line.origin for line in wanted]
    assert [line.loss for line in found] == pytest.approx([line.loss for line in wanted], rel=1e-4)
