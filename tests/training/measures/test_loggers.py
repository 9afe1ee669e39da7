"""`[loggers]` of a recipe: TensorBoard reads back what a training measured, and a tool that cannot start is one line."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
from train_process import train

from streamer.errors import MissingExtraError
from streamer.extras import EXTRAS, require
from training.errors import LoggerError
from training.measures.curves import NOT_MLFLOWS, TensorBoardCurves, add_to_all, close_all, identity, open_curves, refusals
from training.measures.steps_log import read_steps
from training.measures.watch import curves_of
from training.phases.job import Job
from training.phases.loggers import Loggers, MLflow, WandB
from training.phases.phase import load_recipe
from training.phases.recipe_file import read_recipe

EVERY = ("--set", "checkpoints.every_steps=4", "--set", "reports.every_steps=3")


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    return {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


@pytest.mark.usefixtures("trainer")
def test_tensorboard_has_the_loss_the_shares_and_the_losses_by_stream_across_a_resume(code_root, tmp_path):
    more = (*EVERY, "--set", f"loggers.tensorboard={tmp_path / 'curves'}")
    train(code_root, "a", *more, "--set", "steps=8")
    train(code_root, "a", *more, "--set", "steps=14", "--resume", "--extend")
    found, folder = curves(tmp_path / "curves" / "a"), code_root / "checkpoints" / "a"
    lines = read_steps(folder / "steps.jsonl")
    assert found["loss/train/total"] == [(line.step + 1, pytest.approx(line.loss)) for line in lines]
    assert found["learning_rate"] == [(line.step + 1, pytest.approx(line.learning_rate)) for line in lines]
    streams = json.loads((folder / "result.json").read_text())["streams"]
    for row in streams:
        assert [step for step, _ in found[f"loss/{row['stream']}"]] == [3, 4, 6, 8, 9, 12, 14]
        for kind in ("target", "realised"):
            assert found[f"shares/{kind}/{row['stream']}"][-1] == (14, pytest.approx(row[f"{kind}_share"]))
        assert found[f"passes/{row['stream']}"][-1] == (14, pytest.approx(row["passes"]))
        assert found[f"language_loss/{row['stream'].split('/')[1]}"] == found[f"loss/{row['stream']}"]
    assert [step for step, _ in found["speed/tokens_per_s"]] == list(range(1, 15))
    assert all(0 <= share < 1 for _, share in found["speed/wait_share"])
    assert "speed/mfu" not in found
    assert {tag.partition("/")[0] for tag in found} == {
        "loss", "language_loss", "learning_rate", "shares", "passes", "speed",
    }  # fmt: skip
    shares = [json.loads(line)["step"] for line in (folder / "shares.jsonl").read_text().splitlines()]
    assert shares == [4, 8, 12]


@pytest.mark.usefixtures("trainer")
def test_steps_that_are_taken_again_are_in_tensorboard_once(code_root, tmp_path):
    """Given steps behind the checkpoint that a training is resumed from, then TensorBoard shows what was trained last."""
    more = (*EVERY, "--set", "steps=11", "--set", f"loggers.tensorboard={tmp_path / 'curves'}")
    train(code_root, "a", *more, "--set", "numerics.peak_flops=1e12", "--set", "heldout.every_steps=2")
    first, folder = curves(tmp_path / "curves" / "a"), code_root / "checkpoints" / "a"
    assert {value > 0 for _, value in first["speed/mfu"]} == {True}
    (folder / "step-00000011.pt").unlink()
    train(code_root, "a", *more, "--set", "heldout.every_steps=3", "--resume")
    found = curves(tmp_path / "curves" / "a")
    for tag in ("loss/train/total", "learning_rate", "speed/tokens_per_s"):
        assert [step for step, _ in found[tag]] == list(range(1, 12))
    assert found["loss/train/total"] == first["loss/train/total"]
    assert [step for step, _ in found["passes/raw/go"]] == [3, 4, 6, 8, 9, 11]
    assert [step for step, _ in found["heldout_loss/all"]] == [2, 4, 6, 8, 9, 11]
    assert found["heldout_loss/all"] == found["heldout_loss/heldout/python"]


@pytest.mark.usefixtures("trainer")
def test_wandb_keeps_a_training_in_files_and_a_resumed_one_under_the_same_run(code_root, tmp_path):
    """Given no network, then both trainings lie in files that `wandb sync` sends as one run."""
    pytest.importorskip("wandb", reason="the extra [wandb] is not installed")
    settings = {"project": "code-models", "mode": "offline", "folder": tmp_path / "curves", "tags": '["small"]'}
    more = [*EVERY, *(word for key, value in settings.items() for word in ("--set", f"loggers.wandb.{key}={value}"))]
    train(code_root, "a", *more, "--set", "steps=8")
    train(code_root, "a", *more, "--set", "steps=10", "--resume", "--extend")
    runs = sorted((tmp_path / "curves" / "wandb").glob("offline-run-*/run-*.wandb"))
    name = (code_root / "checkpoints" / "a" / "wandb_id").read_text()
    assert [path.name for path in runs] == [f"run-{name}.wandb"] * 2
    found = {}
    for path in runs:
        for row in wandb_rows(path):
            found.setdefault(row["_step"], {}).update(row)
    for line in read_steps(code_root / "checkpoints" / "a" / "steps.jsonl"):
        assert found[line.step + 1]["loss/train/total"] == pytest.approx(line.loss)
    for row in json.loads((code_root / "checkpoints" / "a" / "result.json").read_text())["streams"]:
        assert found[10][f"shares/realised/{row['stream']}"] == pytest.approx(row["realised_share"])
        assert f"loss/{row['stream']}" in found[9]
        assert f"passes/{row['stream']}" in found[10]


def wandb_rows(path: Path) -> Iterator[dict[str, float]]:
    """The rows of metrics in a file of W&B's, as `wandb sync` reads it."""
    from wandb.proto.wandb_internal_pb2 import Record
    from wandb.sdk.internal.datastore import DataStore

    store = DataStore()
    store.open_for_scan(str(path))
    while (data := store.scan_data()) is not None:
        record = Record.FromString(data)
        if record.HasField("history"):
            items = record.history.item
            yield {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
    store.close()


@pytest.mark.usefixtures("trainer")
def test_mlflow_has_a_training_in_a_folder_and_a_resumed_one_in_the_same_run(code_root, tmp_path):
    pytest.importorskip("mlflow", reason="the extra [mlflow] is not installed")
    from mlflow.tracking import MlflowClient

    settings = {"tracking_uri": tmp_path / "mlruns", "experiment_name": "code-models", "tags.team": "small"}
    more = [*EVERY, *(word for key, value in settings.items() for word in ("--set", f"loggers.mlflow.{key}={value}"))]
    train(code_root, "a", *more, "--set", "steps=8")
    train(code_root, "a", *more, "--set", "steps=10", "--resume", "--extend")
    client = MlflowClient(tracking_uri=str(tmp_path / "mlruns"))
    experiment = client.get_experiment_by_name("code-models")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status, run.data.tags["team"]) == ("a", "FINISHED", "small")

    def curve(name: str) -> list[tuple[int, float]]:
        return sorted((point.step, point.value) for point in client.get_metric_history(run.info.run_id, name))

    lines = read_steps(code_root / "checkpoints" / "a" / "steps.jsonl")
    assert curve("loss/train/total") == [(line.step + 1, pytest.approx(line.loss)) for line in lines]
    for row in json.loads((code_root / "checkpoints" / "a" / "result.json").read_text())["streams"]:
        assert [step for step, _ in curve(f"loss/{row['stream']}")] == [3, 4, 6, 8, 9, 10]
        assert curve(f"shares/realised/{row['stream']}")[-1] == (10, pytest.approx(row["realised_share"]))


