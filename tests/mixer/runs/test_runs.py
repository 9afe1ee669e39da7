"""What a reader of a run sees: exact shares, exact passes, the same batches for everybody, whatever happens."""

import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixer import MixtureError, Mixtures, RunEnded, RunError, RunReader, Runs, StepError, WaitError
from streamer import Catalog

Fill = Callable[..., Catalog]
HEAD = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'


def begin(root: Path, fill: Fill, text: str = HEAD, **settings: int) -> RunReader:
    fill("raw/python", 30)
    fill("raw/java", 50)
    fill("raw/c", 20)
    Runs(root).create("a", mixture=Mixtures(root).apply(text), seed=3, **{"global_batch": 16, **settings})
    return RunReader(root, "a")


def test_four_passes_see_every_sample_four_times_and_then_the_run_ends(root: Path, fill: Fill) -> None:
    reader, seen = begin(root, fill, HEAD + "max_passes = 4\n"), Counter[tuple[int, ...]]()
    for step in range(25):
        batch = reader.read(step)
        seen.update(batch.origin.tolist())
        assert (batch.tokens[:, 0] == batch.origin["row"] * 8).all()
    assert set(seen.values()) == {4}
    assert len(seen) == 100
    with pytest.raises(RunEnded, match="max_passes = 4"):
        reader.read(25)


def test_shares_are_within_one_sample_after_every_batch(root: Path, fill: Fill) -> None:
    reader = begin(root, fill, HEAD + "pin = { python = 0.5 }\n")
    reader.read(60)
    for step in range(61):
        assert all(abs(use.target_samples - use.realised_samples) <= 1 for use in Runs(root).use("a", step))


@pytest.mark.parametrize("world_size", [1, 2, 4, 16])
def test_any_world_size_reads_the_same_global_batches(root: Path, fill: Fill, world_size: int) -> None:
    whole = begin(root, fill).read(17)
    ranks = [RunReader(root, "a", rank, world_size).read(17) for rank in range(world_size)]
    assert (np.concatenate([batch.tokens for batch in ranks]) == whole.tokens).all()
    assert (np.concatenate([batch.origin for batch in ranks]) == whole.origin).all()


def test_growth_and_a_switch_move_no_earlier_position_and_are_seen_without_reopening(root: Path, fill: Fill) -> None:
    reader = begin(root, fill)
    before = [reader.read(step).origin.tolist() for step in range(20)]
    fill("raw/python", 40)
    reference = Mixtures(root).edit("m", ["raw.pin.python=0.6"])
    step = Runs(root).switch("a", reference)
    assert step == 32
    after = [reader.read(step).origin for step in range(32, 60)]
    assert any((origin["part"][origin["stream"] == 2] == 1).any() for origin in after)
    python = sum(int((origin["stream"] == 2).sum()) for origin in after)
    assert abs(python - 0.6 * 16 * 28) <= 2
    copy = pickle.loads(pickle.dumps(reader))
    assert [copy.read(step).origin.tolist() for step in range(20)] == before
    assert copy.read(45).origin.tolist() == after[13].tolist()


def test_a_step_too_far_ahead_names_the_furthest(root: Path, fill: Fill) -> None:
    reader = begin(root, fill)
    with pytest.raises(StepError, match="255"):
        reader.read(256)
    with pytest.raises(StepError):
        reader.read(-1)
    assert RunReader(root, "a").read(255).tokens.shape == (16, 8)
    with pytest.raises(StepError, match="in the ledger already"):
        Runs(root).switch("a", "m", at_step=3)


