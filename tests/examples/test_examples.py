"""Each example trains on a small real root, on the run's own batches, and those that say so resume exactly."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from train_process import Forked, forks

from mixer import Mixtures, Runs

EXAMPLES = Path(__file__).parents[2] / "examples"
IMPORTED = ("training", "transformers.trainer", "transformers.models.llama.modeling_llama")
MIXTURE = 'name = "code"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\nmax_passes = 4\n'


@pytest.fixture
def run(fill: Callable[..., Any], root: Path) -> Path:
    fill("raw/python", 300)
    fill("raw/go", 200)
    Runs(root).create("a", mixture=Mixtures(root).apply(MIXTURE), seed=3, global_batch=4)
    return root


def lines(name: str, root: Path, place: Path, *words: str) -> list[str]:
    place.mkdir(exist_ok=True)
    example = Forked(forks(*IMPORTED), EXAMPLES / name, [str(root), "a", *words], place)
    assert example.poll(timeout=200) == 0, example.output()
    return [line for line in example.output().splitlines() if line.startswith("step ")]


def steps(found: list[str]) -> list[int]:
    return [int(line.split()[1]) for line in found]


def test_the_plain_loop_resumes_exactly(run: Path, tmp_path: Path) -> None:
    """Given two calls with other numbers of workers, then their steps and losses are those of one call."""
    whole = lines("plain_pytorch.py", run, tmp_path / "whole", "--steps", "6")
    halves = lines("plain_pytorch.py", run, tmp_path / "halves", "--steps", "4")
    halves += lines("plain_pytorch.py", run, tmp_path / "halves", "--steps", "6", "--workers", "2")
    assert steps(whole) == [1, 2, 3, 4, 5, 6]
    assert halves == whole


def test_hugging_faces_trainer_resumes_exactly(run: Path, tmp_path: Path) -> None:
    whole = lines("hf_trainer.py", run, tmp_path / "whole", "--steps", "12")
    assert lines("hf_trainer.py", run, tmp_path / "halves", "--steps", "10") == whole[:10]
    assert lines("hf_trainer.py", run, tmp_path / "halves", "--steps", "12") == whole
    assert steps(whole) == [*range(1, 13)]


def test_the_lightning_style_loop_trains_as_the_plain_one(run: Path, tmp_path: Path) -> None:
    """Given the same seed, model and optimizer, then the losses are the same, since the batches are."""
    styled = lines("lightning_style.py", run, tmp_path / "styled", "--steps", "4")
    assert steps(styled) == [1, 2, 3, 4]
    assert styled == lines("plain_pytorch.py", run, tmp_path / "plain", "--steps", "4")
