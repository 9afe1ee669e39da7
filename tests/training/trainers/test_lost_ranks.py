"""One of two ranks is killed, in the middle of a step or of a save: the other ends with one line, and nothing is lost."""

import os
import signal
import time
from pathlib import Path

import pytest
from train_process import Training, start_ranks, words

from training.checkpoints import files, record
from training.measures.steps_log import StepLine, read_steps

MORE = ("--set", "steps=40", "--set", "model.dropout=0")


def steps(root: Path, run: str) -> list[StepLine]:
    return read_steps(root / "checkpoints" / run / "steps.jsonl")


def finish(ranks: list[Training]) -> None:
    assert [rank.poll(timeout=100) for rank in ranks] == [0] * len(ranks), [rank.output() for rank in ranks]


@pytest.mark.parametrize("lost", [0, 1])
def test_a_rank_that_is_killed_ends_the_other_with_one_line(code_root: Path, trainer: str, lost: int) -> None:
    whole = start_ranks(words(code_root, "whole", *MORE), 2)
    ranks = start_ranks(words(code_root, "a", *MORE), 2)
    while ranks[0].poll() is None and len(steps(code_root, "a")) < 10:
        time.sleep(0.005)
    os.kill(ranks[lost].pid, signal.SIGKILL)
    left = ranks[1 - lost]
    assert left.poll(timeout=100) == 2, left.output()
    said = left.output().splitlines()[-1]
    assert f"so rank {1 - lost} ends too" in said
    assert "Traceback" not in left.output()
    folder = code_root / "checkpoints" / "a"
    for step, path in files.saved(folder):
        assert record.read(folder)[step].sha256 == record.digest(path)
    finish(whole)
    finish(start_ranks(words(code_root, "a", *MORE, "--resume"), 2))
    assert steps(code_root, "a") == steps(code_root, "whole")