def test_a_read_only_reader_writes_nothing_and_says_what_is_a_forecast(root: Path, fill: Fill) -> None:
    reader = begin(root, fill)
    looking = RunReader(root, "a", read_only=True)
    forecast = [looking.read(step).origin.tolist() for step in range(60)]
    assert looking.is_forecast(0)
    assert Runs(root).show("a").end_step == 0
    assert [reader.read(step).origin.tolist() for step in range(40)] == forecast[:40]
    Runs(root).switch("a", Mixtures(root).edit("m", ["raw.pin.python=0.6"]))
    assert looking.read(200).tokens.shape == (16, 8)
    assert not looking.is_forecast(63)
    assert looking.is_forecast(64)
    assert looking.read(70).origin.tolist() == reader.read(70).origin.tolist()
    with pytest.raises(StepError):
        looking.read(64 + 256 + 64)


def test_a_dry_stream_that_waits_goes_on_when_a_part_joins(root: Path, fill: Fill) -> None:
    reader = begin(root, fill, HEAD + 'max_passes = 1\nwhen_dry = "wait"\n')
    for step in range(5):
        reader.read(step)
    with pytest.raises(WaitError, match="raw/"):
        reader.read(6)
    for stream in ("raw/python", "raw/java", "raw/c"):
        fill(stream, 100)
    assert reader.read(6).tokens.shape == (16, 8)


def test_what_a_dry_stream_leaves_goes_to_the_others_only_when_asked(root: Path, fill: Fill) -> None:
    text = HEAD + 'within = "equal"\nmax_passes = 2\nwhen_dry = "share"\n'
    reader, seen = begin(root, fill, text), Counter[tuple[int, ...]]()
    for step in range(200 // 16):
        seen.update(reader.read(step).origin.tolist())
    with pytest.raises(RunEnded):
        reader.read(200 // 16)
    assert max(seen.values()) == 2
    assert sum(seen.values()) == 200 // 16 * 16


def test_caps_that_cannot_last_are_refused_at_creation(root: Path, fill: Fill) -> None:
    with pytest.raises(RunError, match="at most"):
        begin(root, fill, HEAD + "max_passes = 2\n", num_steps=100)
    with pytest.raises(RunError, match="does not exist"):
        Runs(root).show("a")


def test_a_world_size_that_does_not_divide_the_batch_is_refused(root: Path, fill: Fill) -> None:
    begin(root, fill)
    with pytest.raises(RunError, match="world size 3"):
        RunReader(root, "a", 0, 3)


def test_best_tokens_takes_whole_bins_from_the_top_by_language(root: Path, fill: Fill) -> None:
    for language, samples in [("python", 40), ("go", 20)]:
        for low in ("q80", "q50", "q00"):
            fill(f"scored/{language}/{low}", samples)
    text = HEAD.replace("raw/*", "scored/*") + "best_tokens = 720\nmax_passes = 4\n"
    plan = Mixtures(root).resolve(Mixtures(root).apply(text))
    assert dict(zip(plan.streams, plan.limit, strict=True)) == {
        "scored/go/q50": 10, "scored/go/q80": 20, "scored/python/q50": 20, "scored/python/q80": 40,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("pin = { python = 1.5 }", "pin.python"),
        ("pin = { ruby = 0.5 }", "pin.ruby"),
        ("colour = 3", "colour"),
        ('within = "size"', "within"),
        ("max_passes = 0", "max_passes"),
        ('best_tokens = "many"', "best_tokens"),
        ("best_tokens = 100000", "best_tokens"),
        ("share = 2", "line"),
        ('when_dry = "panic"', "when_dry"),
    ],
)
def test_a_mixture_that_is_wrong_names_the_key_and_leaves_nothing(root: Path, fill: Fill, line: str, says: str) -> None:
    fill("raw/python", 3)
    with pytest.raises(MixtureError, match=says):
        Mixtures(root).apply(HEAD + line + "\n")
    assert Mixtures(root).list() == []


def test_a_mixture_without_a_matching_stream_is_refused(root: Path, fill: Fill) -> None:
    fill("raw/python", 3)
    with pytest.raises(MixtureError, match="no stream matches"):
        Mixtures(root).apply(HEAD.replace("raw/*", "none/*"))


def test_comments_and_spacing_make_no_new_version(root: Path, fill: Fill) -> None:
    fill("raw/python", 3)
    mixtures = Mixtures(root)
    assert mixtures.apply(HEAD) == mixtures.apply("# again\n" + HEAD.replace("share = 1", "share=1.0")) == "m@1"
    assert mixtures.edit("m", ["raw.max_passes=2"]) == "m@2"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 1.5), ("seed", -1), ("global_batch", 0), ("global_batch", 10**20), ("num_steps", 0),
        ("segment_batches", 10**12), ("canonical_nodes", 65), ("write_ahead", 0),
    ],
)  # fmt: skip
def test_a_number_that_no_run_can_have_is_refused_by_its_name(root: Path, fill: Fill, key: str, value: float) -> None:
    fill("raw/python", 30)
    settings = {"seed": 1, "global_batch": 16, key: value}
    with pytest.raises(RunError, match=f"{key} = "):
        Runs(root).create("a", mixture=Mixtures(root).apply(HEAD), **settings)  # type: ignore[arg-type]
    assert Runs(root).list() == []