@pytest.mark.parametrize("package", ["wandb", "mlflow"])
def test_what_a_tool_refuses_is_one_line_with_a_remedy(package):
    kind = type("NoServerError", (Exception,), {"__module__": f"{package}.errors"})
    said = rf"\[loggers\] {package} .*no server\. Fix the cause, or set `loggers\.{package}\."
    with pytest.raises(LoggerError, match=said), refusals(package):
        raise kind("no server")
    with pytest.raises(ZeroDivisionError), refusals(package):
        _ = 1 / 0


@pytest.mark.parametrize("tool", ["tensorboard", "wandb", "mlflow"])
def test_a_folder_that_cannot_be_written_is_one_line_that_names_it(tool, tmp_path):
    if tool != "tensorboard":
        pytest.importorskip(tool, reason=f"the extra [{tool}] is not installed")
    folder = tmp_path / "file" / "curves"
    (tmp_path / "file").touch()
    settings = {
        "tensorboard": str(folder),
        "wandb": WandB(mode="offline", folder=str(folder)),
        "mlflow": MLflow(tracking_uri=str(folder)),
    }
    recipe = load_recipe(read_recipe("laptop")[1], name="laptop", phase="general", overrides=[])
    recipe = msgspec.structs.replace(recipe, loggers=Loggers(**{tool: settings[tool]}))
    job = Job(root="", run="a", phase="general", mixture="code", recipe=recipe, num_steps=1, save_folder=str(tmp_path))
    with pytest.raises(LoggerError, match=rf"{tool} .*{folder}.*Fix the cause, or set `loggers\.{tool}") as error:
        open_curves(job)
    assert "\n" not in str(error.value)


