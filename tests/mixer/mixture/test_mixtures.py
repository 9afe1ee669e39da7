"""What the language of mixtures means, and that versions are immutable, in order and remembered."""

import json
import math
import sys
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixer import MixtureError, Mixtures
from mixer.faults import fits
from mixer.mixture.file import parse_mixture, text_of
from mixer.mixture.grammar import COMPONENT, DEFINITIONS, schema
from mixer.mixture.mixture import Component, Mixture, document_of
from mixer.mixture.places import line_of
from mixer.order.shares import ONE
from streamer import Catalog

Fill = Callable[..., Catalog]
HEAD = 'name = "m"\nseq_len = 8\n[[component]]\nstreams = "raw/*"\nshare = 1\n'


def shares(mixtures: Mixtures, text: str) -> dict[str, float]:
    plan = mixtures.resolve(mixtures.apply(text))
    return {stream: share / ONE for stream, share in zip(plan.streams, plan.shares, strict=True)}


@pytest.fixture
def mixtures(root: Path, fill: Fill) -> Mixtures:
    for name, samples in (("raw/python", 80), ("raw/go", 20), ("raw/c", 10)):
        fill(name, samples)
    return Mixtures(root)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 3.3])
def test_temperature_gives_keys_their_tokens_to_the_power_of_one_over_it(mixtures: Mixtures, temperature: float) -> None:
    found = shares(mixtures, HEAD + f'within = "temperature"\ntemperature = {temperature}\n')
    powers = {name: samples ** (1 / temperature) for name, samples in (("raw/python", 80), ("raw/go", 20), ("raw/c", 10))}
    assert found == pytest.approx({name: power / math.fsum(powers.values()) for name, power in powers.items()}, abs=1e-11)


def test_temperature_is_between_keys_and_the_streams_of_a_key_share_by_tokens(root: Path, fill: Fill) -> None:
    for name, samples in (("scored/go/q90", 10), ("scored/go/q50", 30), ("scored/python/q90", 160)):
        fill(name, samples)
    text = HEAD.replace("raw", "scored") + 'within = "temperature"\ntemperature = 2\n'
    found = shares(Mixtures(root), text)
    assert found == pytest.approx({"scored/go/q90": 1 / 12, "scored/go/q50": 1 / 4, "scored/python/q90": 2 / 3}, abs=1e-11)


def test_a_temperature_resolves_to_the_same_integers_everywhere(mixtures: Mixtures) -> None:
    plan = mixtures.resolve(mixtures.apply(HEAD + 'within = "temperature"\ntemperature = 3.3\n'))
    assert dict(zip(plan.streams, plan.shares, strict=True)) == {
        "raw/c": 267417304780, "raw/go": 329921575989, "raw/python": 502172747007,
    }  # fmt: skip


def test_a_stream_is_pinned_by_its_name_and_a_key_by_its_word(root: Path, fill: Fill) -> None:
    for name, samples in (("web/2023/a", 10), ("web/2023/b", 30), ("web/2024/a", 40), ("web/2025/a", 20)):
        fill(name, samples)
    text = HEAD.replace("raw", "web") + 'pin = { "2023" = 0.6, "web/2025/a" = 0.3 }\n'
    found = shares(Mixtures(root), text)
    assert found == pytest.approx({"web/2023/a": 0.15, "web/2023/b": 0.45, "web/2024/a": 0.1, "web/2025/a": 0.3})


@pytest.mark.parametrize("pins", [(0.6666666667, 0.3333333334), (0.6666666666, 0.3333333333), (2 / 3, 1 / 3)])
def test_pins_that_sum_to_one_within_a_billionth_leave_nothing(root: Path, fill: Fill, pins: tuple[float, float]) -> None:
    for name, samples in (("raw/python", 10), ("raw/go", 30), ("raw/c", 20)):
        fill(name, samples)
    python, go = pins
    text = HEAD + f"pin = {{ python = {python!r}, go = {go!r} }}\n"
    alone = shares(Mixtures(root), text + 'exclude = "raw/c"\n')
    assert alone == pytest.approx({"raw/python": 2 / 3, "raw/go": 1 / 3})
    beside = shares(Mixtures(root), text)
    assert 0 <= beside["raw/c"] < 1e-9


