"""Messages of several batches: what goes in comes out, in order, and the sizes are as they should be."""

import itertools
import json
import multiprocessing

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixer import Mixtures, RunEnded, RunReader, Runs
from mixer.errors import RunError
from streamer import Catalog
from training import MixedLoader
from training.loading.message import MESSAGE_BYTES, PREFETCH, Failure, Numbered, batches_a_message, pack, unpack

DTYPES = ["<u2", "<u4", "<i4", "|u1", "<i8"]
MIXTURE = 'name = "code"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\nmax_passes = 2\n'


@pytest.fixture
def run(fill, root):
    """62 batches of 8: at two passes over 250 samples, four are left over."""
    fill("raw/python", 180)
    fill("raw/go", 70)
    Runs(root).create("a", mixture=Mixtures(root).apply(MIXTURE), seed=3, global_batch=8)
    return root


@given(
    shapes=st.lists(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 7)), min_size=1, max_size=4), max_size=5),
    seed=st.integers(0, 1 << 20),
    fails=st.booleans(),
)
def test_what_is_packed_comes_out_the_same(shapes, seed, fails):
    chance, batches = np.random.default_rng(seed), []
    for step, each in enumerate(shapes):
        arrays = {
            f"array {n}": chance.integers(0, 100, shape).astype(DTYPES[(seed + n) % 5]) for n, shape in enumerate(each)
        }
        batches.append(Numbered(step, step + 1, arrays))
    failure = Failure(RunError("over")) if fails else None
    message = pack(batches, failure)
    assert message.failure is failure
    for batch, (step, num_streams, item) in zip(batches, unpack(message), strict=True):
        assert (step, num_streams, item.keys()) == (batch.step, batch.num_streams, batch.arrays.keys())
        for name, array in batch.arrays.items():
            assert item[name].numpy().dtype == array.dtype
            np.testing.assert_array_equal(item[name].numpy(), array)


@given(batch_bytes=st.integers(1, 1 << 30), num_workers=st.integers(0, 64), segment_batches=st.integers(1, 1 << 16))
def test_messages_are_bounded_and_workers_read_no_more_than_a_segment_ahead(batch_bytes, num_workers, segment_batches):
    size = batches_a_message(batch_bytes, num_workers=num_workers, segment_batches=segment_batches)
    assert size >= 1
    assert size == 1 or size * batch_bytes <= MESSAGE_BYTES
    assert size == 1 or size * max(1, num_workers * PREFETCH) <= segment_batches


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores, on purpose
@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("start", [0, 1, 13])
def test_any_number_of_workers_hands_out_each_batch_once_and_then_the_end(run, workers, start):
    loader = MixedLoader(run, "a", num_workers=workers, start_step=start)
    assert loader.dataset.message_batches > 1
    iterator = iter(loader)
    with RunReader(run, "a") as reader:
        for step in range(start, 62):
            np.testing.assert_array_equal(next(iterator)["input_ids"].numpy(), reader.read(step).tokens)
            assert loader.step == step + 1
    for _ in range(2):  # the end stays the end
        with pytest.raises(StopIteration) as stop:
            next(iterator)
        assert isinstance(stop.value.__cause__, RunEnded)


def test_batches_before_an_error_are_handed_out_and_then_the_error(run):
    """Given a shard that is gone, then what could be read of the message comes first."""
    with RunReader(run, "a") as reader:
        expected = [reader.read(step).tokens for step in range(62)]
        first_go = next(step for step in range(62) if (reader.read(step).origin["stream"] == 0).any())
    for path in (run / "streams" / "raw/go" / "_parts").rglob("*.mds"):
        path.unlink()
    for workers in (0, 2):
        iterator = iter(MixedLoader(run, "a", num_workers=workers))
        for step in range(first_go):
            np.testing.assert_array_equal(next(iterator)["input_ids"].numpy(), expected[step])
        for _ in range(2):
            with pytest.raises(Exception, match="missing") as error:
                next(iterator)
            assert type(error.value).__name__ == "PartError"


@pytest.mark.parametrize("start_method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("persistent", [False, True])
def test_workers_that_are_kept_go_on_where_the_last_epoch_ended(run, start_method, persistent):
    loader = MixedLoader(run, "a", num_workers=2, persistent_workers=persistent)
    loader.multiprocessing_context = start_method
    found, workers = [], set()
    others = {child.pid for child in multiprocessing.active_children()}  # of tests before, which may end meanwhile
    for count in (5, 1, 9, 12):
        iterator = iter(loader)
        found += [batch["input_ids"].numpy() for batch in itertools.islice(iterator, count)]
        workers.add(tuple(sorted({child.pid for child in multiprocessing.active_children()} - others)))
        del iterator
    with RunReader(run, "a") as reader:
        for step, tokens in enumerate(found):
            np.testing.assert_array_equal(tokens, reader.read(step).tokens)
    assert len(workers) == (1 if persistent else 4)


@pytest.mark.parametrize("before", [(0, False), (2, False), (2, True)])
@pytest.mark.parametrize("after", [(0, False), (2, False), (2, True)])
def test_a_position_is_the_same_whoever_read_and_resumes_with_any_workers_and_ranks(run, before, after):
    """As Composer resumes: by the samples that were handed out, whatever workers had read ahead."""
    loaders = [
        MixedLoader(run, "a", rank=rank, world_size=2, num_workers=before[0], persistent_workers=before[1])
        for rank in (0, 1)
    ]
    for batches in itertools.islice(zip(*loaders, strict=True), 11):
        assert sum(len(batch["stream"]) for batch in batches) == 8
    state = json.loads(json.dumps(loaders[1].dataset.state_dict(11 * 8, True)))
    assert state == loaders[0].state_dict() == loaders[1].state_dict()
    resumed = MixedLoader(run, "a", num_workers=after[0], persistent_workers=after[1])
    next(iter(resumed))  # workers that are kept begin at 0, and must not go on there
    resumed.load_state_dict(state)
    with RunReader(run, "a") as reader:
        for step, batch in enumerate(itertools.islice(resumed, 20), start=11):
            np.testing.assert_array_equal(batch["input_ids"].numpy(), reader.read(step).tokens)
    assert resumed.dataset.state_dict(31 * 8, True)["step"] == 31


@pytest.mark.parametrize("dtype", [torch.int64, None])
def test_a_tensor_outlives_its_message_and_may_be_written(run, dtype):
    kept = [batch["input_ids"] for batch in MixedLoader(run, "a", num_workers=2, dtype=dtype)]
    with RunReader(run, "a") as reader:
        for step, tokens in enumerate(kept):
            np.testing.assert_array_equal(tokens.numpy(), reader.read(step).tokens)
            tokens.fill_(7)
        assert all(bool((tokens == 7).all()) for tokens in kept)
    assert Catalog(run).stream("raw/go").samples == 70
