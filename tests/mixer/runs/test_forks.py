"""Forks and skips: what a fork shares with its parent, what it is from there, and what is never handed out."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from histories import History, Part, draws, examples, histories, kept_every, live, places, publish, read_on, toml
from hypothesis import given
from hypothesis import strategies as st

from mixer import Mixtures, RunEnded, RunError, RunReader, Runs, StepError, Trace, WaitError
from mixer.journal.journal import Journal
from mixer.ledger.ledger import widen
from mixer.planning.planner import make_planner
from mixer.planning.states import States
from mixer.planning.tables import Tables
from mixer.reading.turns import Row
from streamer import Catalog
from streamer.store.store import MemoryStore, Store

Fill = Callable[..., Catalog]
HEAD = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'


@examples(40)
@given(history=histories(most_batches=30), data=st.data())
def test_forks_of_forks_are_what_their_ledgers_say(history: History, data: st.DataObject) -> None:
    """Given random seeds, batches, skips, growth, switches and pauses in each, then each batch is the reference's."""
    store, runs = MemoryStore("memory"), ["a"]
    with kept_every(history.interval):
        live(history, store)
        for number in range(data.draw(st.integers(1, 3))):
            parent, name = data.draw(st.sampled_from(runs)), f"f{number}"
            sizes = st.sampled_from([1, 2, 5, 16] if history.nodes == 1 else [1, 4, 12])
            Runs(store).fork(
                parent,
                name,
                at_step=data.draw(st.integers(0, Runs(store).show(parent).end_step)),
                seed=data.draw(st.none() | st.integers(0, 2**40)),
                global_batch=data.draw(st.none() | sizes.map(history.nodes.__mul__)),
                skip=data.draw(st.sampled_from([0, 0, 1, 7])),
            )
            runs.append(name)
            lead(store, data.draw(st.sampled_from(runs)), history, data)
            lead(store, name, history, data)
        for name in runs:
            check(store, name, data)
            keeps_states(store, name, history.interval)


def lead(store: Store, run: str, history: History, data: st.DataObject) -> None:
    """Some batches of a run, with something that happens between them."""
    runs = Runs(store)
    reader, step = RunReader(store, run), 0
    for batches in data.draw(st.lists(st.integers(0, 12), max_size=3)):
        if runs.show(run).ended is None:
            match data.draw(st.sampled_from(["part", "switch", "skip", "pause", "note"])):
                case "part":
                    publish(Catalog(store), Part(data.draw(st.integers(0, len(history.weights) - 1)), 7))
                case "switch":
                    runs.switch(run, Mixtures(store).apply(toml(history, history.weights[::-1])))
                case "skip":
                    start = runs.show(run).end_step + data.draw(st.integers(0, 5))
                    if not Journal(Catalog(store), run).ledger.skips.overlap(start, start + 3):
                        runs.skip(run, start, 3)
                case "pause":
                    runs.pause(run)
                    with pytest.raises(WaitError, match="paused"):
                        reader.read(reader.next_step(runs.show(run).end_step))
                    runs.resume(run)
                case "note":
                    runs.note(run, "a word")
        try:
            for _ in range(batches):
                step = reader.next_step(step)
                reader.read(step)
                step += 1
        except (RunEnded, WaitError):
            return