def test_a_ledger_is_extended_on_purpose(root: Path, fill: Fill) -> None:
    begin(root, fill)
    assert Runs(root).extend("a", 1000) == 1024
    assert RunReader(root, "a").read(1023).tokens.shape == (16, 8)


def test_a_switch_behind_the_last_batch_is_refused(root: Path, fill: Fill) -> None:
    begin(root, fill, num_steps=40)
    runs = Runs(root)
    with pytest.raises(StepError, match="ends at batch 40 by its num_steps = 40"):
        runs.switch("a", "m", 40)
    assert runs.switch("a", "m", 39) == 39
    assert [event.event for event in runs.history("a")] == ["created", "switched"]


@pytest.mark.parametrize("over", [1, 3, 20])
@pytest.mark.parametrize("nodes", [1, 2])
def test_a_stream_that_is_over_the_cap_of_a_later_version_draws_nothing_and_the_run_goes_on(
    root: Path, fill: Fill, over: int, nodes: int
) -> None:
    for name, samples in (("raw/python", 50), ("raw/go", 43), ("web/python", 4000), ("web/go", 4000)):
        fill(name, samples)
    before = HEAD.replace("raw/*", "raw/python")
    after = HEAD.replace("share = 1", "share = 0.5") + 'within = "equal"\nmax_passes = 1\nwhen_dry = "share"\n'
    after += '[[component]]\nstreams = "web/*"\nshare = 0.5\n'
    runs, mixtures = Runs(root), Mixtures(root)
    runs.create("a", mixture=mixtures.apply(before), seed=3, global_batch=2, canonical_nodes=nodes, segment_batches=1)
    runs.extend("a", 25 + over)
    runs.fork("a", "b", at_step=25 + over, mixture=mixtures.apply(after), global_batch=16)
    assert runs.extend("b", 200) >= 200
    reader = RunReader(root, "b")
    drawn = Counter[str]()
    for step in range(25 + over, 200):
        batch = reader.read(step)
        assert len(batch.origin) == 16
        drawn.update(reader.streams[int(index)] for index in batch.origin["stream"])
    assert (drawn["raw/python"], drawn["raw/go"]) == (0, 43)


@pytest.mark.parametrize("when_dry", ["stop", "wait"])
def test_an_empty_stream_is_waited_for_and_named_whatever_its_component_says(root: Path, fill: Fill, when_dry: str) -> None:
    Catalog(root).create_stream("raw/python", seq_len=8)
    mixture = Mixtures(root).apply(HEAD + f'when_dry = "{when_dry}"\n')
    Runs(root).create("a", mixture=mixture, seed=3, global_batch=16)
    reader = RunReader(root, "a")
    with pytest.raises(WaitError, match="raw/python"):
        reader.read(0)
    fill("raw/python", 30)
    assert reader.read(0).tokens.shape == (16, 8)


