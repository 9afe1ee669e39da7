"""A model that is divided among ranks, and activations that are computed again, are the same training."""

import json
from pathlib import Path

import pytest
import torch
from train_process import Training, finish, launch, train, words
from transformers import AutoModelForCausalLM

from training.checkpoints.export import export_checkpoint
from training.measures.steps_log import read_steps

TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
PLAIN = ("--set", "model.dropout=0.0")
FSDP = (*PLAIN, "--set", "numerics.sharded=true", "--set", "numerics.activation_checkpointing=true")


def losses(root: Path, run: str) -> list[float]:
    return [line.loss for line in read_steps(root / "checkpoints" / run / "steps.jsonl")]


def heldout(root: Path, run: str) -> float:
    found: float = json.loads((root / "checkpoints" / run / "result.json").read_text())["heldout_bits_per_byte"]
    return found


def test_two_ranks_that_divide_the_model_train_it_as_one_process_does(code_root, tmp_path):
    """Given FSDP over two ranks, killed behind a checkpoint and resumed, then losses, figures and weights are the same."""
    launch(TORCHRUN, *words(code_root, "divided", *FSDP, "--set", "steps=8"))
    (code_root / "checkpoints" / "divided" / "step-00000008.pt").unlink()
    launch(TORCHRUN, *words(code_root, "divided", *FSDP, "--set", "steps=8", "--resume"))
    train(code_root, "alone", *PLAIN, "--set", "steps=8")
    assert losses(code_root, "divided") == pytest.approx(losses(code_root, "alone"), abs=1e-5)
    assert heldout(code_root, "divided") == pytest.approx(heldout(code_root, "alone"), abs=1e-5)
    models = []
    for run in ("divided", "alone"):
        export_checkpoint(str(code_root), code_root / "checkpoints" / run, tmp_path / run)
        models.append(AutoModelForCausalLM.from_pretrained(tmp_path / run))
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_a_checkpoint_of_a_divided_model_goes_on_in_one_process(code_root):
    launch(TORCHRUN, *words(code_root, "a", *FSDP, "--set", "steps=8"))
    (code_root / "checkpoints" / "a" / "step-00000008.pt").unlink()
    before = losses(code_root, "a")
    finish(Training(words(code_root, "a", *PLAIN, "--set", "steps=8", "--resume")))
    assert losses(code_root, "a") == pytest.approx(before, abs=1e-5)


def test_computing_activations_again_changes_no_bit(code_root):
    """With dropout, whose random numbers are drawn again as they were."""
    for run, more in (("kept", ()), ("again", ("--set", "numerics.activation_checkpointing=true"))):
        train(code_root, run, *more, "--set", "steps=4")
    assert losses(code_root, "again") == losses(code_root, "kept")
