"""Control-C or SIGTERM during a training: its step is saved, the way on is said, and nothing is lost or done twice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from train_process import REPOSITORY, Forked, Training, environment, finish, start_ranks, trainers, words

from mixer.ledger.reports import Reports
from streamer import Catalog
from training.checkpoints import files
from training.measures.steps_log import StepLine, read_steps

SAVED_ONLY_AT_THE_END = ("--set", "checkpoints.every_steps=1000", "--set", "reports.every_steps=7")
STEPS = 60


def steps(root: Path, run: str) -> list[StepLine]:
    path = root / "checkpoints" / run / "steps.jsonl"
    return read_steps(path) if path.exists() else []


def wait_for_step(root: Path, run: str, step: int, poll: Callable[[], int | None]) -> None:
    while poll() is None and len(steps(root, run)) <= step:
        time.sleep(0.01)


def check_saved(root: Path, run: str) -> int:
    """The checkpoint is that of the last step that was logged, and nothing says that the training is done."""
    folder = root / "checkpoints" / run
    newest = files.latest(folder)
    assert newest is not None
    assert newest[0] == len(steps(root, run)) < STEPS
    assert not (folder / "result.json").exists()
    assert not list(folder.glob(".*"))
    return newest[0]


@pytest.mark.usefixtures("trainer")
def test_an_interrupted_training_is_saved_and_goes_on_bit_for_bit(code_root: Path) -> None:
    more = (*SAVED_ONLY_AT_THE_END, "--set", f"steps={STEPS}")
    whole = Training(words(code_root, "whole", *more))
    stopped = Training(words(code_root, "stopped", *more))
    wait_for_step(code_root, "stopped", 9, stopped.poll)
    os.kill(stopped.pid, signal.SIGINT)
    assert stopped.poll(timeout=100) == 130, stopped.output()
    step = check_saved(code_root, "stopped")
    assert "Control-C again stops at once" in stopped.output()
    assert f"kept up to step {step}" in stopped.output()
    assert "--resume" in stopped.output()
    assert "Traceback" not in stopped.output()
    finish(whole)
    finish(Training(words(code_root, "stopped", *more, "--resume")))
    assert steps(code_root, "stopped") == steps(code_root, "whole")
    reports = Reports(Catalog(code_root), "stopped").read()
    assert [report.start_step for report in reports] == [0, *(report.end_step for report in reports[:-1])]
    assert reports[-1].end_step == STEPS


def test_a_second_interrupt_stops_at_once() -> None:
    from training.processes.interrupts import Interrupt

    said: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    stop = Interrupt(said.append)
    try:
        stop.begin()
        signal.raise_signal(signal.SIGINT)
        assert len(said) == 1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        stop.end()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(said) == 1


def test_sigterm_may_come_twice_but_control_c_behind_it_stops_at_once() -> None:
    from training.processes.interrupts import SIGNALS, Interrupt

    said: list[str] = []
    before = {number: signal.getsignal(number) for number in SIGNALS}
    stop = Interrupt(said.append)
    try:
        stop.begin()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        stop.end()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert len(said) == 1


@pytest.mark.usefixtures("trainer")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_spares_the_loaders(code_root: Path, number: signal.Signals) -> None:
    more = (*SAVED_ONLY_AT_THE_END, "--set", f"steps={STEPS}", "--set", "batch.loader_workers=2")
    asked = ["train", *words(code_root, "terminal", *more)]
    process = Forked(trainers(asked), REPOSITORY / "phasemix.py", asked, code_root.parent)
    wait_for_step(code_root, "terminal", 5, process.poll)
    os.killpg(process.pid, number)
    assert process.poll(timeout=100) == 130, process.output()
    check_saved(code_root, "terminal")
    assert [line for line in process.output().splitlines() if "opening run terminal" in line]
    assert "Traceback" not in process.output()


@pytest.mark.usefixtures("trainer")
def test_ranks_stop_behind_the_same_step_when_one_is_interrupted(code_root: Path) -> None:
    more = (*SAVED_ONLY_AT_THE_END, "--set", f"steps={STEPS}")
    ranks = start_ranks(words(code_root, "ranks", *more), 2)
    wait_for_step(code_root, "ranks", 5, ranks[0].poll)
    os.kill(ranks[1].pid, signal.SIGINT)
    assert [rank.poll(timeout=100) for rank in ranks] == [130, 130], [rank.output() for rank in ranks]
    check_saved(code_root, "ranks")
    assert "--resume" in ranks[0].output()
    assert "--resume" not in ranks[1].output()


@pytest.mark.usefixtures("trainer")
def test_torchrun_that_is_asked_to_end_leaves_a_checkpoint(code_root: Path) -> None:
    more = (*SAVED_ONLY_AT_THE_END, "--set", f"steps={STEPS}")
    argv = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "--", "training"]
    process = subprocess.Popen(
        [*argv, *words(code_root, "elastic", *more)], cwd=REPOSITORY, env=environment(), stderr=subprocess.PIPE, text=True
    )
    wait_for_step(code_root, "elastic", 5, process.poll)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=200)
    step = check_saved(code_root, "elastic")
    assert f"kept up to step {step}" in said
    assert "--resume" in said


@pytest.mark.parametrize("step", [None, 1200])
def test_what_is_kept_is_said_with_the_step(tmp_path: Path, step: int | None) -> None:
    from training.commands.train import what_is_kept

    if step is not None:
        files.path_of(tmp_path, step).touch()
    said = what_is_kept("a", str(tmp_path))
    assert ("1,200" in said) is (step is not None)
    assert "\n" not in said
