"""What is saved beside the steps is the state at its step; what cannot be written or sent ends the training in one line."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from faulty_proxy import faulty_proxy

from streamer import background
from streamer.errors import StoreError
from streamer.store.object_store import ObjectStore
from training.checkpoints import files, record
from training.checkpoints.place import Place
from training.checkpoints.saver import Saver, distinct, snapshot
from training.commands.train import what_is_kept
from training.errors import CheckpointError
from training.phases.job import Job
from training.phases.phase import load_recipe
from training.phases.recipe_file import read_recipe
from training.processes import ranks


def make_job(folder: Path, url: str | None = None, **more: Any) -> Job:
    name, text = read_recipe("laptop")
    recipe = load_recipe(text, name=name, phase="general", overrides=[])
    folder.mkdir(parents=True, exist_ok=True)
    return Job(
        root="", run="a", phase="general", mixture="m@1", recipe=recipe, num_steps=20, save_folder=str(folder),
        save_url=url, **more,
    )  # fmt: skip


def make_state() -> dict[str, Any]:
    table = torch.arange(12.0).reshape(3, 4)
    return {"model": {"in": table, "out": table, "turned": table.T}, "step": 8, "names": ["a", {"b": torch.tensor(3)}]}


def test_a_copy_keeps_values_and_what_shares_memory_whatever_happens_to_the_state() -> None:
    state = make_state()
    found = snapshot(state)
    state["model"]["in"].zero_()
    state["names"].append("c")
    assert found["step"] == 8
    assert found["names"] == ["a", {"b": torch.tensor(3)}]
    for name, tensor in make_state()["model"].items():
        assert torch.equal(found["model"][name], tensor)
        assert found["model"][name].stride() == tensor.stride()
    assert found["model"]["in"] is found["model"]["out"]
    assert len(distinct(state)) == 3  # tied weights are one


def test_what_is_saved_is_the_state_of_its_step(tmp_path: Path) -> None:
    """Given weights that go on changing as soon as save returns, then each file has those of its own step."""
    weights = torch.zeros(1 << 20)
    with Saver(make_job(tmp_path)) as saver:
        saver.begin()
        for step in range(4, 21, 4):
            weights.fill_(step)
            saver.save(step, lambda: {"state": {"model": {"weights": weights}}})
            weights.fill_(-1)
    assert [step for step, _ in files.saved(tmp_path)] == [16, 20]
    for step, path in files.saved(tmp_path):
        found = torch.load(path)["state"]["model"]["weights"]
        assert torch.equal(found, torch.full((1 << 20,), float(step)))
        assert record.read(tmp_path)[step].sha256 == record.digest(path)


def saved(job: Job, *steps: int, state: Callable[[], dict[str, Any]] = make_state) -> None:
    """A training that saves a state after these steps."""
    with Saver(job) as saver:
        saver.begin()
        for step in steps:
            saver.save(step, state)


@pytest.mark.parametrize(("tensors", "numbers"), [(1, 1 << 20), (3000, 1)])
def test_a_disk_that_is_full_is_found_before_or_while_it_is_written(small_disk: Path, tensors: int, numbers: int) -> None:
    """Given no room for the numbers, or for the numbers but not for the file around them, then nothing half is left."""
    found = {str(number): torch.zeros(numbers) for number in range(tensors)}
    with pytest.raises(CheckpointError, match="has no room for what training writes") as error:
        saved(make_job(small_disk / "a"), 4, state=lambda: found)
    assert "\n" not in str(error.value)
    assert list((small_disk / "a").iterdir()) == []


def test_a_fault_of_the_program_is_not_taken_for_a_refusal(tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match="pickle"):
        saved(make_job(tmp_path), 4, state=lambda: {"state": lambda: 0})
    assert files.latest(tmp_path) is None


class EndsLater(threading.Event):
    """Says that the process ends after it was asked a number of times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("blocks", range(6))
def test_a_process_that_ends_stops_the_writing_of_a_checkpoint_and_calls_it_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], blocks: int
) -> None:
    monkeypatch.setattr(background, "_ending", EndsLater(2 + blocks))  # it is asked twice before the first block
    saver = Saver(make_job(tmp_path))
    saver.begin()
    saver.save(4, make_state)
    assert saver._thread is not None
    saver._thread.join()
    assert files.saved(tmp_path) == []
    assert capsys.readouterr().err == ""