def test_a_tool_that_cannot_be_closed_is_one_line_and_the_others_are_closed():
    closed: list[type[BaseException] | None] = []

    class FullCurves:
        def add(self, metrics: Mapping[str, float], step: int) -> None:
            pass

        def close(self, error: type[BaseException] | None) -> None:
            raise OSError("No space left\non device")

    class OtherCurves(FullCurves):
        def close(self, error: type[BaseException] | None) -> None:
            closed.append(error)

    said: list[str] = []
    close_all([FullCurves(), OtherCurves()], KeyboardInterrupt, said.append)
    assert closed == [KeyboardInterrupt]
    (line,) = said
    assert line.startswith("Full could not be closed")
    assert "No space left" in line
    assert "\n" not in line


def test_a_tool_that_takes_no_more_values_is_said_once_closed_and_left_out():
    heard: list[tuple[str, int]] = []

    class FullCurves:
        def add(self, metrics: Mapping[str, float], step: int) -> None:
            if step == 2:
                raise OSError("No space left on device")
            heard.append(("full", step))

        def close(self, error: type[BaseException] | None) -> None:
            assert error is OSError
            heard.append(("closed", -1))

    class OtherCurves(FullCurves):
        def add(self, metrics: Mapping[str, float], step: int) -> None:
            heard.append(("other", step))

    opened, said = [FullCurves(), OtherCurves()], list[str]()
    for step in (1, 2, 3):
        add_to_all(opened, {"loss": 1.0}, step, said.append)
    assert heard == [("full", 1), ("other", 1), ("closed", -1), ("other", 2), ("other", 3)]
    assert said == ["Full takes no values since step 2 and is left out from here on: No space left on device"]


def test_a_tool_that_cannot_start_leaves_none_open(monkeypatch, tmp_path):
    closed: list[type[BaseException] | None] = []
    monkeypatch.setattr(TensorBoardCurves, "close", lambda self, error: closed.append(error))
    pytest.importorskip("mlflow", reason="the extra [mlflow] is not installed")
    (tmp_path / "file").touch()
    loggers = Loggers(tensorboard=str(tmp_path / "curves"), mlflow=MLflow(tracking_uri=str(tmp_path / "file" / "mlruns")))
    recipe = load_recipe(read_recipe("laptop")[1], name="laptop", phase="general", overrides=[])
    recipe = msgspec.structs.replace(recipe, loggers=loggers)
    job = Job(root="", run="a", phase="general", mixture="code", recipe=recipe, num_steps=1, save_folder=str(tmp_path))
    with pytest.raises(LoggerError, match="mlflow"):
        open_curves(job)
    assert closed == [LoggerError]


def test_names_are_such_as_mlflow_takes():
    assert NOT_MLFLOWS.sub("_", "loss/scored@hqins/jupyter-notebook/q95") == "loss/scored_hqins/jupyter-notebook/q95"


def test_languages_are_the_rows_of_their_streams():
    streams = ["raw/python", "raw/go", "synthetic/python", "web/en", "raw/rust"]
    found = curves_of(streams, [3, 1, 1, 5, 0], [2.0, 1.0, 6.0, 4.0, None])
    assert found == {
        "loss/raw/python": 2.0, "loss/raw/go": 1.0, "loss/synthetic/python": 6.0, "loss/web/en": 4.0,
        "language_loss/python": 3.0, "language_loss/go": 1.0,
    }  # fmt: skip


def test_a_run_keeps_its_identity_at_wandb(tmp_path):
    first = identity(tmp_path / "wandb_id")
    assert identity(tmp_path / "wandb_id") == first != identity(tmp_path / "other")


def test_a_folder_named_like_a_package_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "written_by_the_tool").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(EXTRAS, "wandb", ("written_by_the_tool",))
    with pytest.raises(MissingExtraError):
        require("anything", "wandb")
