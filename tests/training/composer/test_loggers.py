"""`[loggers]` of a recipe: TensorBoard reads back what a training measured, and a tool that cannot start is one line."""

import json
from pathlib import Path

import pytest
from train_process import train

from streamer.errors import MissingExtraError
from streamer.extras import EXTRAS, require
from training.composer.loggers import identity, refusals
from training.errors import LoggerError
from training.measures.steps_log import read_steps

EVERY = ("--set", "checkpoints.every_steps=4", "--set", "reports.every_steps=3")


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    return {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_tensorboard_has_the_loss_the_shares_and_the_losses_by_stream_across_a_resume(code_root, tmp_path):
    more = (*EVERY, "--set", f"loggers.tensorboard={tmp_path / 'curves'}")
    train(code_root, "a", *more, "--set", "steps=8")
    train(code_root, "a", *more, "--set", "steps=14", "--resume", "--extend")
    found, folder = curves(tmp_path / "curves" / "a"), code_root / "checkpoints" / "a"
    lines = read_steps(folder / "steps.jsonl")
    assert found["loss/train/total"] == [(line.step, pytest.approx(line.loss)) for line in lines]
    assert found["learning_rate"] == [(line.step + 1, pytest.approx(line.learning_rate)) for line in lines]
    streams = json.loads((folder / "result.json").read_text())["streams"]
    for row in streams:
        assert [step for step, _ in found[f"loss/{row['stream']}"]] == [3, 4, 6, 8, 9, 12, 14]
        for kind in ("target", "realised"):
            assert found[f"shares/{kind}/{row['stream']}"][-1] == (14, pytest.approx(row[f"{kind}_share"]))
    shares = [json.loads(line)["step"] for line in (folder / "shares.jsonl").read_text().splitlines()]
    assert shares == [4, 8, 12]


@pytest.mark.parametrize("package", ["wandb", "mlflow"])
def test_what_a_tool_refuses_is_one_line_with_a_remedy(package):
    kind = type("NoServerError", (Exception,), {"__module__": f"{package}.errors"})
    with pytest.raises(LoggerError, match=rf"\[loggers\] {package} .*no server.* there"), refusals():
        raise kind("no server")
    with pytest.raises(ZeroDivisionError), refusals():
        _ = 1 / 0


def test_a_run_keeps_its_identity_at_wandb(tmp_path):
    first = identity(tmp_path / "wandb_id")
    assert identity(tmp_path / "wandb_id") == first != identity(tmp_path / "other")


def test_a_folder_named_like_a_package_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "written_by_the_tool").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(EXTRAS, "wandb", ("written_by_the_tool",))
    with pytest.raises(MissingExtraError):
        require("anything", "wandb")
