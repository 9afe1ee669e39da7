"""What commands that only read say: a run's state in one word, its history by key, a preview without a horizon."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.command_line import main
from mixer import Mixtures, RunReader, Runs
from mixer.commands.runs import changed, changed_shares
from mixer.ledger.history import Event, fold_ramps
from mixer.steering.schedules import read_schedule, steering_of
from streamer import Catalog
from streamer.commands.table import short

HEAD = 'name = "{}"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\npin = {{ go = {} }}\n'
RAMP = 'unit = "steps"\nevery = 4\n[[point]]\nat = 4\nmixture = "few"\n[[point]]\nat = 16\nmixture = "many"\n'


@pytest.fixture
def two(root: Path, fill: Callable[..., Catalog]) -> Path:
    """Two keys, and two mixtures that differ in their shares."""
    fill("raw/go", 20)
    fill("raw/c", 60)
    for name, share in (("few", 0.25), ("many", 0.75)):
        Mixtures(root).apply(HEAD.format(name, share))
    return root


def said(capsys: pytest.CaptureFixture[str], root: Path, *words: str) -> str:
    assert main([*words, "--root", str(root)]) == 0
    return capsys.readouterr().out


def listed(capsys: pytest.CaptureFixture[str], root: Path) -> dict[str, Any]:
    return {row["name"]: row for row in json.loads(said(capsys, root, "runs", "list", "--json"))}


def test_a_run_is_open_paused_ended_or_complete_in_one_word(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = Runs(two)
    for name in ("waiting", "done", "stopped", "going", "skipping"):
        runs.create(name, mixture="few", seed=1, global_batch=2, num_steps=8, segment_batches=4)
    runs.pause("waiting", by="ana", why="the loss rose")
    RunReader(two, "done").read(7)
    runs.end("stopped", by="ben")
    runs.extend("going", 4)
    runs.skip("skipping", 2, 4)
    runs.extend("skipping", 8)  # four of its eight are skipped, so four are still to come
    states = {name: row["state"] for name, row in listed(capsys, two).items()}
    assert states == {"waiting": "paused", "done": "complete", "stopped": "ended", "going": "open", "skipping": "open"}
    table = said(capsys, two, "runs", "list")
    for words in ("paused at step 0 by ana: the loss rose", "complete", "ended: it was ended by ben", "open"):
        assert words in table
    assert "paused at step 0 by ana" in said(capsys, two, "runs", "show", "waiting")


def test_a_history_shows_shares_by_key_before_and_after_and_a_ramp_as_one_line(
    two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = Runs(two)
    schedule = steering_of(read_schedule(RAMP, name="ramp"), None)
    runs.create("a", mixture=None, steering=schedule, seed=1, global_batch=2, segment_batches=4)
    runs.extend("a", 24)
    runs.switch("a", "few", by="ana", why="back")
    lines = said(capsys, two, "runs", "history", "a").splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["created", "ramped", "switched"]
    assert "c 75%, go 25%" in lines[1]
    assert "25% -> 75%" in lines[2]
    assert "until step 16" in lines[2]
    assert "75% -> 25%" in lines[3]
    assert "ana" in lines[3]
    whole = json.loads(said(capsys, two, "runs", "history", "a", "--json"))
    assert len(whole) > len(lines) - 1
    assert whole[-1]["keys_before"] == pytest.approx({"c": 0.25, "go": 0.75})
    assert whole[-1]["keys"] == pytest.approx({"c": 0.75, "go": 0.25})


def test_a_ramp_that_somebody_ends_is_not_folded_into_what_came_after() -> None:
    def switched(step: int, mixture: str, by: str) -> Event:
        return Event(step=step, event="switched", run="a", mixture=mixture, by=by, why=f"at {step}", keys={"c": 1.0})

    found = fold_ramps([switched(0, "x@1..y@1", "schedule"), switched(4, "x@1..y@1", "schedule"), switched(8, "y@1", "ana")])
    assert [(event.event, event.step, event.why) for event in found] == [
        ("ramped", 0, "until step 4; at 4"),
        ("switched", 8, "at 8"),
    ]


def test_keys_that_did_not_change_are_left_out() -> None:
    assert changed({"c": 0.5, "go": 0.3, "rust": 0.2}, {"c": 0.2, "go": 0.3, "sql": 0.5}) == (
        "sql 0% -> 50%, c 50% -> 20%, rust 20% -> 0%"
    )
    one = {"c": 1.0}
    same = Event(step=4, event="switched", run="a", shares=one, shares_before=one, keys=one, keys_before=one)
    assert changed_shares(same) == "as before"
    assert changed_shares(Event(step=4, event="paused", run="a")) == ""


def test_a_history_shows_components_where_the_keys_say_nothing(
    root: Path, fill: Callable[..., Catalog], capsys: pytest.CaptureFixture[str]
) -> None:
    fill("raw/go", 20)
    fill("scored/go/q80", 20)
    component = '[[component]]\nstreams = "{}/*"\nshare = {}\n'
    for raw, scored in ((0.75, 0.25), (0.5, 0.5)):
        Mixtures(root).apply(f'name = "m"\nseq_len = 8\n{component.format("raw", raw)}{component.format("scored", scored)}')
    said(capsys, root, "runs", "create", "a", "--mixture", "m@1", "--seed", "1", "--global-batch", "2")
    assert "m@2" in said(capsys, root, "runs", "switch", "a", "m")
    lines = said(capsys, root, "runs", "history", "a").splitlines()
    assert "raw 75%, scored 25%" in lines[1]
    assert "raw 75% -> 50%, scored 25% -> 50%" in lines[2]


def test_a_preview_without_a_horizon_is_of_one_pass_or_of_what_is_left_of_the_run(
    two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Runs(two).create("a", mixture="few", seed=1, global_batch=2, num_steps=10, segment_batches=4)
    Runs(two).extend("a", 4)
    assert "640 tokens" in said(capsys, two, "mixtures", "preview", "few")
    assert Mixtures(two).preview("few", tokens=None).tokens == 80 * 8
    assert Mixtures(two).preview("few", tokens=None, run="a").tokens == 6 * 2 * 8
    assert "one pass" in said(capsys, two, "mixtures", "preview", "few")


def test_a_preview_warns_above_four_passes_and_says_how_far_caps_let_it_go(
    two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "warning" not in said(capsys, two, "mixtures", "preview", "few", "--tokens", "2K")
    assert "raw/go (6.2 times)" in said(capsys, two, "mixtures", "preview", "few", "--tokens", "4K")
    capped = said(capsys, two, "mixtures", "preview", "few", "--set", "raw.max_passes=2", "--tokens", "1M")
    assert "few@1: 1,280 of 1M tokens" in capped


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (9_999, "9,999"), (10_000, "10K"), (999_499, "999K"), (1_360_000, "1.36M"), (999_600, "1M"),
     (12_500_000_000, "12.5B"), (5 * 10**11, "500B"), (10**15, "1,000T")],
)  # fmt: skip
def test_a_count_is_said_with_three_digits(count: int, text: str) -> None:
    assert short(count) == text
