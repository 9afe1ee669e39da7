"""Trainings whose checkpoints lie on an object store: killed in an upload, resumed by a machine with an empty disk."""

import os
import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path

import boto3
import msgspec
import pytest
import train_process
from faulty_proxy import FaultyProxy, faulty_proxy
from train_process import Training, start_ranks, worlds

from training.checkpoints import record
from training.measures.steps_log import StepLine, StepsLog, read_steps

MORE = ("--set", "steps=20", "--set", "model.dropout=0.1")
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
                assert (named.sha256, named.size_bytes) == (msgspec_digest(data), len(data))
        return steps


def msgspec_digest(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


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
    with faulty_proxy(bucket.endpoint) as proxy:
        proxy.meets, proxy.for_ever = is_put_of(12), "stall"
        killed = start(bucket.words(code_root, "a"), world_size, bucket.variables("one", proxy.url))
        wait_for(killed, proxy)
        for rank in killed:
            os.kill(rank.pid, signal.SIGKILL)
            rank.poll(timeout=60)
    assert bucket.check_checkpoints() == [4, 8]
    assert 12 in record.parse(bucket.objects()[record.NAME])  # named before it is there
    said = finish(start(bucket.words(code_root, "a", "--resume"), world_size, bucket.variables("two")))
    finish(whole)
    assert "training from step 8 to step 20" in said
    there, folder = bucket.objects(), code_root / "checkpoints" / "whole"
    assert logged(there["steps.jsonl"], tmp_path) == read_steps(folder / "steps.jsonl")
    assert there["shares.jsonl"] == (folder / "shares.jsonl").read_bytes()
    results = [msgspec.json.decode(data) for data in (there["result.json"], (folder / "result.json").read_bytes())]
    assert {key for key in results[0] if results[0][key] != results[1][key]} <= {"run", "wall_s"}
    assert bucket.check_checkpoints() == [16, 20]
    assert not (code_root / "checkpoints" / "a").exists()
