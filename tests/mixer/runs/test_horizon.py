"""A run's horizon can be moved to a later step, and what was drawn before stays as it was."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixer import Mixtures, RunEnded, RunError, RunReader, Runs
from streamer import Catalog

MIXTURE = """
name = "code"
seq_len = 8

[[component]]
streams = "raw/*"
share = 1.0
max_passes = 2
"""


@pytest.fixture
def runs(fill: Callable[..., Catalog], root: Path) -> Runs:
    """Ten steps of `short` and twenty-two of `long`, both of 96 samples that may be seen twice, eight a step."""
    fill("raw/python", 60)
    fill("raw/go", 36)
    Mixtures(root).apply(MIXTURE)
    found = Runs(root)
    for name, steps in (("short", 10), ("long", 22)):
        found.create(name, mixture="code", seed=3, global_batch=8, num_steps=steps, segment_batches=4)
    return found


def tokens(reader: RunReader, steps: range) -> list[list[list[int]]]:
    return [reader.read(step).tokens.tolist() for step in steps]


def test_a_run_that_was_lengthened_is_the_run_that_was_as_long_from_the_beginning(runs: Runs, root: Path) -> None:
    """Given readers at its old end, then they go on, and a position before it keeps its digest."""
    with RunReader(root, "short") as reader, RunReader(root, "long") as other:
        before = tokens(reader, range(10))
        digests = [reader.ledger_digest(step) for step in range(11)]
        with pytest.raises(RunEnded, match="num_steps = 10"):
            reader.read(10)
        assert runs.lengthen("short", 22, why="it learns still").num_steps == 22
        assert runs.show("short").ended is None
        assert tokens(reader, range(10, 22)) == tokens(other, range(10, 22))
        assert before == tokens(other, range(10))
        assert digests == [reader.ledger_digest(step) for step in range(11)]
        assert reader.settings_at(5) == reader.settings_at(20)
        with pytest.raises(RunEnded, match="num_steps = 22"):
            reader.read(22)
    event = next(event for event in runs.history("short") if event.event == "lengthened")
    assert (event.step, event.why) == (10, "to 22 steps: it learns still")


def test_a_run_that_nobody_has_read_is_lengthened_too_and_a_fork_takes_its_horizon_along(runs: Runs, root: Path) -> None:
    runs.lengthen("short", 15)
    runs.lengthen("short", 20)
    runs.extend("short", 20)
    assert runs.fork("short", "fork", at_step=12).num_steps == 20
    with RunReader(root, "fork") as fork, RunReader(root, "long") as other:
        np.testing.assert_array_equal(fork.read(19).tokens, other.read(19).tokens)


@pytest.mark.parametrize("steps", [10, 9, 1])
def test_a_horizon_only_moves_ahead(runs: Runs, steps: int) -> None:
    with pytest.raises(RunError, match="a horizon of 10 steps.*only moves ahead"):
        runs.lengthen("short", steps)


def test_what_cannot_last_so_long_stays_as_it_was(runs: Runs) -> None:
    runs.extend("short", 10)
    with pytest.raises(RunError, match="max_passes"):
        runs.lengthen("short", 25)
    assert runs.show("short").num_steps == 10


def test_a_run_without_a_horizon_or_one_that_somebody_ended_is_not_lengthened(runs: Runs) -> None:
    runs.create("open", mixture="code", seed=3, global_batch=8)
    with pytest.raises(RunError, match="no horizon"):
        runs.lengthen("open", 10)
    runs.end("short", why="enough")
    with pytest.raises(RunError, match="has ended: it was ended: enough"):
        runs.lengthen("short", 20)
