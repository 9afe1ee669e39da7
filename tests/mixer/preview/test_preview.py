"""A preview says beforehand what a run then draws, what forbids a horizon, and the best there is."""

import math
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixer import MixtureError, Mixtures, RunEnded, RunError, Runs, WaitError
from mixer.mixture.plan import Plan
from mixer.order.shares import ONE, to_shares
from mixer.preview.feasible import nearest_shares
from mixer.preview.preview import Preview
from streamer import Catalog
from streamer.catalog.manifest import Schema, Shard, part_body
from streamer.store.store import MemoryStore

Fill = Callable[..., Catalog]
SEQ_LEN, BATCH = 8, 16
LANGUAGES = ("c", "go", "java", "python", "rust")


def add_stream(catalog: Catalog, name: str, samples: int, seq_len: int = SEQ_LEN) -> None:
    """A stream of one part, by its entry alone: planning reads no shard."""
    shard = Shard(name="shard.00000.mds", samples=samples, size_bytes=1, xxh3="0")
    schema = Schema(kind="tokens", seq_len=seq_len, dtype="uint16")
    catalog.register("streams", name)
    number = len(catalog.stream_log(name).read())
    catalog.stream_log(name).append(lambda _: part_body(f"{name.replace('/', '-')}-{number}", schema, [shard], None, {}))


def component(glob: str, share: float, **values: Any) -> str:
    lines = [f'streams = "{glob}"', f"share = {share}", *(f"{key} = {value}" for key, value in values.items())]
    return "[[component]]\n" + "\n".join(lines) + "\n"


def mixture(*components: str) -> str:
    return f'name = "m"\nseq_len = {SEQ_LEN}\n' + "".join(components)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[dict[str, int], str]:
    """Streams with their samples, and a mixture over two groups of them."""
    samples = st.integers(2000, 20000)
    streams = {f"{group}/{language}": draw(samples) for group in ("raw", "scored") for language in LANGUAGES}
    share, parts = draw(st.sampled_from([0.3, 0.5, 0.85])), []
    for group, of_run in (("raw", share), ("scored", 1 - share)):
        values: dict[str, Any] = {"when_dry": f'"{draw(st.sampled_from(["stop", "wait", "share", "share"]))}"'}
        if draw(st.booleans()):
            values["pin"] = f"{{ python = {draw(st.sampled_from([0.2, 0.5, 0.7]))} }}"
        within = draw(st.sampled_from(["tokens", "equal", "temperature"]))
        values["within"] = f'"{within}"'
        if within == "temperature":
            values["temperature"] = draw(st.sampled_from([0.7, 1.0, 3.0]))
        if draw(st.booleans()):
            values["max_passes"] = draw(st.integers(1, 5))
        if draw(st.booleans()):
            values["best_share"] = draw(st.sampled_from([0.3, 0.8]))
        parts.append(component(f"{group}/*", of_run, **values))
    return streams, mixture(*parts)


def realise(catalog: Catalog, run: str, steps: int) -> tuple[dict[str, tuple[int, float]], int, bool]:
    """(realised samples and passes by stream, batches, whether it ended or waits before `steps`)."""
    runs, early = Runs(catalog), False
    try:
        runs.extend(run, steps)
    except (RunEnded, WaitError):
        early = True
    end = runs.show(run).end_step
    upto = min(end, runs.show(run).end_step if early else steps)
    return {use.stream: (use.realised_samples, use.passes) for use in runs.use(run, upto)}, upto, early


@given(worlds(), st.sampled_from([500, 2000, 5000]))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_forecast_is_what_a_run_then_draws(world: tuple[dict[str, int], str], steps: int) -> None:
    streams, text = world
    catalog = Catalog(MemoryStore())
    for name, samples in streams.items():
        add_stream(catalog, name, samples)
    mixtures = Mixtures(catalog)
    reference = mixtures.apply(text)
    preview = mixtures.preview(reference, tokens=steps * BATCH * SEQ_LEN)
    Runs(catalog).create("a", mixture=reference, seed=5, global_batch=BATCH, segment_batches=512)
    drawn, upto, early = realise(catalog, "a", steps)
    assert early == (preview.ends_at_tokens is not None) or abs(upto - steps) <= 0.01 * steps
    if preview.ends_at_tokens is not None:
        assert preview.ends_at_tokens / SEQ_LEN / BATCH == pytest.approx(upto, rel=0.01)
    for row in preview.streams:
        samples, passes = drawn[row.stream]
        assert row.tokens / SEQ_LEN == pytest.approx(samples, rel=0.01, abs=2), row
        assert row.passes == pytest.approx(passes, rel=0.01, abs=2 * SEQ_LEN / row.unique_tokens), row


