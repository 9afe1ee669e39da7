"""MixedLoader's promises: order, position and end, with and without worker processes."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch

from mixer import Mixtures, RunEnded, RunError, RunReader, Runs
from streamer import Catalog
from training import MixedLoader
from training.errors import PositionError

MIXTURE = """
name = "code"
seq_len = 8

[[component]]
streams = "raw/*"
share = 1.0
max_passes = 2
"""


@pytest.fixture
def run(fill, root):
    fill("raw/python", 60)
    fill("raw/go", 36)
    Mixtures(root).apply(MIXTURE)
    Runs(root).create("alpha", mixture="code", seed=3, global_batch=8)
    return root


def ids(batches):
    return [batch["input_ids"].numpy() for batch in batches]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_readers_in_the_order_of_steps(run, workers):
    loader = MixedLoader(run, "alpha", num_workers=workers, start_step=3)
    with RunReader(run, "alpha") as reader:
        for step, batch in enumerate(itertools.islice(loader, 5), start=3):
            expected = reader.read(step)
            assert batch.keys() == {"input_ids", "labels", "stream"}
            assert batch["stream"].dtype == torch.int32
            np.testing.assert_array_equal(batch["input_ids"].numpy(), expected.tokens)
            np.testing.assert_array_equal(batch["stream"].numpy(), expected.origin["stream"])
    assert loader.streams == ["raw/go", "raw/python"]
    assert isinstance(loader, torch.utils.data.DataLoader)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_a_batch_is_what_a_plain_loop_takes_or_on_request_what_the_stream_holds(root, workers, dtype):
    """Given ids up to the largest of their dtype, then int64 with labels by default, the stream's own dtype on request."""
    rows = np.random.default_rng(5).integers(0, np.iinfo(dtype).max, (64, 8), dtype, endpoint=True)
    Catalog(root).append("raw/python", rows, seq_len=8, dtype=np.dtype(dtype).name)
    Runs(root).create("alpha", mixture=Mixtures(root).apply(MIXTURE), seed=3, global_batch=8)
    plain = MixedLoader(root, "alpha", num_workers=workers, with_stream=False)
    own = MixedLoader(root, "alpha", num_workers=workers, dtype=None, labels=False)
    with RunReader(root, "alpha") as reader:
        for step, (converted, kept) in enumerate(itertools.islice(zip(plain, own, strict=True), 3)):
            tokens = reader.read(step).tokens
            assert converted.keys() == {"input_ids", "labels"}
            assert converted["labels"] is converted["input_ids"]
            assert converted["input_ids"].dtype == torch.int64
            assert kept.keys() == {"input_ids", "stream"}
            assert kept["input_ids"].numpy().dtype == dtype
            np.testing.assert_array_equal(converted["input_ids"].numpy(), tokens)
            np.testing.assert_array_equal(kept["input_ids"].numpy(), tokens)


