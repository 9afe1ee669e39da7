"""Shares asked for by component and by language: what is asked is given, the rest keeps its proportions."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.command_line import main
from mixer import MixtureError, Mixtures
from mixer.mixture.wanted import parse_wanted, rescale, share_of
from streamer import Catalog

THREE = """name = "m"
seq_len = 8
[[component]]
streams = "raw/*"
share = 0.5
pin = { go = 0.3, rust = 0.2 }
[[component]]
streams = "scored/*"
share = 0.3
[[component]]
streams = "synthetic/*"
share = 0.2
"""


@pytest.fixture
def mixtures(root: Path, fill: Callable[..., Catalog]) -> Mixtures:
    """Three components: four languages in raw, two of which are pinned, two in scored, one in synthetic."""
    for name in ("raw/c", "raw/go", "raw/python", "raw/rust", "scored/go", "scored/python", "synthetic/python"):
        fill(name, 10)
    found = Mixtures(root)
    found.apply(THREE)
    return found


def shares(mixtures: Mixtures, reference: str = "m") -> dict[str, float]:
    return {row.stream: row.share for row in mixtures.preview(reference).streams}


def of_key(found: dict[str, float], key: str) -> float:
    return sum(share for stream, share in found.items() if stream.split("/")[1] == key)


def test_a_component_and_a_language_get_their_shares_and_the_rest_keeps_its_proportions(mixtures: Mixtures) -> None:
    before = shares(mixtures)
    assert mixtures.set_shares("m", {"synthetic": "40%", "python": 0.6}) == "m@2"
    after = shares(mixtures)
    assert after["synthetic/python"] == pytest.approx(0.4)
    assert of_key(after, "python") == pytest.approx(0.6)
    assert sum(after.values()) == pytest.approx(1)
    for one, other in (("raw/go", "raw/rust"), ("raw/go", "raw/c")):
        assert after[one] / after[other] == pytest.approx(before[one] / before[other])


def test_languages_that_fill_a_component_push_its_pins_aside(mixtures: Mixtures) -> None:
    mixtures.set_shares("m", {"python": 0.7, "go": 0.3})
    found = shares(mixtures)
    assert (of_key(found, "python"), of_key(found, "go")) == pytest.approx((0.7, 0.3))


@given(python=st.integers(20, 95), synthetic=st.integers(0, 20))
def test_what_is_asked_for_is_what_is_resolved(
    python: int, synthetic: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    asked = {"python": f"{python}%", "synthetic": f"{synthetic}%"}
    settings = WORLD(tmp_path_factory).settings_for("m", asked)
    found = WORLD(tmp_path_factory).preview("m", settings=settings).streams
    assert sum(row.share for row in found if row.key == "python") == pytest.approx(python / 100, abs=1e-9)
    assert sum(row.share for row in found if row.component == "synthetic") == pytest.approx(synthetic / 100, abs=1e-9)


class World:
    """One catalog for all examples, which only read it."""

    made: Mixtures | None = None

    def __call__(self, folders: pytest.TempPathFactory) -> Mixtures:
        if self.made is None:
            import numpy as np

            catalog = Catalog(folders.mktemp("catalog"))
            for name in ("raw/c", "raw/go", "raw/python", "synthetic/python"):
                catalog.append(name, np.zeros((5, 8), np.uint16), seq_len=8)
            self.made = Mixtures(catalog)
            text = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 0.9\n'
            self.made.apply(text + '[[component]]\nstreams = "synthetic/*"\nshare = 0.1\n')
        return self.made


WORLD = World()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"syntetic": "40%"}, "did you mean 'synthetic'"),
        ({"synthetic": "60%", "raw": "50%"}, "is 110 %"),
        ({"synthetic": "10%", "raw": "10%", "scored": "10%"}, "no other component"),
        ({"c": "60%"}, "in raw alone, which can give 0 % to 50 %"),
        ({"python": "10%"}, "which can give 20 % to 100 %"),
        ({"python": "80%", "go": "40%"}, "sum to"),
        ({"python": "50"}, "from 0% to 100%"),
        ({"python": -0.1}, "from 0% to 100%"),
        ({"python": float("nan")}, "from 0% to 100%"),
    ],
)
def test_what_cannot_be_is_refused_and_makes_no_version(
    mixtures: Mixtures, asked: dict[str, str | float], said: str
) -> None:
    with pytest.raises(MixtureError, match="mixture m@1") as refused:
        mixtures.set_shares("m", asked)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert mixtures.list() == [("m", 1)]


def test_a_word_that_is_a_component_and_a_language_is_refused_unless_both_are_the_same(
    root: Path, fill: Callable[..., Catalog]
) -> None:
    for name in ("raw/c", "raw/go", "synthetic/go"):
        fill(name, 10)
    mixtures = Mixtures(root)
    two = (
        'seq_len = 8\n[[component]]\nname = "go"\nstreams = "{}"\nshare = 0.5\n[[component]]\nstreams = "{}"\nshare = 0.5\n'
    )
    mixtures.apply('name = "mixed"\n' + two.format("synthetic/go", "raw/*"))
    with pytest.raises(MixtureError, match="is a component and a language"):
        mixtures.set_shares("mixed", {"go": "20%"})
    mixtures.apply('name = "apart"\n' + two.format("synthetic/go", "raw/c"))
    mixtures.set_shares("apart", {"go": "20%"})
    assert shares(mixtures, "apart") == pytest.approx({"synthetic/go": 0.2, "raw/c": 0.8})


def test_the_command_shows_first_and_writes_then(mixtures: Mixtures, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["mixtures", "set", "m", "synthetic=40%", "--root", mixtures.catalog.store.url]
    assert main([*words, "--preview"]) == 0
    assert "synthetic/python" in capsys.readouterr().out
    assert mixtures.list() == [("m", 1)]
    assert main([*words, "--why", "more of ours"]) == 0
    assert "against m@1" in capsys.readouterr().out
    assert [version.why for version in mixtures.versions("m")] == [None, "more of ours"]


@pytest.mark.parametrize("texts", [["python"], ["=40%"], ["go=1%", "go=2%"]])
def test_a_text_that_is_no_share_is_refused(texts: list[str]) -> None:
    with pytest.raises(MixtureError, match="NAME=SHARE|given twice"):
        parse_wanted(texts)


def test_shares_are_read_exactly() -> None:
    assert share_of("a", "12.5%") == Fraction(1, 8)
    assert share_of("a", 0.1) == Fraction(1, 10)
    assert rescale({"a": Fraction(1, 2), "b": Fraction(1, 2)}, {}) == {"a": Fraction(1, 2), "b": Fraction(1, 2)}
