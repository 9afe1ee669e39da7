"""A quality curve: the shares that it resolves to are those worked out by hand, and its caps hold in a run to its end."""

import json
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.command_line import main
from mixer import MixtureError, Mixtures, RunEnded, RunError, RunReader, Runs, Trace
from mixer.mixture.curve import spans_of, top_heavy
from mixer.mixture.file import parse_mixture, text_of
from mixer.mixture.plan import Plan
from mixer.order.shares import ONE
from streamer import Catalog
from streamer.scoring.quality_bins import check_bounds

Fill = Callable[..., Catalog]
HEAD = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "scored/*"\nshare = 1\n'
TWENTY = range(95, -1, -5)
# (k + 1)^3 - k^3: the twelfths of a cube of side 12, in proportion to the mean of a square over each twelfth
BY_HAND = {95: 397, 90: 331, 85: 271, 80: 217, 75: 169, 70: 127, 65: 91, 60: 61, 55: 37, 50: 19, 45: 7, 40: 1}


def resolved(mixtures: Mixtures, text: str) -> tuple[Plan, dict[str, Fraction]]:
    """The plan of a text and its exact shares, without a version."""
    plan, exact = mixtures.resolve_parsed(mixtures.parse(text, "m"), "m")
    return plan, dict(zip(plan.streams, exact, strict=True))


def shares(mixtures: Mixtures, curve: str) -> dict[str, Fraction]:
    return resolved(mixtures, HEAD + curve + "\n")[1]


def in_proportion(asked: dict[str, Fraction | int]) -> dict[str, Fraction]:
    total = sum(asked.values())
    return {stream: Fraction(value) / total for stream, value in asked.items() if value}


@pytest.fixture
def twenty(root: Path, fill: Fill) -> Mixtures:
    """Go with 20 tiers of 3 samples, Python with 20 that hold more the better they are, C with four documents' tiers."""
    for tier in TWENTY:
        fill(f"scored/go/q{tier:02d}", 3)
        fill(f"scored/python/q{tier:02d}", 5 + tier)
    for tier in (10, 35, 60, 85):
        fill(f"scored/c/q{tier:02d}", 2)
    return Mixtures(root)


@pytest.fixture
def three(root: Path, fill: Fill) -> Mixtures:
    for language, samples in (("go", 10), ("python", 40)):
        for tier, part in (("q80", 2), ("q50", 3), ("q00", 5)):
            fill(f"scored/{language}/{tier}", samples * part)
    return Mixtures(root)


def test_top_heavy_over_twenty_tiers_is_as_by_hand(twenty: Mixtures) -> None:
    found = shares(twenty, 'curve = "top-heavy"\nexclude = "scored/c/*"')
    asked = {f"scored/go/q{tier}": 3 * weight for tier, weight in BY_HAND.items()}
    asked |= {f"scored/python/q{tier}": (5 + tier) * weight for tier, weight in BY_HAND.items()}
    assert found == in_proportion(asked)
    assert len(found) == 24  # the tiers below q40 are left out


def test_top_heavy_over_three_tiers_is_as_by_hand(three: Mixtures) -> None:
    found = shares(three, 'curve = "top-heavy"')
    weights = {"q80": Fraction(95, 27), "q50": Fraction(35, 36), "q00": Fraction(1, 108)}
    assert found == in_proportion(
        {f"scored/{language}/{tier}": weight * size * part for language, size in (("go", 10), ("python", 40))
         for (tier, weight), part in zip(weights.items(), (2, 3, 5), strict=True)}
    )  # fmt: skip
    assert sum(found[f"scored/go/{tier}"] for tier in weights) == Fraction(1, 5)  # languages keep their tokens


def test_a_tier_of_a_small_language_ends_where_its_next_one_begins(twenty: Mixtures) -> None:
    found = shares(twenty, 'curve = "top-heavy"\nexclude = ["scored/go/*", "scored/python/*"]')
    assert found == in_proportion({
        "scored/c/q85": Fraction(60**3 - 45**3, 15), "scored/c/q60": Fraction(45**3 - 20**3, 25),
        "scored/c/q35": Fraction(20**3, 25),
    })  # fmt: skip