def test_best_share_takes_that_part_of_each_key_from_the_top(root: Path, fill: Fill) -> None:
    for language, samples in (("python", 40), ("go", 20)):
        for low in ("q80", "q50", "q00"):
            fill(f"scored/{language}/{low}", samples)
    mixtures = Mixtures(root)
    plan = mixtures.resolve(mixtures.apply(HEAD.replace("raw", "scored") + "best_share = 0.5\n"))
    assert dict(zip(plan.streams, plan.limit, strict=True)) == {
        "scored/go/q50": 10, "scored/go/q80": 20, "scored/python/q50": 20, "scored/python/q80": 40,
    }  # fmt: skip


def test_exclusions_leave_streams_out_and_components_have_names(mixtures: Mixtures) -> None:
    text = HEAD.replace("share = 1", 'share = 0.5\nexclude = ["raw/c", "raw/g*"]')
    text += '[[component]]\nname = "small"\nstreams = ["raw/c", "raw/go"]\nshare = 0.5\nwithin = "equal"\n'
    assert shares(mixtures, text) == {"raw/python": 0.5, "raw/c": 0.25, "raw/go": 0.25}
    assert shares(mixtures, mixtures.text(mixtures.edit("m", ["small.within={c=3, go=1}"])))["raw/c"] == 0.375


def test_an_extended_version_is_the_file_written_out(mixtures: Mixtures) -> None:
    mixtures.apply(HEAD + "pin = { python = 0.5 }\nmax_passes = 3\n")
    made = mixtures.apply('name = "n"\nextends = "m@1"\nunset = ["raw.max_passes"]\n[set]\n"raw.pin.python" = 0.4\n')
    assert made == "n@1"
    assert mixtures.document(made) == {
        "name": "n", "seq_len": 8, "component": [{"streams": "raw/*", "share": 1.0, "pin": {"python": 0.4}}],
    }  # fmt: skip
    assert mixtures.apply('extends = "m@1"\n[set]\n"raw.max_passes" = 4\n') == "m@2"
    assert mixtures.apply(HEAD + "pin = { python = 0.5 }\nmax_passes = 4\n") == "m@2"
    assert mixtures.apply('extends = "m@2"\n[set]\n"raw.pin" = { go = 0.5 }\n') == "m@3"
    assert mixtures.document("m@3")["component"][0]["pin"] == {"go": 0.5}
    assert mixtures.document("m@1")["component"][0]["pin"] == {"python": 0.5}


def test_a_version_remembers_by_whom_why_when_and_of_what(mixtures: Mixtures) -> None:
    mixtures.apply(HEAD, by="operator", why="the first")
    mixtures.apply_edit("m@1", {"raw.max_passes": 4}, by="ben")
    mixtures.apply_edit("m", {"raw.max_passes": None}, by="operator")
    first, second, third = Mixtures(mixtures.catalog.store).versions("m")
    assert (first.mixture, first.by, first.why, first.extends) == ("m@1", "operator", "the first", None)
    assert (second.by, second.why, second.extends, third.extends) == ("ben", None, "m@1", "m@2")
    assert first.at_s <= second.at_s <= third.at_s
    assert mixtures.document("m@3") == mixtures.document("m@1")
    with pytest.raises(MixtureError, match="did you mean 'm'|does not exist"):
        mixtures.versions("mm")


@pytest.mark.parametrize("note", ["two\nlines", "x" * 1001, "\ud800"])
def test_a_note_is_one_line_of_text(mixtures: Mixtures, note: str) -> None:
    with pytest.raises(MixtureError, match="why = .*one line"):
        mixtures.apply(HEAD, why=note)
    assert mixtures.list() == []


