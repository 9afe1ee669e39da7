"""Held-out losses during a training: its own steps stay the same to the bit, and the lines outlive a kill once each."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from train_process import start_ranks, train, words

from streamer import Catalog
from training.checkpoints import files
from training.measures.heldout_losses import HeldoutLosses, Stopped
from training.measures.steps_log import StepLine, read_steps
from training.phases.job import Job
from training.phases.phase import Heldout, load_recipe
from training.phases.recipe_file import read_recipe

EVERY = ("--set", "heldout.every_steps=2", "--set", "heldout.max_samples=10")


def steps(root: Path, run: str) -> list[StepLine]:
    return read_steps(root / "checkpoints" / run / "steps.jsonl")


def lines(root: Path, run: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "checkpoints" / run / "heldout.jsonl").read_text().splitlines()]


def result(root: Path, run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "checkpoints" / run / "result.json").read_text())
    return found


@pytest.mark.usefixtures("trainer")
def test_evaluating_in_between_changes_no_bit_and_is_written_once_a_step(code_root: Path) -> None:
    """Given dropout, and a checkpoint that is gone, then losses are those without, and lines those of one training."""
    more = ("--set", "steps=11", "--set", "heldout.max_samples=10")
    train(code_root, "without", *more)
    said = train(code_root, "with", *more, *EVERY)
    assert steps(code_root, "with") == steps(code_root, "without")
    assert result(code_root, "with")["heldout"] == result(code_root, "without")["heldout"]
    assert not (code_root / "checkpoints" / "without" / "heldout.jsonl").exists()

    first = lines(code_root, "with")
    assert [line["step"] for line in first] == [2, 4, 6, 8, 10, 11]
    assert first[-1]["streams"] == result(code_root, "with")["heldout"]
    assert first[-1]["streams"]["all"]["tokens"] == 10 * 31
    assert first[-1]["streams"]["all"]["loss"] < first[0]["streams"]["all"]["loss"]
    assert f"step 2/11  held-out loss {first[0]['streams']['all']['loss']:.4f}" in said

    (code_root / "checkpoints" / "with" / "step-00000011.pt").unlink()
    train(code_root, "with", *more, *EVERY, "--resume")
    assert lines(code_root, "with") == first
    assert steps(code_root, "with") == steps(code_root, "without")
    train(code_root, "with", *more, *EVERY, "--resume")
    assert lines(code_root, "with") == first


@pytest.mark.usefixtures("trainer")
@pytest.mark.parametrize("sharded", ["true", "false"])
def test_two_ranks_evaluate_in_between_as_one_does(code_root: Path, sharded: str) -> None:
    """Given whole or divided weights and a batch more for one rank than for the other, then nothing of the steps changes."""
    more = ("--set", "steps=5", "--set", "heldout.max_samples=10", "--set", f"numerics.sharded={sharded}")
    for run, asked in (("with", EVERY), ("without", ())):
        ranks = start_ranks(words(code_root, run, *more, *asked), 2)
        assert [rank.poll(timeout=200) for rank in ranks] == [0, 0], [rank.output() for rank in ranks]
    train(code_root, "alone", *more, *EVERY, "--set", "model.dropout=0", "--set", "numerics.sharded=false")
    assert steps(code_root, "with") == steps(code_root, "without")
    assert result(code_root, "with")["heldout"] == result(code_root, "without")["heldout"]
    two, one = lines(code_root, "with"), lines(code_root, "alone")
    assert [line["step"] for line in two] == [line["step"] for line in one] == [2, 4, 5]
    for left, right in zip(two, one, strict=True):  # dropout is what differs
        assert left["streams"]["all"]["tokens"] == right["streams"]["all"]["tokens"] == 10 * 31
        assert left["streams"]["all"]["loss"] == pytest.approx(right["streams"]["all"]["loss"], rel=0.01)


@pytest.mark.usefixtures("trainer")
def test_a_fork_begins_with_its_parents_lines(code_root: Path) -> None:
    from mixer import Runs

    more = ("--set", "steps=8", *EVERY)
    train(code_root, "parent", *more)
    Runs(code_root).fork("parent", "fork", at_step=5)
    train(code_root, "fork", *more, "--resume")
    assert lines(code_root, "fork") == lines(code_root, "parent")


def grow(root: Path, *, samples: int) -> None:
    catalog = Catalog(root)
    rows = np.arange(samples * 32, dtype=np.uint16).reshape(-1, 32) % 256
    catalog.append("heldout/python", rows, seq_len=32, tokenizer=catalog.stream("heldout/python").tokenizer)


def test_what_is_evaluated_is_chosen_once(code_root: Path) -> None:
    """Given a held-out stream that grows during a training, then later figures are of the same samples as the first."""
    recipe = load_recipe(read_recipe("laptop")[1], name="laptop", phase="general", overrides=[])
    job = Job(
        root=str(code_root), run="a", phase="general", mixture="code", num_steps=9, save_folder=str(code_root),
        recipe=msgspec.structs.replace(recipe, heldout=Heldout(max_samples=10)),
        tokenizer=Catalog(code_root).stream("raw/python").tokenizer,
    )  # fmt: skip
    model, heldout = torch.nn.Linear(1, 1), HeldoutLosses(job)
    assert heldout.choose() is None
    grow(code_root, samples=7)
    found, _ = heldout.evaluate(model, lambda ids: torch.zeros(*ids.shape, 512))
    assert found["all"].tokens == 10 * 31
    later, _ = HeldoutLosses(job).evaluate(model, lambda ids: torch.zeros(*ids.shape, 512))
    assert later["all"].text_bytes != found["all"].text_bytes
    with pytest.raises(Stopped):
        heldout.evaluate(model, lambda ids: torch.zeros(*ids.shape, 512), is_stopped=lambda: True)
    assert model.training


@pytest.mark.usefixtures("trainer")
def test_a_signal_to_one_rank_ends_an_evaluation_and_its_step_is_saved(code_root: Path) -> None:
    """Given an evaluation of many batches, then none is waited for, and the resumed training begins with that evaluation."""
    grow(code_root, samples=30_000)
    more = ("--set", "steps=5", "--set", "checkpoints.every_steps=1000", "--set", "heldout.every_steps=2")
    ranks = start_ranks(
        words(code_root, "a", *more, "--set", "heldout.max_samples=30000", "--set", "heldout.batch_samples=1"), 2
    )
    folder = code_root / "checkpoints" / "a"
    while ranks[0].poll() is None and not ((folder / "steps.jsonl").exists() and len(steps(code_root, "a")) == 2):
        time.sleep(0.01)
    time.sleep(0.5)  # behind the step that was logged, so that the signal comes in the middle
    os.kill(ranks[1].pid, signal.SIGTERM)
    assert [rank.poll(timeout=200) for rank in ranks] == [130, 130], [rank.output() for rank in ranks]
    newest = files.latest(folder)
    assert newest is not None
    assert newest[0] == len(steps(code_root, "a")) == 2
    assert not (folder / "heldout.jsonl").exists()
    train(code_root, "a", *more, "--set", "heldout.max_samples=10", "--resume")
    assert [line["step"] for line in lines(code_root, "a")] == [2, 4, 5]