def test_a_curve_reckons_with_tiers_that_another_component_has(three: Mixtures) -> None:
    text = HEAD.replace("share = 1", 'share = 0.5\nexclude = "scored/*/q80"\ncurve = "top-heavy"')
    _, found = resolved(three, text + '[[component]]\nname = "best"\nstreams = "scored/*/q80"\nshare = 0.5\n')
    assert found["scored/go/q50"] / found["scored/go/q00"] == Fraction(35, 36) * 3 / (Fraction(1, 108) * 5)


def test_a_table_of_three_keys_weighs_twenty_tiers(twenty: Mixtures) -> None:
    found = shares(twenty, "curve = { q95 = 4, q80 = 2.5, q40 = 1 }\nexclude = 'scored/c/*'")
    weights = {tier: Fraction(4 if tier >= 95 else 2.5 if tier >= 80 else tier >= 40) for tier in TWENTY}
    asked = {f"scored/go/q{tier}": 3 * weight for tier, weight in weights.items() if tier >= 40}
    asked |= {f"scored/python/q{tier}": (5 + tier) * weight for tier, weight in weights.items() if tier >= 40}
    assert found == in_proportion(asked)


def test_a_language_that_lacks_a_tier_of_the_set_has_the_weight_of_the_key_below(twenty: Mixtures) -> None:
    plan, found = resolved(twenty, HEAD + "curve = { q95 = 4, q80 = { weight = 2, max_passes = 3 }, q40 = 1 }\n")
    assert found["scored/c/q85"] / found["scored/c/q60"] == 2
    assert "scored/c/q35" not in found
    caps = dict(zip(plan.streams, plan.max_passes, strict=True))
    assert caps["scored/c/q85"] == caps["scored/go/q90"] == 3
    assert caps["scored/go/q95"] is caps["scored/c/q60"] is None


def test_pins_hold_and_the_curve_divides_what_they_give(three: Mixtures) -> None:
    found = shares(three, "curve = { q80 = 4, q50 = 1 }\npin = { go = 0.7 }")
    assert found == {
        "scored/go/q80": Fraction(7, 10) * Fraction(8, 11), "scored/go/q50": Fraction(7, 10) * Fraction(3, 11),
        "scored/python/q80": Fraction(3, 10) * Fraction(8, 11), "scored/python/q50": Fraction(3, 10) * Fraction(3, 11),
    }  # fmt: skip
    by_stream = shares(three, 'curve = { q80 = 4, q50 = 1 }\npin = { "scored/go/q50" = 0.5 }')
    rest = in_proportion({"scored/go/q80": 10 * 2 * 4, "scored/python/q80": 40 * 2 * 4, "scored/python/q50": 40 * 3})
    assert by_stream == {"scored/go/q50": Fraction(1, 2), **{name: share / 2 for name, share in rest.items()}}


def test_keys_share_like_other_streams_and_tiers_by_the_curve(three: Mixtures, fill: Fill) -> None:
    fill("raw/go", 30)
    fill("raw/python", 10)
    found = shares(three, 'curve = { q80 = 4, q50 = 1 }\nwithin = "like"\nlike = "raw/*"')
    assert found == {
        "scored/go/q80": Fraction(3, 4) * Fraction(8, 11), "scored/go/q50": Fraction(3, 4) * Fraction(3, 11),
        "scored/python/q80": Fraction(1, 4) * Fraction(8, 11), "scored/python/q50": Fraction(1, 4) * Fraction(3, 11),
    }  # fmt: skip


def test_each_scored_set_has_tiers_of_its_own(three: Mixtures, fill: Fill) -> None:
    for tier in TWENTY:
        fill(f"scored@edu/go/q{tier:02d}", 3)
    found = resolved(three, HEAD.replace("scored", "scored@edu") + 'name = "edu"\ncurve = "top-heavy"\n')[1]
    assert found == in_proportion({f"scored@edu/go/q{tier}": weight for tier, weight in BY_HAND.items()})
    both = HEAD.replace('"scored/*"', '["scored/*", "scored@edu/*"]')
    assert resolved(three, both + "curve = { q80 = 4, q50 = 1 }\n")
    with pytest.raises(MixtureError, match=r"curve\.q95: no tier of scored/\* begins there, but at q80, q50, q00"):
        resolved(three, both + "curve = { q95 = 4, q50 = 1 }\n")


