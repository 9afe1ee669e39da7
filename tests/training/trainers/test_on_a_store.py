"""Trainings whose checkpoints lie on an object store: killed in an upload, resumed by a machine with an empty disk."""

import argparse
import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import boto3
import msgspec
import pytest
import train_process
from faulty_proxy import FaultyProxy, faulty_proxy
from train_process import Training, start_ranks, worlds

from deploy.command_line import main
from mixer import Runs
from training.checkpoints import record
from training.checkpoints.export import export_checkpoint
from training.commands.evaluate import find_model
from training.errors import CheckpointError
from training.measures.steps_log import StepLine, read_steps

MORE = ("--set", "steps=20", "--set", "model.dropout=0.1")
TIMED = {"wall_s", "tokens_per_s", "wait_share", "mfu"}
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}


class Bucket:
    """A new bucket. `words` of a training that saves there, and the `variables` of a machine with a disk of its own."""

    def __init__(self, endpoint: str, folder: Path) -> None:
        self.endpoint, self.name, self._folder = endpoint, f"bucket{secrets.token_hex(6)}", folder
        self.client = boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        self.client.create_bucket(Bucket=self.name)

    def url(self, run: str = "a") -> str:
        return f"s3://{self.name}/below/{run}"

    def words(self, root: Path, run: str, *more: str) -> list[str]:
        return train_process.words(root, run, *MORE, "--save-folder", self.url(run), *more)

    def variables(self, machine: str, endpoint: str | None = None) -> dict[str, str]:
        return {**KEYS, "AWS_ENDPOINT_URL": endpoint or self.endpoint, "PHASEMIX_CACHE": str(self._folder / machine)}

    def copy(self, machine: str, run: str = "a") -> Path:
        return self._folder / machine / "checkpoints" / "s3" / self.name / "below" / run

    def objects(self, run: str = "a") -> dict[str, bytes]:
        found = self.client.list_objects_v2(Bucket=self.name, Prefix=f"below/{run}/").get("Contents", [])
        read = (self.client.get_object(Bucket=self.name, Key=one["Key"])["Body"].read() for one in found)
        return {one["Key"].rpartition("/")[2]: data for one, data in zip(found, read, strict=True)}

    def check_checkpoints(self, run: str = "a") -> list[int]:
        """The steps of the checkpoints there, each of which is whole and named by the record."""
        objects, steps = self.objects(run), []
        for name, data in objects.items():
            if name.endswith(".pt"):
                steps.append(int(name[5:13]))
                named = record.parse(objects[record.NAME])[steps[-1]]
                assert (named.sha256, named.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
        return steps


@pytest.fixture
def bucket(s3_endpoint: str, tmp_path: Path) -> Bucket:
    return Bucket(s3_endpoint, tmp_path)


def start(words: list[str], world_size: int, variables: dict[str, str]) -> list[Training]:
    return [Training(words, **world, **variables) for world in worlds(world_size)]


def finish(ranks: list[Training], code: int = 0) -> str:
    assert [rank.poll(timeout=200) for rank in ranks] == [code] * len(ranks), [rank.output() for rank in ranks]
    return ranks[0].output()


def logged(data: bytes, tmp_path: Path) -> list[StepLine]:
    (tmp_path / "found.jsonl").write_bytes(data)
    return read_steps(tmp_path / "found.jsonl")


def is_put_of(step: int) -> Callable[[str, str], bool]:
    return lambda method, path: method in ("PUT", "POST") and f"step-{step:08d}.pt" in path


def wait_for(ranks: list[Training], proxy: FaultyProxy) -> None:
    while not proxy.num_met and ranks[0].poll() is None:
        time.sleep(0.01)
    assert proxy.num_met, ranks[0].output()


@pytest.mark.parametrize("world_size", [1, 2])
def test_a_training_that_is_killed_in_an_upload_goes_on_with_an_empty_disk(
    code_root: Path, bucket: Bucket, trainer: str, world_size: int, tmp_path: Path
) -> None:
    whole = start_ranks(train_process.words(code_root, "whole", *MORE), world_size)
    workers = ("--set", f"batch.loader_workers={2 - world_size}")  # forked beside the threads of a store's client
    with faulty_proxy(bucket.endpoint) as proxy:
        proxy.meets, proxy.for_ever = is_put_of(12), "stall"
        killed = start(bucket.words(code_root, "a", *workers), world_size, bucket.variables("one", proxy.url))
        wait_for(killed, proxy)
        for rank in killed:
            os.kill(rank.pid, signal.SIGKILL)
            rank.poll(timeout=60)
    assert bucket.check_checkpoints() == [4, 8]
    assert 12 in record.parse(bucket.objects()[record.NAME])  # named before it is there
    said = finish(start(bucket.words(code_root, "a", *workers, "--resume"), world_size, bucket.variables("two")))
    finish(whole)
    assert "training from step 8 to step 20" in said
    there, folder = bucket.objects(), code_root / "checkpoints" / "whole"
    assert logged(there["steps.jsonl"], tmp_path) == read_steps(folder / "steps.jsonl")
    assert there["shares.jsonl"] == (folder / "shares.jsonl").read_bytes()
    results = [msgspec.json.decode(data) for data in (there["result.json"], (folder / "result.json").read_bytes())]
    assert {key for key in results[0] if results[0][key] != results[1][key]} <= {"run", *TIMED}
    assert bucket.check_checkpoints() == [16, 20]
    assert not (code_root / "checkpoints" / "a").exists()


@pytest.mark.parametrize("lost", [0, 1])
def test_a_rank_that_is_lost_in_an_upload_leaves_whole_checkpoints_alone(
    code_root: Path, bucket: Bucket, trainer: str, lost: int, tmp_path: Path
) -> None:
    """Given an answer that does not come, then the rank that writes sends what it has before it ends."""
    whole = start_ranks(train_process.words(code_root, "whole", *MORE), 2)
    with faulty_proxy(bucket.endpoint) as proxy:
        proxy.meets, proxy.stall_s = is_put_of(8), 3.0
        proxy.faults.append("stall")
        ranks = start(bucket.words(code_root, "a"), 2, bucket.variables("one", proxy.url))
        wait_for(ranks, proxy)
        os.kill(ranks[lost].pid, signal.SIGKILL)
        left = ranks[1 - lost]
        assert left.poll(timeout=100) == 2, left.output()
    assert f"so rank {1 - lost} ends too" in left.output().splitlines()[-1]
    assert "Traceback" not in left.output()
    assert bucket.check_checkpoints() == ([4, 8] if lost == 1 else [4])
    finish(start(bucket.words(code_root, "a", "--resume"), 2, bucket.variables("two")))
    finish(whole)
    folder = code_root / "checkpoints" / "whole"
    assert logged(bucket.objects()["steps.jsonl"], tmp_path) == read_steps(folder / "steps.jsonl")


@pytest.mark.parametrize("world_size", [1, 2])
def test_a_bucket_that_is_gone_ends_the_training_at_its_next_checkpoint(
    code_root: Path, bucket: Bucket, trainer: str, world_size: int, tmp_path: Path
) -> None:
    """Given a bucket that goes while a checkpoint is sent, then the next is still kept here, and sent once it is back."""
    with faulty_proxy(bucket.endpoint) as proxy:
        proxy.meets, proxy.stall_s = is_put_of(8), 3.0
        proxy.faults.append("stall")
        ranks = start(bucket.words(code_root, "a"), world_size, bucket.variables("one", proxy.url))
        wait_for(ranks, proxy)
        for name in bucket.objects():
            bucket.client.delete_object(Bucket=bucket.name, Key=f"below/a/{name}")
        bucket.client.delete_bucket(Bucket=bucket.name)
        said = finish(ranks, 2)
    assert "waiting until the checkpoint after step 8 is in s3://" in said
    (last,) = [line for line in said.splitlines() if "could not be sent" in line]
    assert last == said.splitlines()[-1]
    for words in ("the checkpoint after step 8", bucket.name, "does not exist", "create it", str(bucket.copy("one"))):
        assert words in last
    assert "Traceback" not in said
    assert sorted(path.name for path in bucket.copy("one").glob("*.pt")) == ["step-00000008.pt", "step-00000012.pt"]

    bucket.client.create_bucket(Bucket=bucket.name)
    said = finish(start(bucket.words(code_root, "a", "--resume"), world_size, bucket.variables("one")))
    assert "training from step 12" in said
    assert bucket.check_checkpoints() == [16, 20]
    assert [line.step for line in logged(bucket.objects()["steps.jsonl"], tmp_path)] == list(range(20))


def test_an_interrupt_waits_until_its_step_is_sent(code_root: Path, bucket: Bucket, trainer: str, tmp_path: Path) -> None:
    more = ("--set", "steps=90", "--set", "checkpoints.every_steps=1000")
    (training,) = start(bucket.words(code_root, "a", *more), 1, bucket.variables("one"))
    steps = bucket.copy("one") / "steps.jsonl"
    while training.poll() is None and len(read_steps(steps)) < 8:
        time.sleep(0.005)
    os.kill(training.pid, signal.SIGTERM)
    said = finish([training], 130).splitlines()[-1]
    (step,) = bucket.check_checkpoints()
    assert f"kept up to step {step} in {bucket.copy('one')}" in said
    assert f"what was sent to {bucket.url()} may be older" in said
    assert len(logged(bucket.objects()["steps.jsonl"], tmp_path)) == step < 90


def test_signals_behind_the_last_step_wait_until_it_is_sent(code_root: Path, bucket: Bucket, trainer: str) -> None:
    with faulty_proxy(bucket.endpoint) as proxy:
        proxy.meets, proxy.stall_s = is_put_of(20), 3.0
        proxy.faults.append("stall")
        training = start(bucket.words(code_root, "a"), 1, bucket.variables("one", proxy.url))
        wait_for(training, proxy)
        for _ in range(2):
            os.kill(training[0].pid, signal.SIGTERM)
            time.sleep(0.2)
        said = finish(training, 130)
    assert "interrupted: waiting until " in said
    assert bucket.check_checkpoints() == [16, 20]


@pytest.fixture
def trained(code_root: Path, bucket: Bucket, trainer: str) -> Bucket:
    """A bucket with a training of run `a`, which was killed by nobody."""
    finish(start(bucket.words(code_root, "a"), 1, bucket.variables("one")))
    return bucket


def test_what_must_not_be_loaded_is_passed_over_and_overwrites_nothing(
    code_root: Path, trained: Bucket, trainer: str
) -> None:
    """Given an object that was changed, a checkpoint of another trainer and one of another run, each is one line."""
    other = "torch" if trainer == "composer" else "composer"
    extended = ("--set", "steps=24", "--resume", "--extend")
    before = trained.objects()
    refused = finish(start(trained.words(code_root, "a", *extended, "--trainer", other), 1, trained.variables("two")), 2)
    assert f"was written by --trainer {trainer} and cannot be resumed by --trainer {other}" in refused.splitlines()[-1]
    elsewhere = [*trained.words(code_root, "b", *extended), "--save-folder", trained.url("a")]
    refused = finish(start(elsewhere, 1, trained.variables("three")), 2)
    assert "run a" in refused.splitlines()[-1]
    again = finish(start(trained.words(code_root, "a"), 1, trained.variables("three")), 2)
    assert f"run a has a checkpoint after step 20 in {trained.url()}" in again
    assert trained.objects() == before

    def change(step: int) -> str:
        data = bytearray(before[f"step-{step:08d}.pt"])
        data[len(data) // 2] ^= 1
        trained.client.put_object(Bucket=trained.name, Key=f"below/a/step-{step:08d}.pt", Body=bytes(data))
        return f"{trained.url()}/step-{step:08d}.pt is damaged: its SHA-256"

    damaged = change(20)
    said = finish(start(trained.words(code_root, "a", "--resume"), 1, trained.variables("four")))
    assert damaged in said
    assert "Going on from step-00000016.pt" in said
    assert trained.check_checkpoints() == [16, 20]
    damaged = [change(16), change(20)][1]
    before = trained.objects()
    assert damaged in finish(start(trained.words(code_root, "a", "--resume"), 1, trained.variables("five")), 2)
    assert trained.objects() == before
    assert not list(trained.copy("five").glob("*.pt"))


def test_ranks_whose_nodes_have_different_checkpoints_do_not_begin(code_root: Path, trained: Bucket) -> None:
    """Given step 20 on the first node alone, then each rank says what all chose; a copy to the other node helps."""
    trained.client.delete_object(Bucket=trained.name, Key="below/a/step-00000020.pt")

    def resume() -> list[Training]:
        words, worlds_of_two = trained.words(code_root, "a", "--resume"), zip(("one", "two"), worlds(2), strict=True)
        return [Training(words, **world, **trained.variables(machine)) for machine, world in worlds_of_two]

    ranks = resume()
    finish(ranks, 2)
    for rank in ranks:
        last = rank.output().splitlines()[-1]
        assert f"{trained.copy('one')}/step-00000020.pt on {socket.gethostname()}" in last
        assert f"{trained.copy('two')}/step-00000016.pt on {socket.gethostname()}" in last
        assert "Traceback" not in rank.output()
    assert trained.check_checkpoints() == [16]
    for name in ("step-00000020.pt", record.NAME):
        shutil.copy(trained.copy("one") / name, trained.copy("two"))
    finish(resume())
    assert trained.check_checkpoints() == [16, 20]


def test_a_root_on_a_store_keeps_its_checkpoints_there_and_all_commands_read_them(
    code_root: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given a root in a bucket and no folder, then --from, a fork, export, evaluate and --dry-run read ROOT/checkpoints."""
    for path in filter(Path.is_file, code_root.rglob("*")):
        bucket.client.upload_file(str(path), bucket.name, f"root/{path.relative_to(code_root)}")
    root = f"s3://{bucket.name}/root"

    def words(run: str, *more: str) -> list[str]:
        return [*train_process.words(Path("unused"), run, *MORE, *more), "--root", root, "--trainer", "torch"]

    finish(start(words("a"), 1, bucket.variables("one")))
    finish(start(words("b", "--from", "a"), 1, bucket.variables("two")))
    for name, value in bucket.variables("three").items():
        monkeypatch.setenv(name, value)
    Runs(root).fork("a", "c", at_step=18, skip=1)
    assert main(["train", *words("c", "--resume", "--dry-run")]) == 0
    said = capsys.readouterr().out
    assert f"with {root}/checkpoints/a/step-00000016.pt" in said
    assert f"checkpoints: {root}/checkpoints/c" in said
    assert not list(tmp_path.joinpath("three").rglob("*.pt"))
    assert "step 16" in finish(start(words("c", "--resume"), 1, bucket.variables("two")))

    def logs(run: str) -> list[StepLine]:
        body = bucket.client.get_object(Bucket=bucket.name, Key=f"root/checkpoints/{run}/steps.jsonl")["Body"]
        return logged(body.read(), tmp_path)

    assert logs("b")[0].loss < logs("a")[0].loss
    assert logs("c")[:18] == logs("a")[:18]
    assert [line.batch for line in logs("c")] == [*range(18), 19, 20]
    assert export_checkpoint(root, f"{root}/checkpoints/a", tmp_path / "newest").step == 20
    assert export_checkpoint(root, f"{root}/checkpoints/a/step-00000016.pt", tmp_path / "earlier").step == 16
    with pytest.raises(CheckpointError, match="there is no checkpoint at s3://"):
        export_checkpoint(root, f"{root}/checkpoints/a/step-00000004.pt", tmp_path / "absent")
    args = argparse.Namespace(model=f"{root}/checkpoints/a", root=root, trust=None)
    with contextlib.ExitStack() as closing:
        assert (find_model(args, closing) / "model.safetensors").stat().st_size > 0