def test_a_later_checkpoint_that_was_passed_over_hides_no_new_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given one kept checkpoint, step 20 damaged and a training from step 10, then step 13 is what is kept and named."""
    saved(make_job(tmp_path), 10, 20)
    damaged = files.path_of(tmp_path, 20)
    damaged.write_bytes(b"damaged")
    job = make_job(tmp_path, resume=str(files.path_of(tmp_path, 10)), resume_step=10)
    once = msgspec.structs.replace(job.recipe.checkpoints, keep=1)
    saved(msgspec.structs.replace(job, recipe=msgspec.structs.replace(job.recipe, checkpoints=once)), 13)
    assert [step for step, _ in files.saved(tmp_path)] == [13]
    assert "step 13" in what_is_kept("a", str(tmp_path))
    (aside,) = tmp_path.glob("*.passed-over-*")
    assert aside.read_bytes() == b"damaged"
    assert f"is now called {aside}" in capsys.readouterr().err


def test_an_error_of_the_saving_thread_is_said_though_another_ends_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given a disk that fails while a rank is lost that the others wait for, then both are said."""
    lost, folder = threading.Event(), tmp_path / "a"

    def lose_a_rank(flag: bool) -> bool:
        if flag:
            lost.set()
            next(thread for thread in threading.enumerate() if thread.name == "phasemix-saver").join()
            raise ZeroDivisionError
        return flag

    def refuse(*rest: Any, **more: Any) -> None:
        lost.wait()
        raise CheckpointError("the disk is on fire; put it out")

    monkeypatch.setattr(ranks, "any_rank", lose_a_rank)
    monkeypatch.setattr(files, "publish", refuse)
    with pytest.raises(ZeroDivisionError):
        saved(make_job(folder), 4, 8)
    assert capsys.readouterr().err == "phasemix: the disk is on fire; put it out\n"


