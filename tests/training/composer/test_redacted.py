"""A training over two ranks while documents of its streams are redacted."""

import itertools
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from train_process import REPOSITORY, environment, train, words

from deploy.command_line import main
from mixer import RunReader, Runs, Trace
from streamer import Catalog
from training import MixedLoader
from training.measures.steps_log import read_steps
from training.model.llama import mean_losses, token_losses

STEPS, SEQ_LEN, HALF = 80, 32, 16


@pytest.fixture
def root(code_root: Path) -> Path:
    """`code_root` with other streams of the same shape: a sample holds two documents, of ten repositories in turn."""
    tokenizer = Catalog(code_root).stream("raw/go").tokenizer
    shutil.rmtree(code_root / "streams")
    shutil.rmtree(code_root / "names" / "streams")
    catalog, draw = Catalog(code_root), np.random.default_rng(2)
    for key in ("python", "go"):
        spans = [
            {
                "sample": number // 2,
                "start": number % 2 * HALF,
                "end": number % 2 * HALF + HALF,
                "document": f"{key}-{number}",
                "repository": f"r{number % 10}",
                "path": f"{number}.py",
                "language": key,
                "license": "MIT",
            }
            for number in range(200)
        ]
        rows = draw.integers(0, 300, (100, SEQ_LEN)).astype(np.uint16)
        catalog.append(f"raw/{key}", rows, seq_len=SEQ_LEN, tokenizer=tokenizer, documents=spans)
    return code_root


def test_batches_before_stay_and_later_ones_are_without_the_text(root: Path) -> None:
    """Given a redaction while two ranks train, then order and earlier losses are those of a training without one."""
    Runs(root).create("ranks", mixture="code", seed=17, global_batch=8, segment_batches=2, write_ahead=4)
    asked = words(root, "ranks", "--set", f"steps={STEPS}", "--set", "model.dropout=0")
    whole = shutil.copytree(root, root.parent / "whole")
    torchrun = [sys.executable, "-P", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    ranks = subprocess.Popen(
        [*torchrun, "training", *asked], cwd=REPOSITORY, env=environment(), stderr=subprocess.PIPE, text=True
    )
    log = root / "checkpoints" / "ranks" / "steps.jsonl"
    while ranks.poll() is None and len(read_steps(log)) < 4:
        time.sleep(0.01)
    assert main(["streams", "redact", "--repository", "r3", "--root", str(root)]) == 0
    assert ranks.communicate()[1] is not None
    assert ranks.returncode == 0
    train(whole, "ranks", "--set", f"steps={STEPS}", "--set", "model.dropout=0")

    bodies = Catalog(root).log("runs/ranks/ledger").read()
    first, *_, last = [
        body["at_step"] for body in bodies if body["event"] == "redacted"
    ] * 2  # streams one by one, or at once
    assert 4 <= first <= last < STEPS
    found, wanted = read_steps(log), read_steps(whole / "checkpoints" / "ranks" / "steps.jsonl")
    assert [line.origin for line in found] == [line.origin for line in wanted]
    before, same = ([line.loss for line in lines[:first]] for lines in (found, wanted))
    assert before == pytest.approx(same, rel=1e-5)
    trace = Trace(root, "ranks")
    with RunReader(root, "ranks", read_only=True) as reader:
        for step in range(STEPS):
            there = [span.repository for row in trace.batch(step) for span in row.documents or []]
            assert len(there) == 16 or step >= first
            assert "r3" not in there or step < last
            redacted = reader.read(step).redacted
            assert (0 if redacted is None else int(redacted.sum())) == (16 - len(there)) * HALF


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_masks_labels_where_something_is_redacted(root: Path, workers: int) -> None:
    Runs(root).create("r", mixture="code", seed=1, global_batch=8)
    assert main(["streams", "redact", "--repository", "r3", "--root", str(root)]) == 0
    end = Catalog(root).load_tokenizer(Catalog(root).stream("raw/go").tokenizer).token_to_id("<|endoftext|>")
    with RunReader(root, "r") as reader:
        read = [reader.read(step) for step in range(10)]
    assert any(batch.redacted is not None for batch in read)
    for dtype in (torch.int64, None):
        for batch, whole in zip(
            itertools.islice(MixedLoader(root, "r", num_workers=workers, dtype=dtype), 10), read, strict=True
        ):
            assert batch.keys() == {"input_ids", "labels", "stream"}
            assert batch["input_ids"].numpy().tolist() == whole.tokens.tolist()
            mask = np.zeros(whole.tokens.shape, bool) if whole.redacted is None else whole.redacted
            labels = batch["labels"].numpy()
            assert (labels[mask] == -100).all()
            assert labels[~mask].tolist() == whole.tokens[~mask].tolist()
            assert set(whole.tokens[mask].tolist()) <= {end}


def test_losses_of_redacted_tokens_count_for_nothing() -> None:
    """What is predicted for a redacted token changes neither the loss nor its gradient."""
    torch.manual_seed(0)
    ids, redacted = torch.randint(0, 9, (3, 6)), torch.zeros(3, 6, dtype=torch.bool)
    redacted[0, 2:4], redacted[2] = True, True
    logits = torch.randn(3, 6, 9, requires_grad=True)
    mean, rows = mean_losses(token_losses(logits, ids), redacted)
    labels = ids.masked_fill(redacted, -100)[:, 1:]
    summed = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels.flatten(), reduction="sum").item()
    assert mean.item() == pytest.approx(summed / labels.numel())
    parts = [
        mean_losses(token_losses(logits[row : row + 1], ids[row : row + 1]), redacted[row : row + 1])[0] for row in range(3)
    ]
    assert mean.item() == pytest.approx(sum(parts).item() / 3)  # as other microbatches or ranks would have it
    mean.backward()
    assert logits.grad is not None
    assert not logits.grad[:, :-1][redacted[:, 1:]].any()
    assert rows[2] == 0
    assert rows[1].item() == pytest.approx(token_losses(logits, ids)[1].mean().item())