def check(store: Store, run: str, data: st.DataObject) -> None:
    catalog = Catalog(store)
    ledger = Journal(catalog, run).ledger
    reader, trace, tables = RunReader(store, run), Trace(store, run), Tables(catalog, ledger, run)
    seen, expected = Counter[int](), list(draws(store, run))
    assert len(expected) == ledger.end
    handed_out = [step for stretch in ledger.skips.handed_out(0, ledger.end) for step in range(*stretch)]
    for step in data.draw(st.permutations(handed_out))[:6] + handed_out:
        streams, rows = places(tables, reader.read(step).origin)
        assert list(zip(streams.tolist(), rows.tolist(), strict=True)) == expected[step]
    for step in handed_out:
        seen.update(stream for stream, _ in expected[step])
    for step in sorted(set(range(ledger.end)) - set(handed_out))[:3]:
        with pytest.raises(StepError, match="skipped"):
            reader.read(step)
        traced = trace.batch(step)
        assert {row.source for row in traced} == {"skipped"}
        numbers = [
            tables(stream).number_of(*place) for stream, place in zip(*traced_places(ledger.streams, traced), strict=True)
        ]
        assert numbers == [row for _, row in expected[step]]
    use = Runs(store).use(run)
    assert [row.realised_samples for row in use] == [seen[index] for index in range(len(use))]
    assert sum(row.realised_samples for row in use) == sum(len(expected[step]) for step in handed_out)
    for row, other in zip(use, asked(Runs(store).targets(run), ledger.streams), strict=True):
        assert row.target_samples == pytest.approx(other, abs=1e-6)
    check_positions(store, trace, ledger.streams, tables, expected)


