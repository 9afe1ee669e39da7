"""Checkpoints of real trainings: extended, resumed, vouched for, and never run."""

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
import train_process
from train_process import Training, finish, launch, start_ranks, train, words

from mixer import Runs
from training.checkpoints import record
from training.checkpoints.weights import check_weights, safely
from training.errors import CheckpointError
from training.measures.steps_log import read_steps


class Evil:
    """Runs a command where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.fixture(scope="module")
def templates(code_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A root with a training of 8 steps by a trainer, which is trained once."""

    @functools.cache
    def make(trainer: str) -> Path:
        root = shutil.copytree(code_template, tmp_path_factory.mktemp(trainer) / "catalog")
        train(root, "a", "--set", "steps=8")
        return root

    return make


@pytest.fixture
def trained(templates: Callable[[str], Path], code_root: Path, request: pytest.FixtureRequest) -> Path:
    """The folder of a training of 8 steps in the root."""
    if "trainer" in request.fixturenames:
        request.getfixturevalue("trainer")
    shutil.copytree(templates(train_process.TRAINER), code_root, dirs_exist_ok=True)
    return code_root / "checkpoints" / "a"


def refusal(root: Path, run: str, *more: str) -> str:
    training = Training(words(root, run, "--set", "steps=8", *more))
    assert training.poll(timeout=300) == 2, training.output()
    return training.output().splitlines()[-1]


@pytest.mark.usefixtures("trainer")
def test_a_training_is_extended_on_request_and_goes_on_behind_its_last_step(code_root, trained):
    """Given 8 steps, then 16: steps 8 to 15 are the run's next batches, at the rates of the longer schedule."""
    first = read_steps(trained / "steps.jsonl")
    assert "add --extend to train on to 16" in refusal(code_root, "a", "--resume", "--set", "steps=16")
    said = train(code_root, "a", "--set", "steps=16", "--resume", "--extend")
    assert "the learning rate goes on at 0.00" in said
    assert "at step 8: the schedule or its number of steps is another one than then" in said
    train(code_root, "whole", "--set", "steps=16")
    longer, whole = read_steps(trained / "steps.jsonl"), read_steps(code_root / "checkpoints" / "whole" / "steps.jsonl")
    assert longer[:8] == first
    assert [line.origin for line in longer] == [line.origin for line in whole]
    assert [line.learning_rate for line in longer[8:]] == [line.learning_rate for line in whole[8:]]
    assert Runs(code_root).show("a").num_steps == 16
    output = train(code_root, "a", "--set", "steps=16", "--resume")
    assert "already trained to step 16" in output


@pytest.mark.usefixtures("trainer")
@pytest.mark.parametrize("world_size", [1, 2])
def test_a_full_disk_is_one_line_and_what_is_whole_stays(code_root: Path, small_disk: Path, world_size: int) -> None:
    """Given room for one checkpoint, then the second is refused on all ranks, and more room goes on from the first."""
    asked = words(code_root, "a", "--set", "steps=20", "--save-folder", str(small_disk / "a"))
    ranks = start_ranks(asked, world_size)
    for rank in ranks:
        assert rank.poll(timeout=200) == 2, rank.output()
        assert "Traceback" not in rank.output()
        assert "a has no room for what training writes; free space" in rank.output().splitlines()[-1]
    assert [path.name for path in (small_disk / "a").glob("*.pt")] == ["step-00000004.pt"]
    assert not list((small_disk / "a").glob(".*"))
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    assert "training from step 4" in finish(Training([*asked, "--resume"]))


@pytest.mark.usefixtures("trainer")
def test_a_loss_belongs_to_the_model_that_it_stands_beside(code_root, trained):
    """Given lines of steps that the last whole checkpoint does not have, then the result has the loss of its own step."""
    lines = read_steps(trained / "steps.jsonl")
    (trained / "step-00000008.pt").unlink()
    train(code_root, "a", "--set", "steps=4", "--resume")
    result = msgspec.json.decode((trained / "result.json").read_bytes())
    assert (result["steps"], result["final_loss"]) == (4, lines[3].loss)
    assert lines[3].loss != lines[-1].loss


@pytest.mark.usefixtures("trainer")
@pytest.mark.parametrize("how", ["--resume", "--from"])
def test_a_checkpoint_that_a_person_vouches_for_still_runs_nothing(code_root, tmp_path, trained, how):
    """Given code in place of weights: unnamed, in another's name, and vouched for, then none of it runs."""
    path, mark = trained / "step-00000008.pt", tmp_path / "ran"
    run, more = ("a", ["--resume"]) if how == "--resume" else ("b", ["--from", "a"])
    (trained / "step-00000004.pt").unlink()
    torch.save({"state": {"model": Evil(mark)}}, path)
    assert "damaged" in refusal(code_root, run, *more)
    assert "more than tensors" in refusal(code_root, run, *more, "--trust", record.digest(path))
    (trained / record.NAME).unlink()
    assert "this run did not write it" in refusal(code_root, run, *more)
    assert not mark.exists()


def test_a_checkpoint_without_a_record_of_another_model_is_one_line(code_root, trained):
    (trained / record.NAME).unlink()
    digest = record.digest(trained / "step-00000008.pt")
    more = ["--resume", "--trust", digest, "--set", "model.hidden_size=64"]
    assert re.search(r"step-00000008.pt is of another model than the recipe's: model\.", refusal(code_root, "a", *more))


def test_whoever_loads_within_loads_safely(tmp_path):
    """Given Composer's own call, which asks for everything, and a variable that asks for it too."""
    mark = tmp_path / "ran"
    torch.save({"state": {"model": Evil(mark)}}, tmp_path / "evil.pt")
    torch.save({"state": {"model": {"weight": torch.zeros(3, 2)}}}, tmp_path / "good.pt")
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        with safely(), pytest.raises(Exception, match="Weights only load failed"):
            torch.load(tmp_path / "evil.pt", weights_only=False)
        assert os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] == "1"
        assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
    finally:
        del os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"]
    model = torch.nn.Linear(2, 3, bias=False)
    check_weights(tmp_path / "good.pt", model)
    with pytest.raises(CheckpointError, match="more than tensors"):
        check_weights(tmp_path / "evil.pt", model)
    with pytest.raises(CheckpointError, match=r"weight has shape \(3, 2\), in the recipe \(4, 2\)"):
        check_weights(tmp_path / "good.pt", torch.nn.Linear(2, 4, bias=False))
    (tmp_path / "good.pt").write_bytes((tmp_path / "good.pt").read_bytes()[:200])
    with pytest.raises(CheckpointError, match=r"good\.pt cannot be read as a checkpoint"):
        check_weights(tmp_path / "good.pt", model)
    assert not mark.exists()


def test_torchrun_trains_two_ranks_as_its_documentation_says(code_root):
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    launch(torchrun, *words(code_root, "ranks", "--set", "steps=4"))
    train(code_root, "alone", "--set", "steps=4")
    ranks, alone = (read_steps(code_root / "checkpoints" / run / "steps.jsonl") for run in ("ranks", "alone"))
    assert [line.origin for line in ranks] == [line.origin for line in alone]
