"""A run that goes on where another has brought the streams: passes and caps count through the lineage."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from histories import History, examples, histories, kept_every, live, read_on, toml
from hypothesis import given
from hypothesis import strategies as st

from mixer import Mixtures, RunError, RunReader, Runs
from streamer import Catalog
from streamer.store.store import MemoryStore

HEAD = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\nmax_passes = 2\n'


@examples(60)
@given(history=histories(), data=st.data())
def test_passes_and_caps_go_on_in_a_run_of_a_lineage(history: History, data: st.DataObject) -> None:
    store = MemoryStore()
    with kept_every(history.interval):
        parent = live(history, store)
        step = data.draw(st.integers(0, len(parent.origin)))
        size = history.nodes * data.draw(st.sampled_from([1, 5, 16]))
        Runs(store).create(
            "b",
            mixture=Mixtures(store).apply(toml(history, history.weights)),
            seed=history.seed + 1,
            global_batch=size,
            canonical_nodes=history.nodes,
            parent="a",
            parent_step=step,
        )
        child = read_on(store, "b", batches=data.draw(st.integers(1, 30)))
    seen = Counter(zip(parent.streams[:step].ravel().tolist(), parent.rows[:step].ravel().tolist(), strict=True))
    seen.update(zip(child.streams.ravel().tolist(), child.rows.ravel().tolist(), strict=True))
    if history.max_passes is not None:
        assert max(seen.values(), default=0) <= history.max_passes
    for index, total in enumerate(parent.ledger.segments[0].totals.tolist() if parent.ledger.segments else []):
        counts = [seen[index, row] for row in range(total)]
        assert not total or np.ptp(counts) <= 1


def test_a_lineage_sees_every_sample_as_often_as_its_cap_says(root: Path, fill: Callable[..., Catalog]) -> None:
    fill("raw/python", 30, 34)
    fill("raw/c", 64)
    mixture = Mixtures(root).apply(HEAD)
    Runs(root).create("first", mixture=mixture, seed=3, global_batch=16)
    reader, seen = RunReader(root, "first"), Counter[tuple[int, ...]]()
    for step in range(6):
        seen.update(reader.read(step).origin.tolist())
    with pytest.raises(RunError, match="steps and those before"):
        Runs(root).create("more", mixture=mixture, seed=4, global_batch=8, num_steps=21, parent="first", parent_step=6)
    Runs(root).create("second", mixture=mixture, seed=4, global_batch=8, num_steps=20, parent="first", parent_step=6)
    reader = RunReader(root, "second")
    for step in range(20):
        seen.update(reader.read(step).origin.tolist())
    assert set(seen.values()) == {2}
    assert len(seen) == 128
    assert [use.realised_samples for use in Runs(root).use("second")] == [80, 80]
    assert [use.passes for use in Runs(root).use("second")] == [2, 2]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"parent": "none"}, "none does not exist"),
        ({"parent": "first", "parent_step": 1}, "has 0 batches"),
        ({"parent": "first", "canonical_nodes": 2}, "canonical nodes"),
    ],
)
def test_a_parent_that_does_not_fit_is_refused(
    root: Path, fill: Callable[..., Catalog], settings: dict[str, object], says: str
) -> None:
    fill("raw/python", 30)
    mixture = Mixtures(root).apply(HEAD)
    Runs(root).create("first", mixture=mixture, seed=3, global_batch=16)
    with pytest.raises(RunError, match=says):
        Runs(root).create("second", mixture=mixture, seed=4, global_batch=16, **settings)
    assert [info.name for info in Runs(root).list()] == ["first"]