def keeps_states(store: Store, run: str, interval: int) -> None:
    """A state is kept at every interval of the run's own up to the last segment's, and is the one that counting gives."""
    ledger = Journal(Catalog(store), run).ledger
    kept = States(store, run, ledger, write=False)
    counted = make_planner(ledger, Catalog(MemoryStore()), run, write=False)
    bodies = Catalog(store).log(f"runs/{run}/ledger").read()
    last = max((body["start"] for body in bodies if body["event"] == "segment"), default=ledger.begin)
    for step in range((ledger.begin // interval + 1) * interval, last + 1, interval):
        found, derived = kept.load(step), counted.state(step)
        assert found is not None
        for now, then in ((found.drawn, derived.drawn), (found.credits, derived.credits)):
            assert widen(now, len(ledger.streams)).tolist() == widen(then, len(ledger.streams)).tolist()
        lanes = [{key: given.tolist() for key, (_, given) in state.lanes.items()} for state in (found, derived)]
        assert lanes[0] == lanes[1]


def traced_places(streams: list[str], traced: list[Any]) -> tuple[list[int], list[tuple[int, int]]]:
    return [streams.index(row.stream) for row in traced], [(row.part, row.row) for row in traced]


def asked(targets: Any, streams: list[str]) -> list[float]:
    found = dict.fromkeys(streams, 0.0)
    for target in targets:
        for stream, samples in target.samples.items():
            if stream in found:
                found[stream] += samples * (target.end_step - target.start_step)
    return list(found.values())


def check_positions(store: Store, trace: Trace, streams: list[str], tables: Tables, expected: list[list[Any]]) -> None:
    """A row of the last batch is found at every position of the run and its parents, skipped or not."""
    for stream, row in expected[-1][:2] if expected else []:
        parts = Catalog(store).stream(streams[stream]).parts
        first = 0
        for part in parts:
            if first <= row < first + part.samples:
                found = trace.find([Row(stream, part.number, row - first)], len(expected))
                there = [
                    (step, slot)
                    for step, batch in enumerate(expected)
                    for slot, one in enumerate(batch)
                    if one == (stream, row)
                ]
                assert sorted((step, slot) for _, step, slot in found) == there
            first += part.samples


@examples(40)
@given(history=histories(), data=st.data())
def test_a_fork_that_changes_nothing_goes_on_bit_for_bit(history: History, data: st.DataObject) -> None:
    """Given nothing that joins and no switch behind the step, then both read the same to the end."""
    store = MemoryStore("memory")
    history = history._replace(acts=tuple(act for act in history.acts if not isinstance(act[1], Part)))
    with kept_every(history.interval):
        life = live(history, store)
        changed = life.ledger.segments[-1].start if life.ledger.segments else 0
        step = data.draw(st.integers(changed, life.ledger.end))
        before = dict(store._objects)
        Runs(store).fork("a", "b", at_step=step)
        with RunReader(store, "b") as reader:
            for place, origin in enumerate(life.origin):
                assert reader.read(place).origin.tolist() == origin.tolist()
        log = [key for key in store._objects if key.startswith("runs/a/ledger")]
        assert log == [key for key in before if key.startswith("runs/a/ledger")]
        more = read_on(store, "a", batches=len(life.origin) + 20)
        if life.ledger.next_switch(step) is None:
            assert read_on(store, "b", batches=len(more.origin)).origin.tolist() == more.origin.tolist()


def begin(root: Path, fill: Fill, text: str = HEAD, **settings: int) -> RunReader:
    fill("raw/python", 30)
    fill("raw/java", 50)
    fill("raw/c", 20)
    Runs(root).create("a", mixture=Mixtures(root).apply(text), seed=3, **{"global_batch": 16, **settings})
    return RunReader(root, "a")


def test_digest_and_settings_of_a_fork_are_the_parents_up_to_its_step(root: Path, fill: Fill) -> None:
    begin(root, fill).read(100)
    Runs(root).fork("a", "b", at_step=40, seed=9, global_batch=4)
    Runs(root).fork("b", "c", at_step=20)
    whole, fork, nested = (RunReader(root, name) for name in ("a", "b", "c"))
    for reader in (fork, nested):
        reader.read(60)
        assert [reader.ledger_digest(step) for step in range(21)] == [whole.ledger_digest(step) for step in range(21)]
        assert reader.ledger_digest(50) != whole.ledger_digest(50)
    assert fork.ledger_digest(40) == whole.ledger_digest(40)
    assert (fork.settings_at(39), fork.settings_at(40)) == (whole.settings, fork.settings)
    assert (fork.read(39).tokens.shape, fork.read(40).tokens.shape) == ((16, 8), (4, 8))
    assert nested.forked_from() == {"b": 20, "a": 20}
    assert [fork.behind(0, samples) for samples in (0, 16, 640, 644, 660)] == [0, 1, 40, 41, 45]
    assert nested.settings.global_batch == 16


def test_a_fork_of_a_run_that_was_made_anew_is_not_read_before_its_step(root: Path, fill: Fill) -> None:
    begin(root, fill).read(40)
    Runs(root).fork("a", "b", at_step=20)
    shutil.rmtree(root / "runs" / "a")
    Runs(root).create("a", mixture="m", seed=4, global_batch=16)
    Runs(root).extend("a", 40)
    assert RunReader(root, "b").read(20).tokens.shape == (16, 8)
    with pytest.raises(RunError, match="run b forked from a at step 20, where its ledger's digest was"):
        RunReader(root, "b").read(19)


def test_num_steps_counts_what_is_handed_out(root: Path, fill: Fill) -> None:
    reader = begin(root, fill, HEAD + "max_passes = 8\n", num_steps=40)
    reader.read(20)
    Runs(root).skip("a", 36, 5)
    Runs(root).fork("a", "b", at_step=10, skip=4)
    for run, last in (("a", 45), ("b", 44)):
        reader, step, count = RunReader(root, run), 0, 0
        while count < 40 * 16:
            step = reader.next_step(step) + 1
            count += len(reader.read(step - 1).origin)
        assert step == last
        with pytest.raises(RunEnded, match="num_steps = 40"):
            reader.next_step(step)
        assert sum(use.realised_samples for use in Runs(root).use(run)) == count
        assert sum(use.drawn_samples for use in Runs(root).use(run)) == last * 16
    Runs(root).create("full", mixture="m", seed=1, global_batch=16, num_steps=48)
    with pytest.raises(RunError, match="max_passes is 8"):
        Runs(root).skip("full", 3, 10)
    RunReader(root, "full").read(0)
    with pytest.raises(RunError, match="max_passes is 8"):
        Runs(root).fork("full", "more", at_step=3, skip=10)


def test_a_long_skip_is_no_step_too_far(root: Path, fill: Fill) -> None:
    reader = begin(root, fill)
    Runs(root).skip("a", 10, 1000)
    assert reader.next_step(10) == 1010
    assert reader.read(1010).tokens.shape == (16, 8)


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda runs: runs.fork("a", "b", at_step=65), "has 64 batches"),
        (lambda runs: runs.fork("a", "b", at_step=-1), "not -1"),
        (lambda runs: runs.fork("none", "b", at_step=1), "none does not exist"),
        (lambda runs: runs.fork("a", "a", at_step=1), "exists already"),
        (lambda runs: runs.fork("a", "b", at_step=1, global_batch=0), "global_batch = 0"),
        (lambda runs: runs.fork("a", "b", at_step=1, skip=-1), "skip = -1"),
        (lambda runs: runs.fork("a", "b", at_step=1, seed=1.5), "seed = 1.5"),
        (lambda runs: runs.skip("a", 63, 2), "fork a NEW --at-step 63 --skip 2"),
        (lambda runs: runs.skip("a", 64, 0), "batches = 0"),
        (lambda runs: runs.skip("a", 64, 10**9), "from 1 to 65,536"),
        (lambda runs: [runs.skip("a", 64, 5), runs.skip("a", 68, 1)], "64 to 68 are skipped already"),
        (lambda runs: runs.resume("a"), "is not paused"),
        (lambda runs: [runs.pause("a", by="ana"), runs.pause("a")], "paused at step 64 by ana"),
        (lambda runs: [runs.end("a"), runs.end("a")], "has ended"),
        (lambda runs: [runs.end("a"), runs.pause("a")], "has ended"),
        (lambda runs: [runs.end("a"), runs.skip("a", 64, 1)], "has ended"),
        (lambda runs: [runs.end("a"), runs.switch("a", "m")], "has ended"),
        (lambda runs: [runs.pause("a"), runs.end("a"), runs.resume("a")], "has ended"),
        (lambda runs: runs.note("a", " "), "empty"),
        (lambda runs: runs.note("a", "x" * 5000), "4,000"),
    ],
)
def test_what_cannot_happen_to_a_run_is_said_in_one_line(root: Path, fill: Fill, act: Any, says: str) -> None:
    begin(root, fill).read(33)
    with pytest.raises(RunError, match=says) as error:
        act(Runs(root))
    assert "\n" not in str(error.value)


