"""Schedules and function policies: what they choose is in the ledger, at the steps it fixes, and a replay asks nobody."""

import math
import threading
from collections.abc import Callable
from fractions import Fraction
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixer import MixerError, Mixtures, RunError, RunReader, Runs, StepError, demand
from mixer.journal.journal import Journal
from mixer.ledger.ledger import Ledger
from mixer.ledger.policy import Point, Policy
from mixer.ledger.reports import Report, Reports
from mixer.mixture.plan import shares_of
from mixer.steering.functions import GROUP, Choice
from mixer.steering.schedules import Schedule, SchedulePoint, function_policy, read_schedule, weigh
from streamer import Catalog

Fill = Callable[..., Catalog]
TEXT = 'name = "{name}"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\npin = {{ python = {pin} }}\n'


@pytest.fixture
def begin(root: Path, fill: Fill) -> Callable[..., Runs]:
    """Mixtures low (python 0.2) and high (python 0.8), and a run steered by what is given."""

    def create(steering: Schedule | Policy | None = None, **settings: object) -> Runs:
        fill("raw/python", 60)
        fill("raw/go", 40)
        for name, pin in (("low", 0.2), ("high", 0.8)):
            Mixtures(root).apply(TEXT.format(name=name, pin=pin))
        mixture = None if isinstance(steering, Schedule) else "low"
        runs = Runs(root)
        runs.create("a", mixture=mixture, seed=5, global_batch=10, segment_batches=16, steering=steering, **settings)
        return runs

    return create


def ramp(*points: tuple[int | str, str], every: int = 10, unit: str = "steps") -> Schedule:
    return Schedule(unit=unit, every=every, point=[SchedulePoint(at=at, mixture=mixture) for at, mixture in points])


def install(monkeypatch: pytest.MonkeyPatch, **functions: str) -> None:
    """Installs functions of this module as policies."""
    found = EntryPoints(EntryPoint(name, f"{__name__}:{function}", GROUP) for name, function in functions.items())
    monkeypatch.setattr("mixer.steering.functions.entry_points", lambda *, group: found)


def python_shares(root: Path, run: str = "a") -> dict[int, float]:
    """Share of python by the step from which it holds."""
    ledger = Journal(Catalog(root), run).ledger
    return {step: round(shares_of(ledger.plans[entry])["raw/python"], 9) for step, entry in sorted(ledger.switches)}


def test_a_ramp_is_a_switch_every_so_many_steps_and_realised_exactly(begin: Callable[..., Runs], root: Path) -> None:
    runs = begin(ramp((20, "low"), (60, "high")))
    runs.extend("a", 100)
    assert python_shares(root) == {0: 0.2, 30: 0.35, 40: 0.5, 50: 0.65, 60: 0.8}
    assert all(abs(use.target_samples - use.realised_samples) <= 1 for use in runs.use("a", 100))
    bodies = Catalog(root).log("runs/a/ledger").read()
    assert [body["why"] for body in bodies if body.get("steered")][1] == "schedule: 50.0% of the way from low@1 to high@1"
    assert runs.show("a").mixture == "high@1"


def test_tokens_become_the_next_whole_batch_and_two_points_at_one_place_are_a_jump(
    begin: Callable[..., Runs], root: Path
) -> None:
    runs = begin(ramp((0, "low"), (1601, "low"), ("1601", "high"), unit="tokens"))
    runs.extend("a", 40)
    assert python_shares(root) == {0: 0.2, 21: 0.8}


def test_a_schedule_over_num_steps_is_checked_against_caps_by_its_mean(begin: Callable[..., Runs], root: Path) -> None:
    begin()
    capped = TEXT.format(name="high", pin=0.8) + "max_passes = 2\n"
    Mixtures(root).apply(capped.replace("raw/*", "raw/python").replace("pin = { python = 0.8 }\n", ""))
    with pytest.raises(RunError, match="max_passes is 2"):
        Runs(root).create("b", seed=1, global_batch=10, num_steps=50, steering=ramp((0, "low"), (50, "high")))
    Runs(root).create("b", seed=1, global_batch=10, num_steps=20, steering=ramp((0, "low"), (50, "high")))
    Runs(root).create("c", seed=1, global_batch=10, num_steps=20, steering=ramp((0, "high"), (10, "low")))
    Runs(root).skip("c", 3, 2)
    with pytest.raises(RunError, match="max_passes is 2"):
        Runs(root).skip("b", 3, 20)
    Runs(root).create("d", seed=1, global_batch=10, num_steps=40, steering=ramp((0, "low"), (20, "high"), (20, "low")))
    with pytest.raises(RunError, match="max_passes is 2"):
        Runs(root).switch("d", "high", at_step=35)


