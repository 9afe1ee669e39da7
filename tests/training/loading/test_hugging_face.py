"""Hugging Face's own Trainer trains on a run's exact batches, and resumes with the one that comes next."""

import itertools
import json
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from train_process import Forked, forks, worlds
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from mixer import Mixtures, RunReader, Runs
from training import MixedLoader, TrainerPosition
from training.errors import PositionError

PROGRAM = Path(__file__).with_name("hugging_face_process.py")
MIXTURE = """
name = "code"
seq_len = 8

[[component]]
streams = "raw/*"
share = 1.0
max_passes = 8
"""


@pytest.fixture
def run(fill: Callable[..., Any], root: Path) -> Path:
    fill("raw/python", 300)
    fill("raw/go", 200)
    Runs(root).create("a", mixture=Mixtures(root).apply(MIXTURE), seed=3, global_batch=4, segment_batches=4)
    return root


class Recording(Trainer):  # type: ignore[misc]
    """A Trainer on a run's loader that keeps the ids of every batch it trains on."""

    def __init__(self, root: Path, folder: Path, *, steps: int, workers: int = 0, accumulate: int = 1, save_steps: int = 3):
        self.loader = MixedLoader(root, "a", num_workers=workers, with_stream=False)
        self.trained: list[np.ndarray[Any, Any]] = []
        torch.manual_seed(7)
        config = LlamaConfig(
            hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1,
            vocab_size=60000, max_position_embeddings=8, pad_token_id=None, bos_token_id=None, eos_token_id=None,
        )  # fmt: skip
        arguments = TrainingArguments(
            output_dir=str(folder), max_steps=steps, save_steps=save_steps, gradient_accumulation_steps=accumulate,
            per_device_train_batch_size=1, report_to=[], use_cpu=True, disable_tqdm=True, logging_strategy="no",
        )  # fmt: skip
        super().__init__(LlamaForCausalLM(config), arguments, callbacks=[TrainerPosition()])

    def get_train_dataloader(self) -> MixedLoader:
        return self.loader

    def training_step(self, model: Any, inputs: Any, *rest: Any) -> Any:
        assert (inputs["labels"] == inputs["input_ids"]).all()
        self.trained.append(inputs["input_ids"].numpy().copy())
        return super().training_step(model, inputs, *rest)


def batches(root: Path, *steps: int) -> list[np.ndarray[Any, Any]]:
    with RunReader(root, "a") as reader:
        return [reader.read(step).tokens for step in steps]


@pytest.mark.parametrize(("workers", "accumulate"), [(0, 1), (2, 1), (0, 3)])
def test_a_trainer_resumes_with_the_batch_after_its_checkpoint(
    run: Path, tmp_path: Path, workers: int, accumulate: int
) -> None:
    """Given skipped batches, then both halves have the run's batches, and the weights are those of an unbroken training."""
    Runs(run).skip("a", 20, 2)
    whole = Recording(run, tmp_path / "whole", steps=8, accumulate=accumulate)
    whole.train()
    first = Recording(run, tmp_path / "halves", steps=8, workers=workers, accumulate=accumulate)
    first.train()
    second = Recording(run, tmp_path / "halves", steps=8, workers=2 - workers, accumulate=accumulate)
    second.train(resume_from_checkpoint=str(tmp_path / "halves" / "checkpoint-3"))
    expected = batches(run, *itertools.islice((n for n in range(40) if n not in {20, 21}), 8 * accumulate))
    np.testing.assert_array_equal(first.trained, expected)
    np.testing.assert_array_equal(second.trained, expected[3 * accumulate :])
    for name, weights in whole.model.state_dict().items():
        assert torch.equal(weights, second.model.state_dict()[name]), name


def test_a_checkpoint_without_a_position_is_refused(run: Path, tmp_path: Path) -> None:
    first = Recording(run, tmp_path / "out", steps=3)
    first.remove_callback(TrainerPosition)
    first.train()
    with pytest.raises(PositionError, match="step 3 holds no position"):
        Recording(run, tmp_path / "out", steps=6).train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-3"))


def test_a_prepared_loader_is_refused(run: Path, tmp_path: Path) -> None:
    trainer = Recording(run, tmp_path / "out", steps=3)
    trainer.get_train_dataloader = lambda: torch.utils.data.DataLoader([1, 2])
    with pytest.raises(PositionError, match="trains on a DataLoader"):
        trainer.train()


def test_a_training_ends_with_its_run(run: Path, tmp_path: Path) -> None:
    """Given a run of 5 steps and a Trainer that wants 8, then each of the 5 is trained once."""
    Runs(run).create("short", mixture="code", seed=3, global_batch=4, num_steps=5)
    trainer = Recording(run, tmp_path / "out", steps=8)
    trainer.loader = MixedLoader(run, "short", with_stream=False)
    trainer.train()
    np.testing.assert_array_equal(trainer.trained, batches(run, *range(5)))
    assert trainer.loader.ended is not None


def test_two_ranks_that_are_killed_are_resumed_by_two_and_by_one(run: Path, tmp_path: Path) -> None:
    """Given kill -9 at a random step, then two ranks go on to the bit, and one with the same batches."""
    die_at = random.Random().randrange(4, 9)

    def train(name: str, folder: str, world_size: int, *, ends: int = 0, die_at: int = -1) -> None:
        asked = [str(word) for word in (run, "a", 9, tmp_path / folder, tmp_path / name, die_at)]
        server = forks("transformers.trainer", "transformers.models.llama.modeling_llama", "training.loading.hugging_face")
        ranks = [Forked(server, PROGRAM, asked, tmp_path, **world) for world in worlds(world_size)]
        assert [rank.poll(timeout=300) for rank in ranks] == [ends] * world_size, [rank.output() for rank in ranks]

    train("whole", "whole", 2)
    train("killed", "halves", 2, ends=-signal.SIGKILL, die_at=die_at)
    shutil.copytree(tmp_path / "halves", tmp_path / "copy")
    train("two", "halves", 2)
    train("one", "copy", 1)
    saved = (die_at - 1) // 3 * 3 if die_at % 3 else die_at
    whole = [lines(tmp_path / f"whole.{rank}") for rank in range(2)]
    for rank in range(2):
        assert lines(tmp_path / f"killed.{rank}") == whole[rank][:die_at]
        assert lines(tmp_path / f"two.{rank}") == whole[rank][saved:]
    both = [left["ids"] + right["ids"] for left, right in zip(*whole, strict=True)]
    assert both == [batch.tolist() for batch in batches(run, *range(9))]
    assert [line["ids"] for line in lines(tmp_path / "one.0")] == both[saved:]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
