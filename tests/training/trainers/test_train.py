"""`phasemix train` as processes: killed and resumed, over two ranks, to the end of a run, and what it refuses."""

import argparse
import os
import random
import signal
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import uvicorn
from train_process import SMALL, Training, finish, launch, train, words

from mixer import Mixtures, Runs
from mixer.ledger.reports import Reports
from mixer.service import create_app
from mixer.steering.schedules import function_policy
from streamer import Catalog
from streamer.errors import PhasemixError
from training.checkpoints import files
from training.commands.train import add_train, prepare
from training.errors import CheckpointError
from training.measures.steps_log import read_steps

SEED = int(os.environ.get("PHASEMIX_FAULT_SEED", "0"))
OTHER = """
name = "other"
seq_len = 32

[[component]]
streams = "raw/go"
share = 1.0
"""


def steps(root: Path, run: str):
    return read_steps(root / "checkpoints" / run / "steps.jsonl")


def result(root: Path, run: str):
    return msgspec.json.decode((root / "checkpoints" / run / "result.json").read_bytes())


def parse(root: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_train(parser)
    return parser.parse_args(["general", "--mixture", "code", "--run", "alpha", "--root", str(root), *SMALL, *more])


def write_checkpoint(folder: Path, step: int, **shape: int) -> Path:
    """A file that the folder's record names, as if the run had written it."""
    aside, target = folder / f".step-{step:08d}.pt", files.path_of(folder, step)
    aside.write_bytes(b"weights" * step)
    files.publish(aside, target, run=folder.name, step=step, model=shape, keep=99)
    return target


def check_reports(root: Path, run: str) -> None:
    """Reports, whatever was killed between them, cover each step once; they agree with the steps' losses and the counts."""
    reports, lines = Reports(Catalog(root), run).read(), steps(root, run)
    assert [report.start_step for report in reports] == [0, *(report.end_step for report in reports[:-1])]
    assert reports[-1].end_step == len(lines)
    for report in reports:
        total = sum(count * loss for count, loss in zip(report.samples, report.loss, strict=True))
        mean = statistics.fmean(line.loss for line in lines[report.start_step : report.end_step])
        assert total / sum(report.samples) == pytest.approx(mean, rel=1e-5)
    counts = Counter()
    for report in reports:
        counts.update(dict(zip(report.streams, report.samples, strict=True)))
    assert counts == {row["stream"]: row["trained_samples"] for row in result(root, run)["streams"]}


def wait_for_step(process, root: Path, run: str, step: int) -> None:
    path = root / "checkpoints" / run / "steps.jsonl"
    while process.poll() is None and not (path.exists() and len(path.read_bytes().splitlines()) > step):
        time.sleep(0.005)
    assert process.poll() is None, process.output()


@pytest.mark.usefixtures("trainer")
def test_a_training_that_is_killed_three_times_resumes_bit_for_bit_and_two_ranks_see_the_same_batches(code_root):
    """Given dropout, kills at random steps, and other workers after each, then order and losses are the same."""
    whole = Training(words(code_root, "whole", "--set", "steps=90"))
    resume, chance = list[str](), random.Random(SEED)
    for turn in range(3):
        step = 26 * turn + chance.randrange(6, 20)
        more = [*resume, "--set", "steps=90", "--set", f"batch.loader_workers={2 - turn}"]
        killed = Training(words(code_root, "killed", *more))
        wait_for_step(killed, code_root, "killed", step)
        os.kill(killed.pid, signal.SIGKILL)
        assert killed.poll(timeout=60) == -signal.SIGKILL
        assert step < len(steps(code_root, "killed")) < 90
        resume = ["--resume"]
    resumed = Training(words(code_root, "killed", "--set", "steps=90", "--resume"))
    finish(whole)
    finish(resumed)

    expected, found = steps(code_root, "whole"), steps(code_root, "killed")
    assert [line.step for line in expected] == list(range(90))
    assert found == expected
    assert result(code_root, "killed")["heldout_bits_per_byte"] == result(code_root, "whole")["heldout_bits_per_byte"]
    assert result(code_root, "killed")["streams"] == result(code_root, "whole")["streams"]
    assert {row["passes"] for row in result(code_root, "whole")["streams"]} == {3.6}
    check_reports(code_root, "whole")
    check_reports(code_root, "killed")
    assert not list((code_root / "checkpoints" / "killed").glob(".*"))

    launch(["composer.cli.launcher", "-n", "2", "-m"], *words(code_root, "ranks", "--set", "steps=90", "--from", "whole"))
    assert [line.origin for line in steps(code_root, "ranks")] == [line.origin for line in expected]
    assert steps(code_root, "ranks")[0].loss < expected[0].loss - 0.5
    check_reports(code_root, "ranks")


@pytest.mark.usefixtures("trainer")
def test_a_run_that_ends_before_the_horizon_is_saved_with_its_reason(code_root):
    """Given two streams of 100 samples and 4 passes, then there are 100 batches of 8, at the schedule's rates."""
    Runs(code_root).create("short", mixture="code", seed=17, global_batch=8)
    output = train(code_root, "short", "--set", "steps=120", "--set", "checkpoints.every_steps=64")
    assert "short" in output
    found = result(code_root, "short")
    assert (found["steps"], [row["passes"] for row in found["streams"]]) == (100, [4.0, 4.0])
    assert found["ended"].startswith("run short")
    names = sorted(path.name for path in (code_root / "checkpoints" / "short").glob("step-*"))
    assert names == ["step-00000064.pt", "step-00000100.pt"]
    rates = [line.learning_rate for line in steps(code_root, "short")]
    assert rates[:13] == pytest.approx([3e-3 * step / 12 for step in range(13)])
    assert rates[66] == pytest.approx((3e-3 + 3e-4) / 2)
    check_reports(code_root, "short")


def test_a_policy_fed_by_the_losses_of_a_training_moves_its_shares(code_root):
    """Given the example policy every 16 batches, then the ledger has its choices, its reasons and what was trained on."""
    steering = function_policy("loss-fed", every=16, arguments={"rate": 5.0})
    Runs(code_root).create("steered", mixture="code", seed=17, global_batch=8, segment_batches=16, steering=steering)
    train(code_root, "steered", "--set", "steps=48", "--set", "reports.every_steps=8")
    check_reports(code_root, "steered")
    chosen = [body for body in Catalog(code_root).log("runs/steered/ledger").read() if body.get("steered")]
    assert [body["at_step"] for body in chosen] == [16, 32]
    assert all(body["why"].startswith("loss-fed: raw/") and body["plan"]["shares"] != [1 << 39] * 2 for body in chosen)
    rows = Runs(code_root).use("steered", 48)
    assert [row.realised_samples for row in rows] == [
        row["trained_samples"] for row in result(code_root, "steered")["streams"]
    ]


@contextmanager
def serving(root: Path, port: int = 0) -> Iterator[int]:
    """A mixer service while it lasts: its port."""
    listener = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(create_app(root), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        thread.join()


@pytest.mark.usefixtures("trainer")
def test_a_service_that_is_away_for_a_while_changes_no_step(code_root):
    """Given a run that holds few segments ahead, then the training waits for the service and goes on with the same steps."""
    Runs(code_root).create("behind", mixture="code", seed=17, global_batch=8, segment_batches=2, write_ahead=4)
    with serving(code_root) as port:
        more = ["--set", "steps=60", "--service", f"http://127.0.0.1:{port}"]
        training = Training(words(code_root, "behind", *more))
        wait_for_step(training, code_root, "behind", 5)
    taken, before = len(steps(code_root, "behind")), -1
    while taken > before:
        time.sleep(2)
        taken, before = len(steps(code_root, "behind")), taken
    assert 5 < taken < 60
    with serving(code_root, port):
        finish(training)
    train(code_root, "beside", "--set", "steps=60")
    assert steps(code_root, "behind") == steps(code_root, "beside")


@pytest.mark.usefixtures("trainer")
def test_behind_a_service_a_training_only_reads_the_root(code_root, tmp_path):
    """Given a service beside it, then the run, its segments and reports are the service's, the batches the same."""
    with serving(code_root) as port:
        more = ["--service", f"http://127.0.0.1:{port}", "--save-folder", str(tmp_path / "behind")]
        train(code_root, "behind", "--set", "steps=20", *more)
    train(code_root, "beside", "--set", "steps=20")
    assert read_steps(tmp_path / "behind" / "steps.jsonl") == steps(code_root, "beside")
    reports = Reports(Catalog(code_root), "behind").read()
    assert (reports[0].start_step, reports[-1].end_step) == (0, 20)
    assert sum(sum(report.samples) for report in reports) == 160


def test_behind_a_service_a_run_is_made_by_it(code_root, monkeypatch):
    asked = []

    class Service:
        def __init__(self, url):
            self.url = url

        def create(self, name, **settings):
            asked.append((self.url, name))
            Runs(code_root).create(name, **settings)

    monkeypatch.setattr("training.phases.run_binding.MixerClient", Service)
    for _ in range(2):
        prepare(parse(code_root, "--set", "steps=20", "--service", "http://127.0.0.1:9"))
    assert asked == [("http://127.0.0.1:9", "alpha")]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["--set", "batch.seed=18"], "seed 17, not 18"),
        (["--set", "batch.global_batch=4"], "global_batch 8, not 4"),
        (["--set", "batch.seq_len=64"], "seq_len"),
        (["--mixture", "other"], "mixture code@1, not other"),
        (["--mixture", "nothing"], "mixture nothing does not exist"),
        (["--set", "model.vocab_size=100"], "model.vocab_size="),
        (["--from", "nobody"], "train that run first"),
        (["--recipe", "absent.toml"], "absent.toml"),
    ],
)
def test_what_does_not_fit_the_run_is_refused_in_one_line(code_root, change, says):
    Mixtures(code_root).apply(OTHER)
    Runs(code_root).create("alpha", mixture="code", seed=17, global_batch=8)
    args = parse(code_root, *change)
    with pytest.raises(PhasemixError, match=says) as error:
        args.run(args)
    assert "\n" not in str(error.value)
    assert Runs(code_root).show("alpha").end_step == 0