def test_a_paused_run_waits_and_says_for_whom(root: Path, fill: Fill) -> None:
    reader = begin(root, fill)
    reader.read(0)
    Runs(root).pause("a", by="ana", why="the disk is full")
    assert reader.read(31).tokens.shape == (16, 8)
    with pytest.raises(WaitError, match="at step 32 by ana: the disk is full.*runs resume a"):
        reader.read(32)
    with pytest.raises(WaitError):
        Runs(root).extend("a", 40)
    assert RunReader(root, "a", read_only=True).read(32).tokens.shape == (16, 8)
    Runs(root).resume("a", by="ben")
    assert reader.read(32).tokens.shape == (16, 8)
    Runs(root).end("a", why="enough")
    Runs(root).note("a", "it was good", by="ana")
    with pytest.raises(RunEnded, match="it was ended: enough"):
        reader.read(64)
    assert reader.read(63).tokens.shape == (16, 8)


def test_the_history_says_what_happened_by_whom_and_why(root: Path, fill: Fill) -> None:
    begin(root, fill, HEAD + 'within = "equal"\nmax_passes = 9\nwhen_dry = "share"\n').read(0)
    runs = Runs(root)
    runs.switch("a", Mixtures(root).edit("m", ["raw.max_passes=2"]), by="ana", why="less often")
    runs.fork("a", "b", at_step=20, skip=2, by="ben", why="a spike")
    runs.switch("b", "m@2")
    runs.note("b", "looks well", by="ana")
    ended = read_on(Catalog(root).store, "b", batches=60).ended
    assert ended is not None
    found = runs.history("b")
    kinds = [(event.run, event.event, event.step, event.by) for event in found]
    assert kinds[:4] == [
        ("a", "created", 0, None),
        ("b", "forked", 20, "ben"),
        ("b", "switched", 20, None),
        ("b", "noted", 20, "ana"),
    ]
    assert {event.event for event in found[4:]} == {"ended"}
    assert (found[1].why, found[1].mixture, found[1].shares) == ("from a, 2 batches skipped: a spike", "m@1", {"raw": 1.0})
    assert [event.why for event in runs.history("a")][1:] == ["less often"]
    info = runs.show("b")
    assert (info.parent, info.parent_step, info.fork, info.skipped) == ("a", 20, True, [(20, 2)])
    assert all(event.at_s is not None for event in found if event.event not in ("dry", "ended"))