def test_a_preview_of_a_run_goes_on_from_its_pools(root: Path, fill: Fill) -> None:
    fill("raw/python", 100)
    fill("raw/go", 300)
    mixtures, runs = Mixtures(root), Runs(root)
    reference = mixtures.apply(mixture(component("raw/*", 1, within='"equal"', max_passes=4, when_dry='"share"')))
    runs.create("a", mixture=reference, seed=5, global_batch=BATCH)
    runs.extend("a", 32)
    preview = mixtures.preview(reference, tokens=40 * BATCH * SEQ_LEN, run="a")
    assert preview.streams[1].dry_at_tokens == (400 - 256) * 2 * SEQ_LEN
    runs.extend("a", 96)
    used = {use.stream: use.passes for use in runs.use("a", 72)}
    assert {row.stream: row.passes for row in preview.streams} == pytest.approx(used, rel=0.01)
    assert preview.repeated_tokens == pytest.approx((144 + 496 - 44) * SEQ_LEN, rel=0.01)


def test_a_run_of_another_seq_len_is_refused(root: Path, fill: Fill) -> None:
    fill("raw/python", 100)
    add_stream(Catalog(root), "long/go", 100, 16)
    Runs(root).create("a", mixture=Mixtures(root).apply(mixture(component("raw/*", 1))), seed=5, global_batch=BATCH)
    text = mixture(component("long/*", 1)).replace("seq_len = 8", "seq_len = 16")
    with pytest.raises(RunError, match="seq_len 8, mixture m 16"):
        Mixtures(root).preview_text(text, run="a")


def test_caps_that_forbid_a_horizon_are_refused_with_the_best_there_is(root: Path, fill: Fill) -> None:
    for name, samples in (("raw/python", 100), ("raw/go", 300), ("raw/c", 200), ("web/text", 4000)):
        fill(name, samples)
    text = mixture(component("raw/*", 0.5, pin="{ python = 0.5 }", max_passes=2), component("web/*", 0.5, max_passes=10))
    preview = Mixtures(root).preview_text(text, tokens=2000 * SEQ_LEN)
    (refusal,) = preview.refusals
    assert refusal.stream == "raw/python"
    for said in (
        "5.00 times in 16,000 tokens",
        "max_passes is 2",
        "from 0.250000 to at most 0.100000",
        "6,400 tokens",
        "= 5",
    ):
        assert said in refusal.said
    assert preview.feasible is not None
    assert preview.feasible.tokens == preview.ends_at_tokens == 800 * SEQ_LEN
    shares = preview.feasible.shares
    assert shares == pytest.approx({"raw/c": 0.16, "raw/go": 0.24, "raw/python": 0.1, "web/text": 0.5})
    weights = ", ".join(f'"{stream}" = {share * 2}' for stream, share in shares.items() if stream.startswith("raw"))
    again = mixture(component("raw/*", 0.5, within=f"{{ {weights} }}", max_passes=2), component("web/*", 0.5, max_passes=10))
    assert Mixtures(root).preview_text(again, tokens=2000 * SEQ_LEN).feasible is None
    Runs(root).create("a", mixture=Mixtures(root).apply(again), seed=1, global_batch=BATCH, num_steps=2000 // BATCH)


def test_a_pin_is_kept_where_another_key_cannot_keep_its_share(root: Path, fill: Fill) -> None:
    for name, samples in (("raw/python", 1000), ("raw/go", 1000), ("raw/c", 100)):
        fill(name, samples)
    text = mixture(component("raw/*", 1, within="{ go = 1, c = 1, python = 1 }", pin="{ python = 0.5 }", max_passes=1))
    preview = Mixtures(root).preview_text(text, tokens=1000 * SEQ_LEN)
    assert preview.feasible is not None
    assert preview.feasible.shares == pytest.approx({"raw/c": 0.1, "raw/go": 0.4, "raw/python": 0.5})


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 2)), min_size=1, max_size=12), st.data())
def test_the_nearest_shares_sum_to_one_and_keep_every_cap(streams: list[tuple[int, float]], data: st.DataObject) -> None:
    weights = [weight for weight, _ in streams]
    if not sum(weights):
        weights[0] = 1
    names = [
        f"{data.draw(st.sampled_from('ab'))}/{data.draw(st.sampled_from('xyz'))}/{place}" for place in range(len(streams))
    ]
    plan = Plan(
        mixture="m@1", streams=names, shares=to_shares([Fraction(weight) for weight in weights]),
        component=[name[0] for name in names], max_passes=[1] * len(names), limit=[None] * len(names),
        when_dry=["stop"] * len(names), dtype="uint16", tokenizer=None,
    )  # fmt: skip
    most = [limit for _, limit in streams]
    found = nearest_shares(plan, most, {"a": ["x"]})
    if not found:
        assert math.fsum(limit for weight, limit in zip(weights, most, strict=True) if weight) < 1 + 1e-9
        return
    assert math.fsum(found) == pytest.approx(1)
    assert all(share <= limit + 1e-9 for share, limit in zip(found, most, strict=True))
    assert all(share == 0 for share, weight in zip(found, weights, strict=True) if not weight)
    if all(share / ONE <= limit for share, limit in zip(plan.shares, most, strict=True)):
        assert found == pytest.approx([share / ONE for share in plan.shares])


