"""How far a writer's entries go beyond what is asked for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mixer import Mixtures, RunReader, Runs
from mixer.journal.journal import Journal
from mixer.journal.lead import BATCHES, LEAD_S, Lead
from streamer import Catalog

MIXTURE = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'


def go_through(lead: Lead, batch_s: float, *, entries: int, start: int = 0, now_s: float = 0.0) -> list[int]:
    """The batches of so many entries, for a reader that asks for one batch after the other."""
    found = []
    for _ in range(entries):
        found.append(lead.choose(now_s, start, 1))
        lead.wrote(now_s + 0.5, start, start + found[-1])  # the entry takes half a second to write
        start += found[-1]
        now_s += 0.5 + found[-1] * batch_s
    return found


def test_a_step_of_training_gets_a_segment_at_a_time() -> None:
    assert set(go_through(Lead(32, 256), 0.001, entries=500)) == {32}


def test_a_loop_that_only_reads_gets_up_to_write_ahead_but_no_more_than_an_instant() -> None:
    found = go_through(Lead(32, 256), LEAD_S / 1000, entries=100)
    assert found[0] == 32
    assert found == sorted(found)
    assert found[-1] == 256
    assert max(go_through(Lead(32, 256), LEAD_S / 100, entries=100)) == 96


def test_a_pace_counts_only_when_it_lasts() -> None:
    for length in (1, 32):
        entries = BATCHES // length
        found = go_through(Lead(length, 256), LEAD_S / 1000, entries=entries + 1)
        assert found == [length] * entries + [2 * length]


def test_after_a_pause_an_entry_is_one_segment_again() -> None:
    lead = Lead(32, 256)
    start = sum(go_through(lead, LEAD_S / 1000, entries=200))
    for now_s in range(100, 110):
        lead.wrote(now_s, start, start + 256)
        start += 256
        assert lead.choose(now_s + 1.1 * LEAD_S, start, 1) == 32


def test_behind_another_writers_entry_the_pace_is_not_known() -> None:
    lead = Lead(32, 256)
    start = sum(go_through(lead, LEAD_S / 1000, entries=200))
    lead.wrote(100.0, start, start + 256)
    assert lead.choose(100.0, start + 256, 1) == 256
    assert go_through(lead, LEAD_S / 1000, entries=10, start=start + 288, now_s=100.0) == [32] * 10


def test_a_reader_that_is_slow_every_third_time_gets_a_segment_at_a_time() -> None:
    lead, now_s = Lead(32, 256), 0.0
    for number in range(500):
        assert lead.choose(now_s, 32 * number, 1) == 32
        lead.wrote(now_s, 32 * number, 32 * number + 32)
        now_s += LEAD_S * (1.1 if number % 3 == 0 else 0.01)


@pytest.mark.parametrize("asked", [1, 32, 33, 100, 255, 256])
def test_what_is_asked_for_stands_in_one_entry(root: Path, fill: Callable[..., Catalog], asked: int) -> None:
    fill("raw/python", 50)
    Runs(root).create("a", mixture=Mixtures(root).apply(MIXTURE), seed=3, global_batch=4)
    journal = Journal(Catalog(root), "a")
    journal.ensure(asked - 1)
    assert journal.ledger.length == 2
    assert journal.ledger.end == -(-asked // 32) * 32


def test_a_switch_takes_effect_behind_the_segment_that_is_read(root: Path, fill: Callable[..., Catalog]) -> None:
    fill("raw/python", 50)
    fill("raw/go", 50)
    mixtures, runs = Mixtures(root), Runs(root)
    runs.create("a", mixture=mixtures.apply(MIXTURE), seed=3, global_batch=4)
    reader = RunReader(root, "a")
    for step in range(200):
        reader.read(step)
    runs.switch("a", mixtures.apply(MIXTURE + "exclude = 'raw/go'\n"))
    found = [set(reader.read(step).origin["stream"].tolist()) for step in range(200, 300)]
    assert found[24:] == [{reader.streams.index("raw/python")}] * 76
    assert len(set().union(*found[:24])) == 2
