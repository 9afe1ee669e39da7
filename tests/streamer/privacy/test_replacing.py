"""The whole replacement: overlaps, counts, settings, hostile texts."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.planted_secrets import ALL_KINDS, plant
from streamer.privacy.replacing import Privacy, read_counts, replace
from streamer.privacy.span import Kind, Span, merge

EVERYTHING = Privacy()
PIECES = (
    "ada@corp.net", "http://34.117.59.81/", "x = 1\n", "größe", "\ud800", "\0", "\ufeff", "😀", "10.0.0.1", "2a00:1450::8e",
    *(plant(kind, Random(kind))[1] for kind in ALL_KINDS),
)  # fmt: skip


@given(
    pieces=st.lists(st.sampled_from(PIECES) | st.text(max_size=20), max_size=12),
    between=st.sampled_from(["\n", " ", "", ";"]),
)
@settings(max_examples=150, deadline=None)
def test_a_replaced_text_has_nothing_left_to_replace(pieces: list[str], between: str) -> None:
    once = replace(between.join(pieces), EVERYTHING)
    again = replace(once.text, EVERYTHING)
    assert (again.text, again.words) == (once.text, "")


@given(text=st.text(st.characters(codec=None), max_size=300))
@settings(max_examples=100, deadline=None)
def test_a_text_without_anything_private_comes_back_as_it_is(text: str) -> None:
    found = replace(text, EVERYTHING)
    assert found.counts or found.text == text


def test_every_kind_is_counted_and_addresses_stay_apart() -> None:
    token, _ = plant("GitHub token", Random(1))
    text = (
        f"a = '{token}'\nb = 'ada@corp.net' # ada@corp.net\nhosts = ['34.117.59.81', '91.198.174.192', '34.117.59.81']\n"
        "url = 'redis://app:kq81Zmmw2x@cache.corp.net:6379'\n"
    )
    found = replace(text, EVERYTHING)
    assert found.text == (
        "a = '<KEY>'\nb = '<EMAIL>' # <EMAIL>\nhosts = ['192.0.2.1', '192.0.2.2', '192.0.2.1']\n"
        "url = 'redis://app:<PASSWORD>@cache.corp.net:6379'\n"
    )
    assert found.words == "key=1 password=1 email=2 ip_address=3"
    assert read_counts(found.words) == found.counts
    assert replace(text, EVERYTHING) == found


@pytest.mark.parametrize("off", ["secrets", "emails", "ip_addresses"])
def test_each_kind_can_be_switched_off(off: str) -> None:
    token, _ = plant("Stripe key", Random(2))
    parts = {"secrets": token, "emails": "ada@corp.net", "ip_addresses": "34.117.59.81"}
    text = replace(" '\n' ".join(parts.values()), Privacy(**{off: False})).text
    assert [name for name, part in parts.items() if part in text] == [off]


def test_places_that_overlap_become_one_of_the_gravest_kind() -> None:
    spans = [Span(5, 9, Kind.EMAIL), Span(0, 6, Kind.PASSWORD), Span(8, 12, Kind.KEY), Span(12, 14, Kind.EMAIL)]
    assert merge(spans) == [Span(0, 12, Kind.KEY), Span(12, 14, Kind.EMAIL)]


@pytest.mark.parametrize("unit", ["a", "1", "1.", "a@", "a@a.", "2abc:", "é", "\0", "\ud800", "password='", "a://", "AKIA"])
def test_one_long_line_of_anything_comes_back_as_it_is(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    assert replace(text, EVERYTHING).text == text