def test_people_who_apply_at_once_get_versions_of_their_own(root: Path, mixtures: Mixtures) -> None:
    mixtures.apply(HEAD)
    made: dict[int, str] = {}

    def apply(number: int) -> None:
        made[number] = Mixtures(root).apply(HEAD + f"max_passes = {number}\n")

    threads = [threading.Thread(target=apply, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made.values()) == [f"m@{version}" for version in range(2, 10)]
    for number, version in made.items():
        assert mixtures.document(version)["component"][0]["max_passes"] == number


def test_a_version_has_the_oldest_format_that_can_say_it(root: Path, fill: Fill) -> None:
    for name in ("raw/go", "scored/go/q80", "scored/go/q00"):
        fill(name, 20)
    mixtures = Mixtures(root)
    mixtures.apply(HEAD)
    mixtures.apply(HEAD + "best_share = 0.5\n")
    mixtures.apply(HEAD.replace("raw", "scored") + 'within = "like"\nlike = "raw/*"\ncurve = "top-heavy"\n')
    bodies = mixtures.catalog.log("mixtures/m").read()
    assert [body["format"] for body in bodies] == ["mixture/1", "mixture/2", "mixture/3"]
    assert set(bodies[0]["mixture"]["component"][0]) == set(COMPONENT) - {"temperature", "like", "best_share", "curve"}


SHARES = st.floats(0, 1)
COMPONENTS = st.fixed_dictionaries(
    {"streams": st.sampled_from(["a/*", ["a/*", "b/\"q\"\\*", "c/\x7f é\n*"]])},
    optional={
        "exclude": st.sampled_from(["a/x", ["a/x"]]),
        "within": st.sampled_from(["tokens", "equal", {"python": 0.25, "a/b.c": 3.0}]),
        "pin": st.dictionaries(st.sampled_from(["python", "go/x", "c++"]), st.floats(0, 0.3)),
        "best_tokens": st.sampled_from(["12.5B", 40960]),
        "max_passes": st.integers(1, 2**31 - 1),
        "when_dry": st.sampled_from(["stop", "wait", "share"]),
    },
)  # fmt: skip


@given(st.lists(COMPONENTS, min_size=1, max_size=4))
def test_the_text_of_a_mixture_parses_to_the_same_and_is_valid_under_the_schema(parts: list[dict[str, Any]]) -> None:
    components = [{**part, "name": f"p{place}", "share": 1 / len(parts)} for place, part in enumerate(parts)]
    mixture = msgspec.convert({"name": "m", "seq_len": 8, "component": components}, Mixture)
    text = text_of(mixture, ["a comment"])
    jsonschema.Draft7Validator(schema()).validate(tomllib.loads(text))
    assert parse_mixture(text, lambda _: {}).mixture == mixture
    assert document_of(mixture) == tomllib.loads(text)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10**20), st.floats(-2, 2),
    st.sampled_from(["", "tokens", "stop", "12.5B", "a b", "a/*"]), st.lists(st.sampled_from(["", "a/*", 3]), max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.sampled_from([0, 0.5, -1, "x"])),
)  # fmt: skip


@given(st.sampled_from(sorted(COMPONENT)), VALUES)
def test_the_parser_and_the_schema_agree_about_every_value(key: str, value: Any) -> None:
    whole = isinstance(value, float) and value.is_integer()  # a whole number for JSON, none for TOML
    if not whole:
        component = {"streams": "a/*", "share": 1, key: value}
        rules = {"$defs": DEFINITIONS, "$ref": "#/$defs/Component"}
        assert fits(component, Component) == jsonschema.Draft7Validator(rules).is_valid(component)


def test_the_schema_has_the_keys_that_the_structs_have() -> None:
    assert set(COMPONENT) == set(Component.__struct_fields__)
    assert set(Mixture.__struct_fields__) < set(schema()["properties"])
    jsonschema.Draft7Validator.check_schema(schema())
    json.dumps(schema())