def test_demand_counts_what_a_schedule_comes_to(begin: Callable[..., Runs], root: Path, fill: Fill) -> None:
    begin()
    fill("synthetic/go", 10)
    Mixtures(root).apply('name = "made"\nseq_len = 8\n[[component]]\nstreams = "synthetic/*"\nshare = 1\n')
    steering = ramp((0, "low"), (30, "low"), (30, "made"))
    Runs(root).create("b", seed=1, global_batch=10, num_steps=40, steering=steering)
    assert demand(root) == {"go": (10 * 10 - 10) * 8}
    Runs(root).extend("b", 40)
    assert demand(root) == {"go": (10 * 10 - 10) * 8}


def test_the_forecast_of_a_schedule_is_what_then_comes(begin: Callable[..., Runs], root: Path) -> None:
    begin(ramp((5, "low"), (45, "high")), write_ahead=64)
    ahead = RunReader(root, "a", read_only=True).read(50)
    assert RunReader(root, "a", read_only=True).is_forecast(50)
    assert (RunReader(root, "a").read(50).origin == ahead.origin).all()


def test_a_switch_by_hand_ends_a_schedule_from_its_step_on(begin: Callable[..., Runs], root: Path) -> None:
    runs = begin(ramp((0, "low"), (100, "high")))
    runs.extend("a", 15)
    assert runs.switch("a", "low", at_step=35) == 35
    with pytest.raises(StepError):
        runs.switch("a", "low", at_step=3)
    runs.extend("a", 90)
    assert python_shares(root) == {0: 0.2, 10: 0.26, 20: 0.32, 30: 0.38, 35: 0.2}
    assert runs.switch("a", at_step=120, steering=ramp((0, "low"), (200, "high"), every=50)) == 120
    runs.extend("a", 160)
    assert [*python_shares(root).items()][5:] == [(120, 0.56), (150, 0.65)]


def test_a_switch_that_waits_for_its_step_ends_a_schedule_that_began_before_it(
    begin: Callable[..., Runs], root: Path
) -> None:
    runs = begin()
    runs.switch("a", "high", at_step=35)
    assert runs.switch("a", at_step=10, steering=ramp((0, "low"), (100, "high"))) == 10
    runs.extend("a", 90)
    assert python_shares(root) == {0: 0.2, 10: 0.26, 20: 0.32, 30: 0.38, 35: 0.8}
    assert runs.show("a").policy == "fixed"


def test_a_ramp_step_that_does_not_resolve_is_noted_and_the_run_goes_on(
    begin: Callable[..., Runs], root: Path, fill: Fill
) -> None:
    runs = begin(ramp((0, "low"), (40, "high")))
    runs.extend("a", 10)
    Catalog(root).create_stream("raw/odd", seq_len=16)
    runs.extend("a", 40)
    notes = [body for body in Catalog(root).log("runs/a/ledger").read() if body["event"] == "noted"]
    assert [note["at_step"] for note in notes] == [10]
    assert "raw/odd has seq_len 16" in notes[0]["why"]
    assert python_shares(root) == {0: 0.2}


def test_a_fork_goes_on_with_the_schedule_and_keeps_its_tokens_at_another_batch(
    begin: Callable[..., Runs], root: Path
) -> None:
    runs = begin(ramp((20, "low"), (60, "high")))
    runs.extend("a", 100)
    runs.fork("a", "same", at_step=40)
    runs.extend("same", 100)
    for step in (3, 40, 59, 90):
        assert (RunReader(root, "same").read(step).origin == RunReader(root, "a").read(step).origin).all()
    runs.fork("a", "double", at_step=40, global_batch=20)
    runs.extend("double", 60)
    ledger = Journal(Catalog(root), "double").ledger
    shares = {step: round(shares_of(ledger.plans[entry])["raw/python"], 9) for step, entry in ledger.switches}
    assert shares == {0: 0.5, 50: 0.8}


def test_a_schedule_whose_mixtures_do_not_follow_each_other_is_refused(begin: Callable[..., Runs], root: Path) -> None:
    runs = begin()
    text = 'name = "best"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\nbest_tokens = 400\n'
    Mixtures(root).apply(text)
    with pytest.raises(RunError, match=r"draws from 40 samples of raw/go, best@1 would leave 20"):
        runs.create("b", seed=1, global_batch=4, steering=ramp((0, "low"), (50, "best")))
    runs.create("b", seed=1, global_batch=4, steering=ramp((0, "best"), (50, "low")))


def by_loss(ledger: Ledger, reports: list[Report]) -> Choice | None:
    """All to the stream of the highest loss."""
    if not reports:
        return None
    losses = dict(zip(reports[-1].streams, reports[-1].loss, strict=True))
    return Choice(shares={max(losses, key=losses.__getitem__): 1.0}, reason="the highest loss")


