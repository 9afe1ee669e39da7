"""The paper's three phases from the recipes, previewed against a catalog of the paper's size that has no shards."""

from pathlib import Path

import pytest
from test_preview import add_stream

from mixer import Mixtures
from mixer.preview.preview import Preview
from streamer import Catalog
from streamer.store.store import MemoryStore

RECIPES = Path(__file__).parents[3] / "deploy" / "recipes" / "mixtures"
SEQ_LEN = 8192
LANGUAGES = [
    "python", "java", "cpp", "c", "javascript", "php", "csharp", "go", "typescript", "sql", "ruby", "rust", "jupyter",
    "scala", "kotlin", "shell", "dart", "swift",
]  # fmt: skip
CORPUS = 400_000_000_000 // SEQ_LEN
SYNTHETIC = 2_000_000_000 // SEQ_LEN
BINS = {"q99": 0.01, "q97": 0.02, "q90": 0.07, "q50": 0.4, "q00": 0.5}


@pytest.fixture(scope="module")
def mixtures() -> Mixtures:
    catalog = Catalog(MemoryStore())
    uneven = {language: 1 / (place + 1.7) for place, language in enumerate(LANGUAGES)}
    for language, weight in uneven.items():
        samples = round(CORPUS * weight / sum(uneven.values()))
        add_stream(catalog, f"raw/{language}", samples, SEQ_LEN)
        add_stream(catalog, f"synthetic/{language}", round(SYNTHETIC * weight**2), SEQ_LEN)
        for name, part in BINS.items():
            add_stream(catalog, f"scored/{language}/{name}", round(samples * part), SEQ_LEN)
    mixtures = Mixtures(catalog)
    for name in ("general", "continued", "enhanced"):
        assert mixtures.apply((RECIPES / f"{name}.toml").read_text()) == f"{name}@1"
    return mixtures


def test_phase_one_goes_a_quarter_more_than_once_over_the_corpus(mixtures: Mixtures) -> None:
    preview = mixtures.preview("general", tokens=500 * 10**9)
    assert [row.passes for row in preview.keys] == pytest.approx([1.25] * 18, rel=1e-4)
    assert preview.unique_tokens == pytest.approx(400e9, rel=1e-6)
    assert preview.repeated_tokens == pytest.approx(100e9, rel=1e-4)
    assert preview.refusals == []


def test_phase_two_sees_the_best_twelve_and_a_half_billion_four_times(mixtures: Mixtures) -> None:
    preview = mixtures.preview("continued", tokens=50 * 10**9)
    samples = 12_500_000_000 // SEQ_LEN
    assert preview.unique_tokens == samples * SEQ_LEN
    assert preview.refusals == []
    assert [row.passes for row in preview.streams] == pytest.approx([4.0] * len(preview.streams), rel=1e-5)
    longer = mixtures.preview("continued", tokens=51 * 10**9)
    assert longer.ends_at_tokens == pytest.approx(4 * samples * SEQ_LEN, abs=18 * 5 * SEQ_LEN)
    assert longer.ends_at_tokens == pytest.approx(50e9, rel=1e-6)
    assert longer.refusals
    corpus = {row.key: row.share for row in mixtures.preview("general").keys}
    assert {row.key: row.share for row in preview.keys} == pytest.approx(corpus, rel=5e-5)
    bins = {row.stream.split("/")[2] for row in preview.streams}
    assert bins == {"q99", "q97", "q90"}


@pytest.mark.parametrize(("name", "passes"), [("1x50b", 1), ("2x25b", 2), ("3x16.7b", 3), ("5x10b", 5)])
def test_table_6s_repetitions_are_mixtures_of_their_own(mixtures: Mixtures, name: str, passes: int) -> None:
    assert mixtures.apply((RECIPES / f"continued-{name}.toml").read_text()) == f"continued-{name}@1"
    preview = mixtures.preview(f"continued-{name}", tokens=50 * 10**9)
    assert preview.refusals == []
    assert [row.passes for row in preview.streams] == pytest.approx([passes] * len(preview.streams), rel=3e-3)


@pytest.mark.parametrize("annotator", ["edu", "ins", "hq"])
def test_table_4s_annotators_are_mixtures_of_their_own(mixtures: Mixtures, annotator: str) -> None:
    for language in LANGUAGES:
        add_stream(mixtures.catalog, f"scored@{annotator}/{language}/q90", CORPUS // 180, SEQ_LEN)
    assert mixtures.apply((RECIPES / f"continued-{annotator}.toml").read_text()) == f"continued-{annotator}@1"
    preview = mixtures.preview(f"continued-{annotator}", tokens=50 * 10**9)
    assert {row.stream.split("/")[0] for row in preview.streams} == {f"scored@{annotator}"}
    assert [row.passes for row in preview.keys] == pytest.approx([4.0] * 18, rel=1e-4)


def test_phase_three_pins_python_and_keeps_the_ratios_of_the_others(mixtures: Mixtures) -> None:
    preview = mixtures.preview("enhanced", tokens=5 * 10**9)
    assert preview.refusals == []
    assert {row.name: row.share for row in preview.components} == pytest.approx({"synthetic": 0.9, "scored": 0.1}, rel=1e-9)
    unpinned = mixtures.preview("enhanced", settings={"synthetic.pin": None, "scored.pin": None})
    for component, of_run in (("synthetic", 0.9), ("scored", 0.1)):
        now, before = (languages(one, component) for one in (preview, unpinned))
        assert now["python"] == pytest.approx(of_run / 2, rel=1e-9)
        assert before["python"] != pytest.approx(of_run / 2, rel=0.01)
        for one in LANGUAGES[1:]:
            for other in LANGUAGES[1:]:
                assert now[one] / now[other] == pytest.approx(before[one] / before[other], abs=1e-9, rel=1e-9)


def languages(preview: Preview, component: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for row in preview.streams:
        if row.component == component:
            shares[row.key] = shares.get(row.key, 0.0) + row.share
    return shares


def test_an_ablation_of_the_third_phase_is_one_line(mixtures: Mixtures) -> None:
    made = mixtures.apply('extends = "enhanced@1"\n[set]\n"synthetic.pin.python" = 0.4\n')
    changed = {change.stream for change in mixtures.compare("enhanced@1", made)}
    assert changed == {f"synthetic/{language}" for language in LANGUAGES}
    assert mixtures.versions("enhanced")[1].extends == "enhanced@1"