def test_tiers_without_samples_share_by_weight_alone(root: Path) -> None:
    catalog = Catalog(root)
    for tier in ("q80", "q50", "q00"):
        catalog.create_stream(f"scored/go/{tier}", seq_len=8)
    found = shares(Mixtures(root), "curve = { q80 = 3, q50 = 1 }")
    assert found == {"scored/go/q80": Fraction(3, 4), "scored/go/q50": Fraction(1, 4)}


BOUNDS = st.sets(st.integers(1, 99), max_size=25).map(lambda bounds: check_bounds([*sorted(bounds, reverse=True), 0]))


@given(BOUNDS)
def test_top_heavy_is_one_on_the_mean_rises_and_does_not_depend_on_the_cut(bounds: tuple[int, ...]) -> None:
    spans = list(zip(bounds, (100, *bounds), strict=False))
    weights = [top_heavy(*span) for span in spans]
    assert sum(weight * (end - begin) for weight, (begin, end) in zip(weights, spans, strict=True)) == 100
    assert weights == sorted(weights, reverse=True)
    assert all((weight == 0) == (end <= 40) for weight, (_, end) in zip(weights, spans, strict=True))
    for weight, (begin, end) in zip(weights, spans, strict=True):
        assert weight == sum(top_heavy(at, at + 1) for at in range(begin, end)) / (end - begin)
        middles = (begin + (end - begin) * (2 * place + 1) / 800 for place in range(400))
        assert float(weight) == pytest.approx(sum(5 * max(0.0, (x - 40) / 60) ** 2 for x in middles) / 400, abs=1e-5)
    names = {f"scored/go/q{bound:02d}": bound for bound in bounds}
    assert spans_of(list(names), names) == spans


TIERS = st.sampled_from([f"q{tier:02d}" for tier in TWENTY])
CURVES = st.dictionaries(
    TIERS,
    st.one_of(
        st.integers(0, 9), st.floats(0, 9),
        st.fixed_dictionaries({"weight": st.floats(0.5, 9)}, optional={"max_passes": st.integers(1, 4)}),
    ),
    min_size=1,
).filter(lambda curve: any(isinstance(tier, dict) or tier for tier in curve.values()))  # fmt: skip


@given(CURVES)
def test_a_curve_survives_being_written_and_edited(curve: dict[str, Any]) -> None:
    mixture = parse_mixture(HEAD + f"curve = {toml(curve)}\n", lambda _: {}).mixture
    assert parse_mixture(text_of(mixture), lambda _: {}).mixture == mixture


def toml(curve: dict[str, Any]) -> str:
    return json.dumps(curve).replace(":", " =").replace("{", "{ ").replace("}", " }")


def test_a_curve_is_edited_entry_by_entry_shown_compared_and_extended(three: Mixtures) -> None:
    assert three.apply(HEAD + "[component.curve]\nq80 = 4\n[component.curve.q50]\nweight = 1\nmax_passes = 2\n") == "m@1"
    assert "curve = { q80 = 4.0, q50 = { weight = 1.0, max_passes = 2 } }\n" in three.text("m@1")
    assert three.edit("m", ["scored.curve.q80=9"]) == "m@2"
    assert {change.stream: (change.before, change.after) for change in three.compare("m@1", "m@2")} == {
        "scored/go/q80": (8 / 55, 18 / 105), "scored/go/q50": (3 / 55, 3 / 105),
        "scored/python/q80": (32 / 55, 72 / 105), "scored/python/q50": (12 / 55, 12 / 105),
    }  # fmt: skip
    assert three.apply_edit("m@2", {"scored.curve.q50": None}) == "m@3"
    assert three.document("m@3")["component"][0]["curve"] == {"q80": 9.0}
    assert three.apply('extends = "m@1"\nname = "n"\n[set]\n"scored.curve" = "top-heavy"\n') == "n@1"
    three.set_shares("m", {"go": "50%"})
    assert shares(three, "curve = { q80 = 9 }\npin = { go = 0.5 }") == {"scored/go/q80": 0.5, "scored/python/q80": 0.5}
    assert {row.stream: row.share for row in three.preview("m@4").streams} == {
        "scored/go/q80": 0.5, "scored/python/q80": 0.5,
    }  # fmt: skip
    with pytest.raises(MixtureError, match="curve is 'top-heavy', not a table; set scored.curve to a whole table"):
        three.edit("n", ["scored.curve.q80=9"])
    assert Mixtures(three.catalog).load("m@1")[1] == three.load("m@1")[1]