def test_a_horizon_that_no_shares_last_says_so(root: Path, fill: Fill) -> None:
    fill("raw/python", 100)
    fill("raw/go", 100)
    preview = Mixtures(root).preview_text(mixture(component("raw/*", 1, max_passes=2)), tokens=500 * SEQ_LEN)
    assert preview.feasible is not None
    assert (preview.feasible.tokens, preview.feasible.shares) == (400 * SEQ_LEN, {})


def test_an_empty_stream_is_said_to_be_waited_for(root: Path) -> None:
    Catalog(root).create_stream("synthetic/go", seq_len=SEQ_LEN)
    preview = Mixtures(root).preview_text(mixture(component("synthetic/*", 1)), tokens=8000)
    assert preview.ends_at_tokens == 0
    assert "empty" in str(preview.ends)
    assert preview.streams[0].tokens == 0


def test_growth_is_measured_and_moves_the_moment_at_which_a_stream_is_dry(root: Path, fill: Fill) -> None:
    fill("raw/go", 1000)
    fill("raw/python", 100)
    text = mixture(component("raw/*", 1, within='"equal"', max_passes=2, when_dry='"wait"'))
    mixtures = Mixtures(root)
    still = by_stream(mixtures.preview_text(text, tokens_per_s=800.0))
    assert still["raw/python"]["growth_tokens_per_s"] == 0
    assert still["raw/python"]["dry_in_s"] == pytest.approx(200 * SEQ_LEN / 400)
    began = time.time()
    fill("raw/python", 50, 50)
    grown = by_stream(Mixtures(root).preview_text(text, tokens_per_s=1e9))["raw/python"]
    assert grown["growth_tokens_per_s"] >= 100 * SEQ_LEN / (time.time() - began + 3600)
    assert by_stream(Mixtures(root).preview_text(text, tokens_per_s=1e-9))["raw/python"]["dry_in_s"] is None
    assert grown["dry_in_s"] > 400 * SEQ_LEN / 5e8


def by_stream(preview: Preview) -> dict[str, dict[str, Any]]:
    return {row.stream: msgspec.to_builtins(row) for row in preview.streams}


def test_a_preview_writes_nothing_and_settings_are_only_tried(root: Path, fill: Fill) -> None:
    fill("raw/python", 100)
    fill("raw/go", 100)
    mixtures = Mixtures(root)
    reference = mixtures.apply(mixture(component("raw/*", 1)))
    before = sorted(root.rglob("*"))
    tried = mixtures.preview("m", settings={"raw.pin.python": 0.75}, tokens=8000)
    assert {row.key: row.share for row in tried.keys} == pytest.approx({"go": 0.25, "python": 0.75})
    assert {row.key: row.share for row in mixtures.preview(reference).keys} == {"go": 0.5, "python": 0.5}
    for tokens in (-1, 10**19, 10**5000):
        with pytest.raises(MixtureError, match="horizon of .* is outside 0 to"):
            mixtures.preview(reference, tokens=tokens)
    assert sorted(root.rglob("*")) == before


def test_versions_are_compared_in_resolved_shares(root: Path, fill: Fill) -> None:
    for name in ("raw/python", "raw/go", "raw/c"):
        fill(name, 100)
    mixtures = Mixtures(root)
    first = mixtures.apply(mixture(component("raw/*", 1, within="{ python = 1, go = 1, c = 2 }")))
    second = mixtures.apply(mixture(component("raw/*", 1, exclude='"raw/python"', within="{ go = 2, c = 2 }")))
    found = {change.stream: (change.before, change.after) for change in mixtures.compare(first, second)}
    assert found == {"raw/go": (0.25, 0.5), "raw/python": (0.25, 0.0)}
    assert (
        mixtures.compare(first, mixtures.apply(mixture(component("raw/*", 1, within="{ python = 3, go = 3, c = 6 }")))) == []
    )


def test_four_hundred_streams_are_previewed() -> None:
    catalog = Catalog(MemoryStore())
    for number in range(400):
        add_stream(catalog, f"raw/l{number:03}", 1000 + 37 * (number % 23))
    mixtures = Mixtures(catalog)
    reference = mixtures.apply(mixture(component("raw/*", 1, pin="{ l007 = 0.3 }", max_passes=3, when_dry='"share"')))
    preview = mixtures.preview(reference, tokens=10**6)
    assert len(preview.streams) == 400
    assert sum(row.tokens for row in preview.streams) == pytest.approx(10**6, abs=400)
    assert np.isclose(sum(row.share for row in preview.keys), 1)
