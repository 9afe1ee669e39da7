"""The invariants of the order: exact, passes, elastic, growing, stable. Properties over small worlds."""

from collections import Counter
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.passes import Ints, Timeline
from mixer.permutation import permutation
from mixer.slots import ONE, arrange, count_draws, settle, stream_hashes, to_shares

six_weights = st.lists(st.sampled_from([0, 0, 1, 7, 1000, 10**6]), min_size=6, max_size=6)
weights = st.lists(st.integers(1, 10**6), min_size=1, max_size=40)


def two_shards(low: int, high: int) -> tuple[Ints, Ints]:
    middle = (low + high) // 2
    return np.array([middle, low]), np.array([high - middle, middle - low])


@given(weights=weights, size=st.sampled_from([1, 2, 8, 64, 512]), batches=st.integers(1, 40))
def test_every_stream_is_within_one_sample_of_its_target(weights: list[int], size: int, batches: int) -> None:
    shares = np.array(to_shares([Fraction(weight) for weight in weights]))
    assert shares.sum() == ONE
    credits = np.zeros(len(shares), np.int64)
    for _ in range(batches):
        counts = count_draws(shares, credits, size)
        assert counts.sum() == size
        assert counts.min() >= 0
        credits = settle(shares, credits, counts)
        assert np.abs(credits).max() <= ONE


@settings(max_examples=60)
@given(
    history=st.lists(st.tuples(six_weights, st.integers(1, 20)), min_size=1, max_size=8), size=st.sampled_from([1, 4, 32])
)
def test_over_switches_no_stream_is_two_samples_off(history: list[tuple[list[int], int]], size: int) -> None:
    credits = np.zeros(6, np.int64)
    for wanted, batches in history:
        if not sum(wanted):
            continue
        shares = np.array(to_shares([Fraction(weight) for weight in wanted]))
        for _ in range(batches):
            counts = count_draws(shares, credits, size)
            assert counts.sum() == size
            assert (counts[shares == 0] == 0).all()
            credits = settle(shares, credits, counts)
            assert np.abs(credits).max() <= 2 * ONE


def test_a_doubled_share_causes_no_burst() -> None:
    quarter, half = (np.array(to_shares([Fraction(a), Fraction(b)])) for a, b in [(1, 3), (1, 1)])
    credits = np.zeros(2, np.int64)
    for _ in range(10_000):
        credits = settle(quarter, credits, count_draws(quarter, credits, 1))
    drawn = []
    for _ in range(20):
        drawn.append(count_draws(half, credits, 1))
        credits = settle(half, credits, drawn[-1])
    assert 9 <= sum(int(counts[0]) for counts in drawn) <= 11


def test_a_millionth_is_honoured() -> None:
    shares = np.array(to_shares([Fraction(1, 10**6), 1 - Fraction(1, 10**6)]))
    credits, total = np.zeros(2, np.int64), 0
    for _ in range(1000):
        counts = count_draws(shares, credits, 4096)
        credits, total = settle(shares, credits, counts), total + int(counts[0])
    assert total in (4, 5)


@settings(max_examples=60)
@given(
    first=st.integers(1, 60),
    growth=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 20)), max_size=45),
    key=st.integers(0, 2**32),
)
def test_every_pass_has_every_row_once_and_growth_moves_nothing_earlier(
    first: int, growth: list[tuple[int, int]], key: int
) -> None:
    timeline, drawn, total, seen = Timeline(), 0, first, []
    timeline.extend(0, first)
    for draws, joined in [*growth, (200, 0)]:
        seen += timeline.rows(np.arange(drawn, drawn + draws), key, two_shards).tolist()
        drawn, total = drawn + draws, total + joined
        timeline.extend(drawn, total)
    assert timeline.rows(np.arange(drawn), key, two_shards).tolist() == seen
    for era, following in zip(timeline.eras, timeline.eras[1:], strict=False):
        for start in range(era.start, following.start, max(era.rows, 1)):
            counts = Counter(seen[start : start + era.rows])
            assert not era.rows or set(counts.values()) == {1}


@given(left=st.integers(1, 60), joined=st.integers(1, 60))
def test_joined_rows_are_spread_within_one_sample(left: int, joined: int) -> None:
    timeline = Timeline()
    timeline.extend(0, left)
    timeline.extend(0, left + joined)
    rows = timeline.rows(np.arange(left + joined), 5, two_shards)
    target = np.arange(1, left + joined + 1) * joined / (left + joined)
    assert np.abs(np.cumsum(rows >= left) - target).max() <= 1


@given(size=st.integers(1, 600), key=st.integers(0, 2**63))
def test_a_permutation_has_every_index_once(size: int, key: int) -> None:
    assert sorted(permutation(key, size).tolist()) == list(range(size))


def test_no_contiguous_block_of_slots_is_unfair() -> None:
    shares = np.array(to_shares([Fraction(1, 4), Fraction(1, 3), Fraction(5, 12)]))
    hashes, credits, drawn = stream_hashes(7, 3), np.zeros(3, np.int64), np.zeros(3, np.int64)
    per_rank = np.zeros((16, 3))
    for _ in range(240):
        counts = count_draws(shares, credits, 512)
        streams, _ = arrange(hashes, drawn, counts)
        credits, drawn = settle(shares, credits, counts), drawn + counts
        per_rank += np.stack([np.bincount(block, minlength=3) for block in streams.reshape(16, 32)])
    assert np.abs(per_rank / per_rank.sum(1, keepdims=True) - shares / ONE).max() < 0.0125