def test_a_preview_shows_each_tiers_cap_and_refuses_what_it_forbids(three: Mixtures) -> None:
    three.apply(HEAD + "max_passes = 6\ncurve = { q80 = { weight = 4, max_passes = 2 }, q50 = 1 }\n")
    found = three.preview("m", tokens=8 * 250)
    assert {row.stream: row.max_passes for row in found.streams} == {
        "scored/go/q80": 2, "scored/go/q50": 6, "scored/python/q80": 2, "scored/python/q50": 6,
    }  # fmt: skip
    assert {row.stream: row.passes for row in found.streams if row.key == "go"} == pytest.approx(
        {"scored/go/q80": 250 * 8 / 11 / 5 / 20, "scored/go/q50": 250 * 3 / 11 / 5 / 30}, rel=1e-3
    )
    assert found.refusals == []
    longer = three.preview("m", tokens=8 * 400)
    assert {row.stream for row in longer.refusals} == {"scored/go/q80", "scored/python/q80"}
    assert longer.ends_at_tokens == pytest.approx(8 * 2 * 100 * 11 / 8, abs=16)
    with pytest.raises(RunError, match=r"stream scored/\w+/q80 would be seen .* max_passes is 2"):
        Runs(three.catalog).create("a", mixture="m", seed=1, global_batch=10, num_steps=40)


@pytest.mark.parametrize("when_dry", ["share", "stop"])
def test_no_tier_is_seen_more_often_than_its_cap_to_the_end_of_a_run(three: Mixtures, when_dry: str) -> None:
    caps = {"q80": 4, "q50": 2, "q00": 1}
    curve = ", ".join(f"{tier} = {{ weight = {weight}, max_passes = {caps[tier]} }}"
                      for tier, weight in (("q80", 5), ("q50", 2), ("q00", 0.5)))  # fmt: skip
    three.apply(HEAD + f'curve = {{ {curve} }}\nwhen_dry = "{when_dry}"\n')
    Runs(three.catalog).create("a", mixture="m", seed=5, global_batch=7, segment_batches=4)
    seen = Counter[tuple[str, int]]()
    reader = RunReader(three.catalog.store.url, "a")

    def read_to_the_end() -> None:
        for step in range(1000):
            seen.update((reader.streams[one["stream"]], int(one["row"])) for one in reader.read(step).origin)

    with pytest.raises(RunEnded, match="max_passes = "):
        read_to_the_end()
    most = {stream: max(times for (name, _), times in seen.items() if name == stream) for stream in reader.streams}
    capped = {stream: caps[stream.rpartition("/")[2]] for stream in reader.streams}
    if when_dry == "share":
        assert most == capped
        assert seen.total() == 5 * (20 * 4 + 30 * 2 + 50) // 7 * 7
    else:
        assert all(times <= capped[stream] for stream, times in most.items())
        assert most["scored/go/q80"] == most["scored/python/q80"] == 4
        assert most["scored/go/q00"] == 1