@pytest.fixture
def url(s3_store: Callable[..., ObjectStore], s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder in a new bucket, for stores that are opened by their address alone, and retry for a moment."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true", "AWS_ENDPOINT_URL": s3_endpoint,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("training.checkpoints.place.ObjectStore", partial(ObjectStore, retry_s=0.3))
    return s3_store().url


@pytest.mark.parametrize("fault", ["500", "late 500", "drop"])
def test_a_store_that_answers_nothing_but_faults_is_tried_again_then_said(
    url: str,
    s3_endpoint: str,
    fault: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Given a store that fails for ever, then step 4 is said at once, step 8 is kept here and ends the training."""
    job = make_job(tmp_path / "one", url)
    with faulty_proxy(s3_endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.meets, proxy.for_ever = lambda method, path: method == "PUT" and path.endswith(".pt"), fault
        saver = Saver(job)
        saver.begin()
        saver.save(4, make_state)
        assert saver._thread is not None
        saver._thread.join()
        said = "phasemix: the training ends at its next checkpoint: the checkpoint after step 4 could not be sent"
        assert capsys.readouterr().err.startswith(said)
        with pytest.raises(CheckpointError, match="the checkpoint after step 4 could not be sent") as error:
            saver.save(8, make_state)
        assert proxy.num_met >= 3
    assert re.search(rf"{url}/step-00000004.pt cannot be written: .*is kept in {tmp_path}/one", str(error.value))
    assert "\n" not in str(error.value)
    assert [step for step, _ in files.saved(tmp_path / "one")] == [4, 8]
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    saved(job)  # a training that is resumed behind its last step sends what was not sent
    assert 8 in Place(tmp_path / "two", url).steps()


def test_a_training_that_fails_sends_what_it_wrote_before(url: str, tmp_path: Path) -> None:
    def state() -> dict[str, Any]:
        if files.latest(tmp_path / "one") is not None:
            (tmp_path / "one" / "diverged-step-00000005.json").write_text("{}")
            raise ZeroDivisionError
        return make_state()

    with pytest.raises(ZeroDivisionError):
        saved(make_job(tmp_path / "one", url), 4, 8, state=state)
    place = Place(tmp_path / "two", url)
    assert place.steps() == [4]
    assert place.fetch_if_allowed(4, place.known()[4], trusted=None) is None
    assert torch.load(tmp_path / "two" / "step-00000004.pt")["step"] == 8
    assert ObjectStore(url).get("diverged-step-00000005.json") == b"{}"


def test_of_two_trainings_that_save_to_one_place_the_second_sends_nothing(url: str, tmp_path: Path) -> None:
    one, two = (Saver(make_job(tmp_path / name, url)) for name in ("one", "two"))
    for saver in (one, two):
        saver.begin()
    one.save(4, make_state)
    one.finish()
    there = ObjectStore(url)
    before = {key: there.get(key) for key in there.list("")}
    two.save(4, lambda: {"other": 1})
    with pytest.raises(
        CheckpointError, match=r"checkpoints\.jsonl names checkpoints that this training did not write"
    ) as error:
        two.finish()
    assert "--save-folder" in str(error.value)
    assert {key: there.get(key) for key in there.list("")} == before
    one.save(8, make_state)
    one.finish()
    assert Place(tmp_path / "three", url).steps() == [4, 8]


def test_a_large_file_goes_in_parts_and_comes_in_blocks(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.checkpoints.place.BLOCK_BYTES", 5_000_001)
    weights = torch.rand(4 << 20)
    saved(make_job(tmp_path / "one", url), 4, state=lambda: {"weights": weights})
    place = Place(tmp_path / "two", url)
    assert place.fetch_if_allowed(4, place.known()[4], trusted=None) is None
    assert torch.equal(torch.load(tmp_path / "two" / "step-00000004.pt")["weights"], weights)
    assert not list((tmp_path / "two").glob(".fetched"))


def test_what_nobody_named_is_loaded_only_if_a_person_vouches_for_it(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"somebody else's")
    ObjectStore(url).put_file("step-00000004.pt", tmp_path / "file")
    place, digest = Place(tmp_path / "two", url), record.digest(tmp_path / "file")
    fault = place.fetch_if_allowed(4, None, trusted=None)
    assert fault is not None
    assert f"{url}/checkpoints.jsonl does not name it" in fault
    assert fault.endswith(f"add --trust {digest}")
    assert files.saved(tmp_path / "two") == []
    assert place.fetch_if_allowed(4, None, trusted=digest) is None
    assert (tmp_path / "two" / "step-00000004.pt").read_bytes() == b"somebody else's"


def test_ranks_that_fetch_at_once_all_find_the_checkpoint(url: str, tmp_path: Path) -> None:
    saved(make_job(tmp_path / "one", url), 4, state=lambda: {"weights": torch.rand(1 << 18)})
    (tmp_path / "one" / "steps.jsonl").touch()
    saved(make_job(tmp_path / "one", url))  # an empty log is sent too
    places = [Place(tmp_path / "two", url) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda place: place.fetch_if_allowed(4, place.known()[4], trusted=None), places)) == [None] * 8
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [".lock", "step-00000004.pt"]
    assert ObjectStore(url).get("steps.jsonl") == b""


def test_a_later_checkpoint_on_a_store_that_was_passed_over_stays_and_keeps_no_new_one_away(
    url: str, tmp_path: Path
) -> None:
    saved(make_job(tmp_path / "one", url), 10, 20)
    there = ObjectStore(url)
    (tmp_path / "damaged").write_bytes(b"damaged")
    there.put_file("step-00000020.pt", tmp_path / "damaged")
    files.path_of(tmp_path / "one", 20).write_bytes(b"damaged")
    resume = str(files.path_of(tmp_path / "one", 10))
    saved(make_job(tmp_path / "one", url, resume=resume, resume_step=10), 12, 13)
    assert Place(tmp_path / "two", url).steps() == [12, 13, 20]
    assert there.get("step-00000020.pt") == b"damaged"


def test_a_run_keeps_its_name_in_wandb_on_an_empty_disk_and_a_fork_gets_its_own(url: str, tmp_path: Path) -> None:
    (tmp_path / "one" / "a").mkdir(parents=True)
    (tmp_path / "one" / "a" / "wandb_id").write_text("0123")
    saved(make_job(tmp_path / "one" / "a", f"{url}/a"), 4)
    for run in ("a", "b"):
        resume = str(files.path_of(tmp_path / "two" / "a", 4))
        with Saver(make_job(tmp_path / "two" / run, f"{url}/{run}", resume=resume, resume_step=4)) as saver:
            saver.begin()
    assert (tmp_path / "two" / "a" / "wandb_id").read_text() == "0123"
    assert not (tmp_path / "two" / "b" / "wandb_id").exists()


def test_a_machine_that_fetches_keeps_the_last_and_what_nobody_named(url: str, tmp_path: Path) -> None:
    saved(make_job(tmp_path / "one", url), 4, 8)
    place = Place(tmp_path / "two", url)
    for step in (4, 8):
        assert place.fetch_if_allowed(step, place.known()[step], trusted=None) is None
        if step == 4:
            files.path_of(tmp_path / "two", 2).write_bytes(b"somebody else's")
    assert [step for step, _ in files.saved(tmp_path / "two")] == [2, 8]


def test_a_store_that_refuses_leaves_no_probe_in_the_folder(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="absent-bucket"):
        Place(tmp_path / "two", "s3://absent-bucket/a").make()
    assert list((tmp_path / "two").iterdir()) == []
