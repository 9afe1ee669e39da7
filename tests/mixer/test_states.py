"""Kept states: starting from one is the same as never having stopped."""

import pytest
from histories import History, Part, Reopen, expected, live

from mixer import RunReader, planner
from streamer.store import MemoryStore


def test_a_state_holds_what_a_stream_is_owed_that_has_not_been_drawn_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "INTERVAL", 3)
    parts = (Part(0, 5), Part(1, 5))
    history = History(1, 1, 16, 4, None, "stop", (1000, 1), parts, ((60, Reopen()), (60, Reopen())))
    store = MemoryStore("memory")
    life = live(history, store)
    pairs = [list(zip(*batch, strict=True)) for batch in zip(life.streams.tolist(), life.rows.tolist(), strict=True)]
    assert pairs == expected(life)
    for step in range(2, len(pairs), 11):  # each from the kept state before it
        assert RunReader(store, "a").read(step).origin.tolist() == life.origin[step].tolist()