def wrong(ledger: Ledger, reports: list[Report]) -> Choice | None:
    return Choice(shares={"raw/python": 0.4}, reason="")


def broken(ledger: Ledger, reports: list[Report]) -> Choice | None:
    raise ZeroDivisionError("by\nnothing" + 10_000 * "!")


def leaving(ledger: Ledger, reports: list[Report]) -> Choice | None:
    raise SystemExit("I leave")


def unwritable(ledger: Ledger, reports: list[Report]) -> Choice | None:
    raise ValueError("half a pair: \udcff" + 5000 * "x")


def of_numpy(ledger: Ledger, reports: list[Report]) -> Choice | None:
    return Choice(shares={"raw/python": np.float32(0.25), "raw/go": np.float32(0.75)}, reason="as numpy has it")  # type: ignore[dict-item]


def test_a_function_is_asked_at_its_steps_and_a_replay_asks_nobody(
    begin: Callable[..., Runs], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, mine="by_loss")
    runs = begin(function_policy("mine", every=20))
    runs.extend("a", 30)
    Reports(runs.catalog, "a").append(
        Report(start_step=0, end_step=30, streams=["raw/go", "raw/python"], samples=[240, 60], loss=[1.0, 2.0])
    )
    runs.extend("a", 60)
    assert python_shares(root) == {0: 0.2, 40: 1.0}
    origins = [RunReader(root, "a").read(step).origin.tolist() for step in range(60)]
    install(monkeypatch)
    assert [RunReader(root, "a").read(step).origin.tolist() for step in range(60)] == origins
    with pytest.raises(RunError, match="no policy 'mine' is installed here"):
        function_policy("mine")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("wrong", "sum to 0.4"), ("broken", "by nothing"), ("absent", "no policy"), ("leaving", "I leave"),
        ("unwritable", "half a pair: ?x"), ("never_written", "cannot be imported: AttributeError"),
    ],
)  # fmt: skip
def test_a_function_that_fails_is_noted_once_and_the_run_goes_on(
    begin: Callable[..., Runs], root: Path, monkeypatch: pytest.MonkeyPatch, function: str, said: str
) -> None:
    install(monkeypatch, **({"mine": function} if function != "absent" else {}))
    begin(Policy(name="mine", every=5)).extend("a", 32)
    notes = [body["why"] for body in Catalog(root).log("runs/a/ledger").read() if body["event"] == "noted"]
    assert len(notes) == 1
    assert said in notes[0]
    assert "\n" not in notes[0]
    assert len(notes[0]) < 1100
    assert python_shares(root) == {0: 0.2}


def test_shares_may_be_numbers_of_numpy(begin: Callable[..., Runs], root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, mine="of_numpy")
    begin(function_policy("mine")).extend("a", 16)
    assert python_shares(root) == {0: 0.25}


def test_a_function_that_cannot_be_imported_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, mine="never_written")
    with pytest.raises(RunError, match="policy mine, .*never_written, cannot be imported: AttributeError"):
        function_policy("mine")


def test_the_loss_fed_example_gives_the_harder_stream_more_within_its_bound(begin: Callable[..., Runs], root: Path) -> None:
    runs = begin(function_policy("loss-fed", every=10, arguments={"rate": 1.0, "bound": 1.5}))
    runs.extend("a", 10)
    for step, losses in ((0, [2.0, 1.6]), (10, [9.0, 1.0])):
        Reports(runs.catalog, "a").append(
            Report(start_step=step, end_step=step + 10, streams=["raw/python", "raw/go"], samples=[20, 80], loss=losses)
        )
        runs.extend("a", step + 20)
    first = 0.2 * math.exp(0.2) / (0.2 * math.exp(0.2) + 0.8 * math.exp(-0.2))
    bounded = 0.2 * 1.5 / (0.2 * 1.5 + 0.8 / 1.5)
    assert [*python_shares(root).values()] == pytest.approx([0.2, first, bounded], abs=1e-6)


def test_a_fork_goes_on_with_a_function_and_what_was_reported_before_it(begin: Callable[..., Runs], root: Path) -> None:
    runs = begin(function_policy("loss-fed", every=10, arguments={"rate": 1.0, "bound": 1.5}))
    reports = [
        Report(start_step=step, end_step=step + 10, streams=["raw/python", "raw/go"], samples=[20, 80], loss=losses)
        for step, losses in ((0, [2.0, 1.6]), (10, [2.0, 1.9]), (20, [7.0, 1.0]))
    ]
    runs.extend("a", 10)
    Reports(runs.catalog, "a").append(reports[0])
    runs.extend("a", 20)
    Reports(runs.catalog, "a").append(reports[1])
    runs.fork("a", "b", at_step=15)
    runs.fork("a", "c", at_step=20)
    runs.fork("c", "d", at_step=20, global_batch=20)
    for name in "acd":
        runs.extend(name, 30)
        Reports(runs.catalog, name).append(reports[2])
        runs.extend(name, 40)
    runs.extend("b", 40)
    shares = [*python_shares(root).values()]
    assert len(set(shares)) == 4
    for name in "cd":
        assert [*python_shares(root, name).values()] == shares[1:]
    assert {*python_shares(root, "b").values()} == {shares[1]}  # the second report goes past its step


