"""Kept states: starting from one is the same as never having stopped."""

import numpy as np
import pytest
from histories import History, Part, Reopen, expected, live

from mixer import RunReader
from mixer.planning import planner
from mixer.planning.states import State, States, credits_of
from streamer.store.store import MemoryStore


def test_a_state_holds_what_a_stream_is_owed_that_has_not_been_drawn_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "INTERVAL", 3)
    parts = (Part(0, 5), Part(1, 5))
    history = History(1, 1, 16, 4, None, "stop", (1000, 1), parts, ((60, Reopen()), (60, Reopen())))
    store = MemoryStore("memory")
    life = live(history, store)
    pairs = [list(zip(*batch, strict=True)) for batch in zip(life.streams.tolist(), life.rows.tolist(), strict=True)]
    assert pairs == expected(life)[0]
    for step in range(2, len(pairs), 11):  # each from the kept state before it
        assert RunReader(store, "a").read(step).origin.tolist() == life.origin[step].tolist()


@pytest.mark.parametrize("drift", [0, 5, 300, 40_000, 2**40])
def test_a_state_comes_back_however_far_its_lanes_have_drifted_apart(drift: int) -> None:
    store = MemoryStore("memory")
    life = live(History(1, 2, 16, 4, None, "stop", (1, 1), (Part(0, 600), Part(1, 700)), ((16, Reopen()),)), store)
    states = States(store, "a", life.ledger, write=True)
    lanes = {(0, 0): (0, np.array([7 + drift, 7])), (1, 0): (3, np.array([0, drift]))}
    for step in (8, 9, 10):
        drawn = np.array([50, 60])
        state = State(
            step, credits_of(life.ledger, step, drawn), drawn, {key: (n, v + step) for key, (n, v) in lanes.items()}
        )
        states.keep(state)
        found = States(store, "a", life.ledger, write=False).load(step)
        assert found is not None
        assert found.drawn.tolist() == [50, 60]
        assert {key: (n, v.tolist()) for key, (n, v) in found.lanes.items()} == {
            key: (n, v.tolist()) for key, (n, v) in state.lanes.items()
        }


def test_a_state_that_cannot_be_used_costs_one_interval_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "INTERVAL", 3)
    store = MemoryStore("memory")
    life = live(History(1, 1, 16, 4, None, "stop", (3, 1), (Part(0, 50), Part(1, 50)), ((64, Reopen()),)), store)
    store.delete("runs/a/states/0000000060")
    store.put_if_absent("runs/a/states/0000000060", b"torn")
    states = States(store, "a", life.ledger, write=False)
    found = states.nearest(20, 3)
    assert found is not None
    assert found.step == 57