def test_worker_processes_send_ids_in_the_streams_own_dtype(run):
    """The conversion is the caller's, so a message is as large whatever the caller asked for."""
    sizes = []
    for dtype in (torch.int64, None):
        loader = MixedLoader(run, "alpha", num_workers=1, dtype=dtype, labels=dtype is not None)
        message = next(torch.utils.data.DataLoader.__iter__(loader))
        fields = {field.name: field.dtype for field in message.batches[0][2]}
        assert fields == {"input_ids": "<u2", "stream": "<i4"}
        sizes.append(len(message.packed))
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("package", ["training", "mixer.service", "streamer", "mixer"])
def test_dir_shows_the_public_names_of_a_package_before_they_are_loaded(package):
    code = f"import {package} as p, sys; assert set(p.__all__) <= set(dir(p)), dir(p); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loaders_position_is_what_was_handed_out(run, workers):
    first = MixedLoader(run, "alpha", num_workers=workers)
    iterator = iter(first)
    for _ in range(4):
        next(iterator)
    state = first.state_dict()
    rest = ids(itertools.islice(iterator, 6))

    second = MixedLoader(run, "alpha", num_workers=2 - workers)
    second.load_state_dict(state)
    for mine, theirs in zip(ids(itertools.islice(second, 6)), rest, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert second.state_dict()["step"] == 10


def test_the_datasets_position_counts_the_samples_of_all_ranks_from_the_epochs_begin(run):
    dataset = MixedLoader(run, "alpha", rank=1, world_size=2, start_step=2).dataset
    state = dataset.state_dict(24, True)
    assert (state["run"], state["step"]) == ("alpha", 5)
    resumed = MixedLoader(run, "alpha").dataset
    resumed.load_state_dict(state)
    assert resumed.state_dict(32, True)["step"] == 6
    assert resumed.state_dict(8, False)["step"] == 6


def test_ranks_have_contiguous_rows_and_any_world_size_the_same_batches(run):
    whole = next(iter(MixedLoader(run, "alpha", rank=0, world_size=1)))["input_ids"].numpy()
    quarters = [next(iter(MixedLoader(run, "alpha", rank=r, world_size=4)))["input_ids"].numpy() for r in range(4)]
    np.testing.assert_array_equal(np.concatenate(quarters), whole)
    with pytest.raises(RunError, match="world size 3"):
        MixedLoader(run, "alpha", rank=0, world_size=3)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_end_of_the_run_is_the_cause_of_the_stop(run, workers):
    loader = MixedLoader(run, "alpha", num_workers=workers)
    iterator = iter(loader)
    for _ in range(2 * 96 // 8):
        next(iterator)
    with pytest.raises(StopIteration) as stop:
        next(iterator)
    assert isinstance(stop.value.__cause__, RunEnded)
    assert loader.ended is stop.value.__cause__


@pytest.mark.parametrize("workers", [0, 1])
def test_boundaries_come_along_where_the_run_records_them(root, workers):
    rows, documents = (
        np.zeros((20, 8), np.uint16),
        [{"sample": n, "start": 0, "end": 5, "document": str(n)} for n in range(20)],
    )
    Catalog(root).append("raw/python", rows, seq_len=8, documents=documents)
    Runs(root).create("alpha", mixture=Mixtures(root).apply(MIXTURE), seed=3, global_batch=4, boundaries=True)
    batch = next(iter(MixedLoader(root, "alpha", num_workers=workers)))
    assert batch["boundaries"].tolist() == [[0, 5, 8]] * 4


def test_a_second_iterator_goes_on_where_the_first_stopped(run):
    loader = MixedLoader(run, "alpha")
    together = ids(itertools.islice(loader, 3)) + ids(itertools.islice(loader, 2))
    for mine, theirs in zip(together, ids(itertools.islice(MixedLoader(run, "alpha"), 5)), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_an_error_of_a_worker_process_arrives_as_itself_in_one_line(run):
    loader = MixedLoader(run, "alpha", num_workers=2, start_step=-2)
    with pytest.raises(RunError) as error:
        next(iter(loader))
    assert "\n" not in str(error.value)


def test_a_position_of_another_run_format_or_ledger_is_refused(run, fill):
    Runs(run).create("beta", mixture="code", seed=4, global_batch=8)
    state = MixedLoader(run, "alpha").state_dict()
    for _ in itertools.islice(MixedLoader(run, "alpha"), 1):
        pass
    with pytest.raises(PositionError, match="of run alpha"):
        MixedLoader(run, "beta").load_state_dict(state)
    with pytest.raises(PositionError, match="ledger"):
        MixedLoader(run, "alpha").load_state_dict({**state, "step": 1})
    with pytest.raises(PositionError, match="format"):
        MixedLoader(run, "alpha").load_state_dict({**state, "format": "position/9"})
    with pytest.raises(PositionError, match="lacks first_step, ledger"):
        MixedLoader(run, "alpha").load_state_dict({key: state[key] for key in ("format", "run", "step")})


def test_a_ledger_of_another_root_is_refused(run, tmp_path):
    other = tmp_path / "other"
    rows = np.zeros((96, 8), np.uint16)
    for name, samples in (("raw/python", 60), ("raw/go", 36)):
        Catalog(other).append(name, rows[:samples], seq_len=8)
    Mixtures(other).apply(MIXTURE)
    Runs(other).create("alpha", mixture="code", seed=5, global_batch=8)
    with pytest.raises(PositionError, match="under the root where it was trained"):
        MixedLoader(other, "alpha").load_state_dict(MixedLoader(run, "alpha").state_dict())


def test_a_stream_that_joins_by_a_switch_gets_a_name(run, fill):
    fill("raw/python", 600)  # none of the two is dry where the switch takes effect
    fill("raw/go", 400)
    Runs(run).create("beta", mixture="code", seed=3, global_batch=8)
    loader = MixedLoader(run, "beta")
    iterator = iter(loader)
    next(iterator)
    fill("raw/rust", 400)
    Runs(run).switch("beta", "code")
    assert loader.streams == ["raw/go", "raw/python"]
    assert any(int(batch["stream"].max()) == 2 for batch in itertools.islice(iterator, 40))
    assert loader.streams == ["raw/go", "raw/python", "raw/rust"]


def test_a_stream_that_only_other_ranks_have_come_to_has_a_name(run, fill):
    loader = MixedLoader(run, "alpha")
    fill("raw/rust", 400)
    Runs(run).switch("alpha", "code")
    assert loader.streams == loader.names(2) == ["raw/go", "raw/python"]
    assert loader.names(3) == loader.streams == ["raw/go", "raw/python", "raw/rust"]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_skipped_batches_are_jumped_over_by_every_worker_also_those_that_are_skipped_while_it_runs(root, fill, workers):
    fill("raw/python", 600)
    Mixtures(root).apply(MIXTURE)
    Runs(root).create("alpha", mixture="code", seed=3, global_batch=8, segment_batches=4)
    Runs(root).skip("alpha", 5, 3)
    ranks = [MixedLoader(root, "alpha", rank=rank, world_size=2, num_workers=workers) for rank in range(2)]
    iterators = [iter(loader) for loader in ranks]
    for _ in range(10):
        assert {len(next(iterator)["stream"]) for iterator in iterators} == {4}
    start = 25  # workers have read ahead, but not so far
    Runs(root).skip("alpha", start, 7)
    found = [[*range(5), *range(8, 13)], [*range(5), *range(8, 13)]]
    for rank, (loader, iterator) in enumerate(zip(ranks, iterators, strict=True)):
        for _ in range(30):
            batch = next(iterator)
            found[rank].append(loader.step - 1)
            with RunReader(root, "alpha", rank, 2) as reader:
                np.testing.assert_array_equal(batch["input_ids"].numpy(), reader.read(loader.step - 1).tokens)
    handed_out = [step for step in range(100) if step not in {5, 6, 7, *range(start, start + 7)}]
    assert found == [handed_out[:40]] * 2
    state = ranks[0].state_dict()
    assert state == ranks[1].dataset.state_dict(40 * 8, True)
    resumed = MixedLoader(root, "alpha", num_workers=2 - workers)
    resumed.load_state_dict(state)
    next(iter(resumed))
    assert resumed.step == handed_out[40] + 1


def test_a_position_before_a_skip_goes_on_behind_it(run):
    loader = MixedLoader(run, "alpha")
    for _ in itertools.islice(loader, 3):
        pass
    Runs(run).fork("alpha", "beta", at_step=3, skip=4)
    fork = MixedLoader(run, "beta", num_workers=2)
    fork.load_state_dict(loader.state_dict())
    iterator = iter(fork)
    next(iterator)
    assert fork.step == 8
    assert fork.state_dict() == fork.dataset.state_dict(8, False)


def test_a_fork_takes_the_positions_of_its_parents_up_to_its_step_and_no_others(run):
    states = []
    loader = MixedLoader(run, "alpha")
    for _ in itertools.islice(loader, 9):
        states.append(loader.state_dict())
    Runs(run).fork("alpha", "beta", at_step=6, seed=8)
    Runs(run).fork("beta", "gamma", at_step=4)
    Runs(run).fork("alpha", "small", at_step=6, global_batch=4)
    with RunReader(run, "alpha") as reader:
        for name, step in (("beta", 5), ("beta", 6), ("gamma", 4)):
            fork = MixedLoader(run, name)
            fork.load_state_dict(states[step - 1])
            batch = next(iter(fork))
            assert (batch["input_ids"].numpy() == reader.read(step).tokens).all() == (step < 6)
    with pytest.raises(PositionError, match="forked from it at 6"):
        MixedLoader(run, "beta").load_state_dict(states[6])
    with pytest.raises(PositionError, match="global batch of 4, before step 6 its parent's 8"):
        MixedLoader(run, "small").load_state_dict(states[4])
    with pytest.raises(PositionError, match="fork with its global batch"):
        next(iter(MixedLoader(run, "small")))
    small = MixedLoader(run, "small")
    small.load_state_dict(states[5])
    assert [len(batch["stream"]) for batch in itertools.islice(small, 3)] == [4] * 3
    assert small.dataset.state_dict(6 * 8 + 3 * 4, True) == small.state_dict()
    Runs(run).fork("small", "again", at_step=8, global_batch=8)
    with pytest.raises(PositionError, match="before step 8 its parent's 4: resume from a checkpoint of small at that step"):
        MixedLoader(run, "again").load_state_dict(states[4])
    with pytest.raises(PositionError, match="of run beta"):
        MixedLoader(run, "alpha").load_state_dict({**states[1], "run": "beta"})