def test_racing_writers_of_a_steered_run_have_one_ledger(begin: Callable[..., Runs], root: Path) -> None:
    begin(ramp((0, "low"), (64, "high"), every=4), write_ahead=1000)
    threads = [threading.Thread(target=lambda: Runs(root).extend("a", 80)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bodies = Catalog(root).log("runs/a/ledger").read()
    assert [body["at_step"] for body in bodies if body.get("steered")] == list(range(4, 65, 4))
    starts = [(body["start"], body["batches"]) for body in bodies if body["event"] == "segment"]
    assert [start for start, _ in starts[1:]] == [start + batches for start, batches in starts[:-1]]


@given(
    points=st.lists(st.tuples(st.integers(0, 60), st.sampled_from("ab")), min_size=1, max_size=5),
    every=st.integers(1, 20),
)
def test_the_next_decision_is_the_first_step_at_which_the_place_changes(points: list[tuple[int, str]], every: int) -> None:
    held = [Point(step=step, mixture=mixture) for step, mixture in sorted(points, key=lambda point: point[0])]
    policy = Policy(name="schedule", every=every, points=held)

    def blended(step: int) -> object:
        before, after, part = policy.place(step)
        return before if not part else (before, after)

    due = [step for step in range(1, 80) if policy.is_due(step)]
    assert due == sorted({step for at in range(80) if (step := policy.next_decision(at)) is not None and step < 80})
    for step in range(1, 80):
        if blended(step) != blended(step - 1) and not isinstance(blended(step), tuple):
            assert step in due
    for first, second in zip(due, due[1:], strict=False):
        assert second - first <= every or not isinstance(blended(first + 1), tuple)


@given(
    points=st.lists(st.tuples(st.integers(0, 60), st.sampled_from("abc")), min_size=1, max_size=5),
    every=st.integers(1, 20),
    start=st.integers(0, 70),
    batches=st.integers(0, 60),
)
def test_a_schedules_mean_is_that_of_its_batches_one_by_one(
    points: list[tuple[int, str]], every: int, start: int, batches: int
) -> None:
    held = [Point(step=step, mixture=mixture) for step, mixture in sorted(points, key=lambda point: point[0])]
    policy = Policy(name="schedule", every=every, points=held)
    expected: dict[str, Fraction] = {}
    now = policy.place(start)
    for step in range(start, start + batches):
        now = policy.place(step) if policy.is_due(step) else now
        for mixture, part in ((now[0], 1 - now[2]), (now[1], now[2])):
            expected[mixture] = expected.get(mixture, Fraction(0)) + part
    found = weigh(policy, start, start + batches)
    assert {name: count for name, count in found.items() if count} == {n: count for n, count in expected.items() if count}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "missing required field `unit`"),
        ('unit = "hours"\npoint = []', "hours"),
        ('unit = "steps"\npoint = []\nevry = 3', "evry"),
        ('unit = "steps"\n[[point]]\nat = 0\n', "mixture"),
        ("unit = steps", "schedule ramp.toml"),
        ("x = " + "[" * 3000, "nested too deep"),
        ("x = " + "9" * 5000, "schedule ramp.toml: .*digits"),
    ],
)
def test_a_schedule_with_a_mistake_is_refused(text: str, said: str) -> None:
    with pytest.raises(RunError, match=said):
        read_schedule(text, name="ramp.toml")


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (ramp(), "0 points"),
        (ramp((5, "low"), (4, "high")), "point 2: at = 4 is before"),
        (ramp((-1, "low")), "at = -1 is before 0"),
        (ramp((0, "low"), every=0), "every = 0"),
        (ramp((0, "none")), "none does not exist"),
        (ramp(("soon", "low")), "soon"),
        (ramp((0, "low"), (1 << 41, "high")), "is behind batch"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_and_no_run_is_made(
    begin: Callable[..., Runs], root: Path, schedule: Schedule, said: str
) -> None:
    begin()
    with pytest.raises(MixerError, match=said):
        Runs(root).create("b", seed=1, global_batch=4, steering=schedule)
    assert [run.name for run in Runs(root).list()] == ["a"]