def test_every_key_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "mixtures.md").read_text()
    assert [key for key in [*COMPONENT, *schema()["properties"]] if f"`{key}`" not in text and f"`[[{key}]]`" not in text
            and f"`[{key}]`" not in text] == []  # fmt: skip


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 2), (("component", 0), 3), (("component", 0, "streams", 1), 6), (("component", 0, "share"), 9),
        (("component", 0, "pin", "go/x"), 8), (("component", 1, "pin", "share"), 14), (("component", 1, "share"), 11),
        (("component", 1, "within", "a b"), 12), (("set", "raw.share"), 16), (("component", 1, "none"), 10), (("none",), 1),
    ],
)  # fmt: skip
def test_lines_are_found_by_the_grammar_and_not_by_the_look(path: tuple[str | int, ...], line: int) -> None:
    text = '''# name = "x"
name = "share = 3 # [[component]]"
[[component]] # share
streams = [ "share = 1",
  # share = 2
  "b" ]
exclude = "[set]"
pin = { python = 0.5, 'go/x' = 0.2 }
share = 1
[[component]]
"share" = 0.5
within."a b" = 3
[component.pin]
share = 1
[set]
"raw.share" = """
share = 3"""
'''
    tomllib.loads(text)
    assert line_of(text, path) == line


def calls_of(act: Callable[[], object]) -> int:
    """How many functions, Python's own among them, a call comes to."""
    count = 0

    def seen(frame: FrameType, event: str, _: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("way", ["text", "settings", "extended"])
def test_the_work_of_a_preview_grows_with_its_pins_and_no_faster(root: Path, fill: Fill, way: str) -> None:
    for number in range(240):
        fill(f"raw/k{number}", 2)
    mixtures = Mixtures(root)
    mixtures.apply(HEAD)

    def preview(pins: int) -> object:
        given = {f"k{number}": 0.5 / pins for number in range(pins)}
        if way == "settings":
            return mixtures.preview("m", settings={f"raw.pin.{key}": share for key, share in given.items()})
        if way == "extended":
            settings = "".join(f'"raw.pin.{key}" = {share}\n' for key, share in given.items())
            return mixtures.preview_text(f'name = "x"\nextends = "m@1"\n[set]\n{settings}')
        return mixtures.preview_text(HEAD + "[component.pin]\n" + "".join(f"{key} = {given[key]}\n" for key in given))

    preview(1)
    none, some, many = (calls_of(lambda pins=pins: preview(pins)) for pins in (1, 100, 200))
    assert many - none < 2.2 * (some - none) + 1000


def test_keys_share_like_the_tokens_of_other_streams_however_many_they_have_themselves(root: Path, fill: Fill) -> None:
    for name, samples in (("raw/python", 60), ("raw/go", 30), ("raw/c", 10), ("synthetic/python", 5), ("synthetic/c", 80)):
        fill(name, samples)
    Catalog(root).create_stream("synthetic/go", seq_len=8, tokenizer=Catalog(root).stream("raw/go").tokenizer)
    text = HEAD.replace("raw", "synthetic") + 'within = "like"\nlike = "raw/*"\n'
    mixtures = Mixtures(root)
    assert shares(mixtures, text) == pytest.approx({"synthetic/c": 0.1, "synthetic/go": 0.3, "synthetic/python": 0.6})
    pinned = shares(mixtures, text + "pin = { python = 0.8 }\n")
    assert pinned == pytest.approx({"synthetic/c": 0.05, "synthetic/go": 0.15, "synthetic/python": 0.8})


def test_streams_of_one_key_share_what_others_have_of_it_by_their_own_tokens(root: Path, fill: Fill) -> None:
    for name, samples in (("raw/go", 30), ("raw/c", 10), ("scored/go/q90", 1), ("scored/go/q50", 3), ("scored/c/q50", 50)):
        fill(name, samples)
    text = HEAD.replace("raw", "scored") + 'within = "like"\nlike = ["raw/*"]\n'
    found = shares(Mixtures(root), text)
    assert found == pytest.approx({"scored/go/q90": 3 / 16, "scored/go/q50": 9 / 16, "scored/c/q50": 1 / 4})
