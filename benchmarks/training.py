"""What a training's data and measuring cost beside its steps, for both trainers, and how soon the first step is taken.

The laptop's recipe (1.9 million parameters, 16 samples of 256 tokens a step) and a model of some 20 ms a step, on random
ids, a process for each trainer.
`wait_share`: the part of the time between first and last step in which the trainer waits for its loader; `watch_share`: in
which it gathers, counts and writes what belongs to a step (StepWatch). Checkpoints are left out of the time. `first_step_s`:
from the start of the process to the end of the first step, with the imports.

`array_ratio`: steps a second of one loop on MixedLoader, against the same loop on one array in memory; the two take turns in
being first, and the middle ratio of the rounds counts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Report, main
from mixer import Mixtures, Runs
from streamer import Catalog

SEQ_LEN, VOCABULARY, SAMPLES = 256, 8192, 4096
ROUNDS, ROUND_STEPS = 9, 4
SMALL = ("hidden_size=64", "intermediate_size=128", "num_layers=2", "num_heads=2", "num_kv_heads=2")
MODELS = {  # steps, and what differs from the laptop's recipe
    "laptop": (40, ()),
    "small": (500, (*(f"model.{key}" for key in SMALL), "batch.global_batch=1", "batch.microbatch=1")),
}
MIXTURE = f'name = "code"\nseq_len = {SEQ_LEN}\n[[component]]\nstreams = "raw/*"\nshare = 1\n'
TOLD = "measured: "


def measure() -> Report:
    with tempfile.TemporaryDirectory(prefix="phasemix-bench-") as folder:
        root = Path(folder) / "catalog"
        draw = np.random.default_rng(1)
        for name in ("raw/python", "raw/go", "raw/rust"):
            ids = draw.integers(0, VOCABULARY, (SAMPLES, SEQ_LEN)).astype(np.uint16)
            Catalog(root).append(name, ids, seq_len=SEQ_LEN)
        Mixtures(root).apply(MIXTURE)
        rows = [elsewhere("train", root, model, trainer) for model in MODELS for trainer in ("composer", "torch")]
        array = elsewhere("compare", root)
    first = {row["trainer"]: row["first_step_s"] for row in rows if row["model"] == "laptop"}
    figures = {
        "wait_share": max(row["wait_share"] for row in rows),
        "watch_share": max(row["watch_share"] for row in rows),
        "array_ratio": array["ratio"],
        "first_step_ratio": first["torch"] / first["composer"],
    }
    targets = {
        "wait_share": ("<", 0.01),
        "watch_share": ("<", 0.01),
        "array_ratio": (">=", 0.99),
        "first_step_ratio": ("<=", 0.5),
    }
    return Report("training", rows, figures, targets)


def elsewhere(what: str, root: Path, *names: str) -> dict[str, Any]:
    """What a process of its own measured; its start counts."""
    argv = [sys.executable, "-m", "benchmarks.training", what, str(root), str(time.monotonic()), *names]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith(TOLD))
    found: dict[str, Any] = json.loads(line.removeprefix(TOLD))
    return found


def train(root: Path, started: float, model: str, trainer: str) -> dict[str, Any]:
    """A training by `phasemix train`, its parts timed."""
    from training.commands.train import add_train, load_trainer, prepare
    from training.measures.watch import StepWatch

    run, (steps, settings) = f"{trainer}-{os.getpid()}", MODELS[model]
    words = ["general", "--mixture", "code", "--run", run, "--root", str(root), "--trainer", trainer]
    for setting in (f"steps={steps}", "heldout.streams=", f"checkpoints.every_steps={steps}", *settings):
        words += ["--set", setting]
    parser = argparse.ArgumentParser()
    add_train(parser)
    job = prepare(parser.parse_args(words))
    spent: dict[str, float] = defaultdict(float)
    ends: list[float] = []

    def timed(method: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            found = method(*arguments, **named)
            if ends:  # not before the first step
                spent[name] += time.perf_counter() - began
            if name == "end_step":
                ends.append(time.monotonic())
            return found

        return call

    begin_step = StepWatch.begin_step

    def begin(watch: StepWatch, *arguments: Any) -> None:
        if ends:
            spent["loader"] += watch._loader.waited_s
        begin_step(watch, *arguments)

    setattr(StepWatch, "begin_step", begin)  # noqa: B010
    for name in ("wait", "go_on", "begin_step", "take_losses", "check_gradients", "end_step", "evaluate_in_between"):
        setattr(StepWatch, name, timed(getattr(StepWatch, name), name))
    load_trainer(trainer)(job)
    whole = ends[-1] - ends[0]
    return {
        "model": model,
        "trainer": trainer,
        "first_step_s": ends[0] - started,
        "step_ms": whole / (len(ends) - 1) * 1000,
        "wait_share": spent.pop("loader") / whole,
        "watch_share": sum(spent.values()) / whole,
    }


def compare(root: Path) -> dict[str, Any]:
    """One loop on a MixedLoader and on an array, in turns."""
    import torch

    from training import MixedLoader
    from training.model.llama import build_model
    from training.phases.phase import load_recipe
    from training.phases.recipe_file import read_recipe

    recipe = load_recipe(read_recipe(None)[1], name="laptop", phase="general", overrides=[])
    model = build_model(recipe.model, seq_len=SEQ_LEN, seed=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    size = recipe.batch.global_batch
    Runs(root).create("compare", mixture="code", seed=1, global_batch=size)
    loaded = (batch["input_ids"] for batch in MixedLoader(root, "compare"))
    array = torch.randint(0, VOCABULARY, (SAMPLES, SEQ_LEN), generator=torch.Generator().manual_seed(1))
    held = (array[start : start + size] for _ in range(100) for start in range(0, SAMPLES, size))

    def seconds(batches: Iterator[torch.Tensor]) -> float:
        began = time.perf_counter()
        for _ in range(ROUND_STEPS):
            ids = next(batches)
            optimizer.zero_grad()
            model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
        return time.perf_counter() - began

    seconds(loaded), seconds(held)
    ratios = []
    for number in range(ROUNDS):
        if number % 2:
            by_loader, by_array = seconds(loaded), seconds(held)
        else:
            by_array, by_loader = seconds(held), seconds(loaded)
        ratios.append(by_array / by_loader)
    return {"ratio": statistics.median(ratios)}


if __name__ == "__main__":
    if sys.argv[1:] and not sys.argv[1].startswith("-"):
        what, root, started, *names = sys.argv[1:]
        found = train(Path(root), float(started), *names) if what == "train" else compare(Path(root))
        print(TOLD + json.dumps(found))
        sys.exit(0)
    sys.exit(main(measure, __doc__))
