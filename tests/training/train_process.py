"""A small training as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SMALL = [
    "--set", "batch.seq_len=32", "--set", "batch.global_batch=8", "--set", "batch.microbatch=4",
    "--set", "model.vocab_size=512", "--set", "model.hidden_size=32", "--set", "model.num_layers=2",
    "--set", "model.intermediate_size=64", "--set", "model.dropout=0.1", "--set", "checkpoints.every_steps=4",
]  # fmt: skip


def train_argv(root: Path, run: str, *more: str) -> list[str]:
    argv = ["-m", "training", "general", "--mixture", "code", "--run", run, "--root", str(root), *SMALL, *more]
    return [sys.executable, *argv]


def start_training(argv: list[str]) -> "subprocess.Popen[str]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        argv, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process: "subprocess.Popen[str]") -> str:
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    return output