def test_a_run_under_a_curve_draws_its_shares_and_is_traced(three: Mixtures, capsys: pytest.CaptureFixture[str]) -> None:
    root = three.catalog.store.url
    three.apply(HEAD + "curve = { q80 = 4, q50 = 1 }\n")
    Runs(three.catalog).create("a", mixture="m", seed=5, global_batch=11)
    drawn = Counter[str]()
    with RunReader(root, "a") as reader:
        for step in range(20):
            batch = reader.read(step)
            drawn.update(reader.streams[one["stream"]] for one in batch.origin)
            traced = [(row.stream, row.row) for row in Trace(root, "a").batch(step)]
            assert traced == [(reader.streams[one["stream"]], one["row"]) for one in batch.origin]
    plan = three.resolve("m@1")
    for stream, share in zip(plan.streams, plan.shares, strict=True):
        assert abs(drawn[stream] - 220 * share / ONE) < 1
    assert main(["runs", "trace", "a", "--batch", "0", "--root", root]) == 0
    assert "scored/python/q80" in capsys.readouterr().out


def test_the_commands_take_a_curve(three: Mixtures, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, root = tmp_path / "curve.toml", ["--root", three.catalog.store.url]
    path.write_text(HEAD + 'curve = "top-heavy"\n')
    assert main(["mixtures", "apply", str(path), *root]) == 0
    assert main(["mixtures", "edit", "m", "--set", "scored.curve={q80={weight=4,max_passes=3},q50=1}", *root]) == 0
    capsys.readouterr()
    assert main(["mixtures", "preview", "m", "--json", *root]) == 0
    rows = {row["stream"]: row for row in json.loads(capsys.readouterr().out)["streams"]}
    assert rows["scored/go/q80"]["share"] == pytest.approx(8 / 11 / 5)
    assert rows["scored/go/q80"]["max_passes"] == 3
    assert main(["mixtures", "diff", "m@1", "m@2", "--json", *root]) == 0
    changes = {row["stream"]: row for row in json.loads(capsys.readouterr().out)}
    assert changes["scored/go/q00"]["after"] == 0 < changes["scored/go/q00"]["before"]
    assert main(["mixtures", "show", "m", *root]) == 0
    assert "curve = { q80 = { weight = 4.0, max_passes = 3 }, q50 = 1.0 }" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('curve = "top-heavi"', "curve = 'top-heavi': .*did you mean 'top-heavy'"),
        ("curve = { q90 = 4, q50 = 1 }", "curve.q90: no tier of scored/. begins there, but at q80, q50, q00; name one"),
        ("curve = { q80 = 4 }\nexclude = 'scored/*/q80'", "curve: it leaves out all tiers of the component .q50, q00."),
        ("curve = { q80 = 4 }\npin = { 'scored/go/q00' = 0.5 }", "pin.scored/go/q00 = 0.5: nothing of it is taken"),
    ],
)
def test_a_curve_that_does_not_fit_the_catalog_is_refused(three: Mixtures, lines: str, said: str) -> None:
    with pytest.raises(MixtureError, match=said) as refused:
        three.apply(HEAD + lines + "\n")
    assert "\n" not in str(refused.value)
    assert three.list() == []


@pytest.mark.parametrize("key", ['curve = "top-heavy"', "curve = { q80 = 1 }", "best_share = 0.5", "best_tokens = 16"])
def test_tiers_that_two_annotators_ranked_are_not_compared(root: Path, key: str) -> None:
    catalog = Catalog(root)
    for stream, annotator in (("scored/go/q80", "a@1"), ("scored@b/go/q80", "b@2"), ("scored/c/q80", "a@1")):
        catalog.append(stream, np.ones((3, 8), np.uint16), seq_len=8, extra={"annotator": annotator})
    text = HEAD.replace('"scored/*"', '"scored*"').replace("share", 'name = "tiers"\nshare')
    said = r"scored/c/q80 is scored by a@1, scored@b/go/q80 is scored by b@2, and their tiers cannot be compared"
    with pytest.raises(MixtureError, match=said):
        resolved(Mixtures(root), text + key)
    assert len(resolved(Mixtures(root), text.replace('"scored*"', '"scored/*"') + key)[1]) == 2
    assert len(resolved(Mixtures(root), text)[1]) == 3