@pytest.mark.parametrize("change", ["model.vocab_size=100", "batch.seq_len=64"])
def test_what_does_not_fit_the_mixture_makes_no_run(code_root, change):
    with pytest.raises(PhasemixError, match=change.partition("=")[0]):
        prepare(parse(code_root, "--set", change))
    assert Runs(code_root).list() == []


def test_a_run_with_checkpoints_is_not_overwritten(code_root):
    folder = code_root / "checkpoints" / "alpha"
    folder.mkdir(parents=True)
    (folder / "step-00000004.pt").touch()
    args = parse(code_root)
    with pytest.raises(CheckpointError, match="after step 4"):
        prepare(args)


@pytest.mark.usefixtures("trainer")
def test_a_fork_goes_on_from_its_parents_checkpoint_without_what_it_skips(code_root):
    """Given a fork at 14 that skips 5 batches, then it begins with the parent's checkpoint of 12 and goes on behind them."""
    more = ["--set", "steps=24", "--set", "checkpoints.keep=9"]
    train(code_root, "parent", *more)
    Runs(code_root).fork("parent", "fork", at_step=14, skip=5, why="the loss rose")
    train(code_root, "fork", *more, "--resume", "--set", "batch.loader_workers=2")
    Runs(code_root).fork("fork", "again", at_step=21)
    train(code_root, "again", *more, "--resume")

    parent, fork = steps(code_root, "parent"), steps(code_root, "fork")
    assert fork[:14] == parent[:14]
    assert [line.step for line in fork] == list(range(24))
    assert [line.batch for line in fork] == [*range(14), *range(19, 29)]
    whole = {line.batch: line.origin for line in parent}
    assert [line.origin for line in fork[14:19]] == [whole[batch] for batch in range(19, 24)]
    assert [line.learning_rate for line in fork] == [line.learning_rate for line in parent]
    assert steps(code_root, "again") == fork
    found = result(code_root, "fork")
    assert sum(row["trained_samples"] for row in found["streams"]) == 24 * 8
    assert all(abs(row["target_samples"] - row["trained_samples"]) <= 4 for row in found["streams"])
    assert sum(row["passes"] for row in found["streams"]) == pytest.approx(29 * 8 / 100)
    assert Runs(code_root).show("fork").num_steps == 24