def test_a_switch_to_another_seq_len_is_refused(root: Path, fill: Fill) -> None:
    begin(root, fill)
    Catalog(root).append("long/python", np.zeros((4, 16), np.uint16), seq_len=16)
    other = Mixtures(root).apply(HEAD.replace('"m"', '"n"').replace("raw/*", "long/*").replace("= 8", "= 16"))
    with pytest.raises(RunError, match="seq_len 8, n@1 16"):
        Runs(root).switch("a", other)


def test_a_switch_whose_caps_cannot_last_is_refused(root: Path, fill: Fill) -> None:
    reader = begin(root, fill, num_steps=100)
    reader.read(0)
    capped = Mixtures(root).apply(HEAD + "max_passes = 12\n")
    with pytest.raises(RunError, match="max_passes is 12"):
        Runs(root).switch("a", capped)
    assert Runs(root).switch("a", Mixtures(root).apply(HEAD + "max_passes = 17\n")) == 32


def test_a_switch_for_later_holds_beside_one_for_now(root: Path, fill: Fill) -> None:
    begin(root, fill).read(0)
    half, most = (Mixtures(root).edit("m", [f"raw.pin.python={share}"]) for share in (0.5, 0.9))
    assert Runs(root).switch("a", most, at_step=50) == 50
    assert Runs(root).switch("a", half) == 32
    reader = RunReader(root, "a")
    python = reader.streams.index("raw/python")
    seen = [int((reader.read(step).origin["stream"] == python).sum()) for step in range(32, 70)]
    assert abs(sum(seen[:18]) - 0.5 * 16 * 18) <= 2
    assert abs(sum(seen[18:]) - 0.9 * 16 * 20) <= 2


def test_a_parents_step_needs_a_parent(root: Path, fill: Fill) -> None:
    begin(root, fill)
    with pytest.raises(RunError, match="--parent"):
        Runs(root).create("b", mixture="m", seed=3, global_batch=16, parent_step=7)


def test_the_digest_tells_catalogs_of_other_parts_apart(root: Path, fill: Fill, tmp_path: Path) -> None:
    reader = begin(root, fill)
    reader.read(0)
    other = Catalog(tmp_path / "other")
    for name, samples in (("raw/python", 30), ("raw/java", 50), ("raw/c", 20)):
        other.append(name, np.ones((samples, 8), np.uint16), seq_len=8)
    Runs(other).create("a", mixture=Mixtures(other).apply(HEAD), seed=3, global_batch=16)
    twin = RunReader(tmp_path / "other", "a")
    assert twin.read(0).origin.tolist() == reader.read(0).origin.tolist()
    assert twin.ledger_digest(1) != reader.ledger_digest(1)


def test_num_steps_that_dry_streams_would_end_early_is_refused_and_empty_streams_are_let_through(
    root: Path, fill: Fill
) -> None:
    fill("synthetic/go", 50)
    fill("raw/go", 30)
    Catalog(root).create_stream("synthetic/rust", seq_len=8)
    text = (
        'name = "m"\nseq_len = 8\n[[component]]\nstreams = "synthetic/go"\nshare = 0.9\nmax_passes = 2\nwhen_dry = "share"\n'
        '[[component]]\nstreams = "raw/go"\nshare = 0.1\nmax_passes = 2\n'
    )
    runs = Runs(root)
    reference = Mixtures(root).apply(text)
    with pytest.raises(RunError, match=r"stream raw/go reaches max_passes = 2.* after 16 of its 30 steps"):
        runs.create("a", mixture=reference, seed=1, global_batch=10, num_steps=30)
    runs.create("a", mixture=reference, seed=1, global_batch=10, num_steps=16)
    assert runs.extend("a", 16) == 16
    empty = Mixtures(root).apply(
        text.replace('"m"', '"e"').replace("synthetic/go", "synthetic/rust").replace('share"', 'stop"')
    )
    runs.create("b", mixture=empty, seed=1, global_batch=10, num_steps=10)
    with pytest.raises(WaitError, match="synthetic/rust"):
        runs.extend("b", 10)