def test_the_history_of_a_fork_leaves_out_what_happened_to_its_parent_later(root: Path, fill: Fill) -> None:
    begin(root, fill)
    Runs(root).fork("a", "b", at_step=0)
    Runs(root).switch("a", Mixtures(root).edit("m", ["raw.pin.python=0.9"]))
    Runs(root).note("a", "a bad start")
    assert [(event.run, event.event) for event in Runs(root).history("b")] == [("a", "created"), ("b", "forked")]


def test_the_history_says_what_ran_dry(root: Path, fill: Fill) -> None:
    text = HEAD.replace("raw/*", "raw/c") + '[[component]]\nname = "more"\nstreams = ["raw/java", "raw/python"]\nshare = 1\n'
    cap = 'max_passes = 2\nwhen_dry = "share"\n'
    begin(root, fill, text.replace("share = 1\n", "share = 0.5\n" + cap))
    ended = read_on(Catalog(root).store, "a", batches=60).ended
    assert ended is not None
    dry = [event for event in Runs(root).history("a") if event.event == "dry"]
    assert dry[0].why == "raw/c has run dry; its share goes to the others"
    assert dry[0].shares == {"raw": 0.0, "more": 1.0}


def test_a_fork_takes_another_mixture_where_it_begins(root: Path, fill: Fill) -> None:
    begin(root, fill).read(40)
    most = Mixtures(root).edit("m", ["raw.pin.python=0.9"])
    Runs(root).fork("a", "b", at_step=20, mixture=most)
    reader = RunReader(root, "b")
    python = reader.streams.index("raw/python")
    counts = [int((reader.read(step).origin["stream"] == python).sum()) for step in range(40)]
    assert abs(sum(counts[20:]) - 0.9 * 16 * 20) <= 2
    assert counts[:20] == [int((RunReader(root, "a").read(step).origin["stream"] == python).sum()) for step in range(20)]


def test_a_run_of_a_lineage_goes_on_from_a_fork(root: Path, fill: Fill) -> None:
    begin(root, fill, HEAD + "max_passes = 4\n").read(10)
    Runs(root).fork("a", "b", at_step=8, skip=2)
    for parent, step in (("b", 4), ("b", 8), ("a", 8)):
        name = f"{parent}{step}"
        Runs(root).create(name, mixture="m", seed=1, global_batch=10, parent=parent, parent_step=step)
        seen = Counter[tuple[int, ...]]()
        for place in range(step):
            seen.update(RunReader(root, parent).read(place).origin.tolist())
        reader = RunReader(root, name)
        for place in range((400 - step * 16) // 10):
            seen.update(reader.read(place).origin.tolist())
        assert max(seen.values()) == 4
        assert np.ptp(list(seen.values())) <= 1


def test_a_fork_of_a_finished_run_needs_more_steps(root: Path, fill: Fill) -> None:
    fill("raw/python", 40)
    runs = Runs(root)
    runs.create("a", mixture=Mixtures(root).apply(HEAD), seed=1, global_batch=4, num_steps=20)
    runs.extend("a", 20)
    with pytest.raises(RunError, match="num_steps = 20 counts from the beginning of a"):
        runs.fork("a", "b", at_step=20)
    runs.fork("a", "b", at_step=20, num_steps=30)
    assert runs.extend("b", 30) == 30
    with pytest.raises(RunEnded):
        RunReader(root, "b").read(30)