def test_a_fork_with_smaller_batches_counts_the_tokens_that_it_was_trained_on(code_root):
    more = ["--set", "steps=12", "--set", "checkpoints.every_steps=6"]
    train(code_root, "parent", *more)
    Runs(code_root).fork("parent", "fork", at_step=6, global_batch=4)
    train(code_root, "fork", *more, "--resume", "--set", "batch.global_batch=4")
    found = result(code_root, "fork")
    assert (found["steps"], found["tokens"]) == (12, (6 * 8 + 6 * 4) * 32)
    assert result(code_root, "parent")["tokens"] == 12 * 8 * 32


def test_a_fork_before_every_checkpoint_of_its_parent_is_not_resumed(code_root):
    Runs(code_root).create("parent", mixture="code", seed=17, global_batch=8)
    Runs(code_root).extend("parent", 40)
    Runs(code_root).fork("parent", "alpha", at_step=10)
    folder = code_root / "checkpoints" / "parent"
    folder.mkdir(parents=True)
    write_checkpoint(folder, 12)
    with pytest.raises(CheckpointError, match="forked from parent after 10 trained steps.*parent after 12"):
        prepare(parse(code_root, "--resume"))
    write_checkpoint(folder, 8)
    assert prepare(parse(code_root, "--resume")).resume_step == 8
    assert prepare(parse(code_root)).resume is None
