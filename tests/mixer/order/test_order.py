"""The invariants of the order: exact, passes, elastic, growing, stable. Properties over small worlds."""

from collections import Counter
from fractions import Fraction

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mixer.order.lanes import bounds, take
from mixer.order.passes import Timeline, remerge, unmerge
from mixer.order.permutation import Ints, Tables, permute
from mixer.order.shares import ONE, to_shares
from mixer.order.slots import arrange, count_at_once, count_draws, count_in_turn, settle, stream_hashes

six_weights = st.lists(st.sampled_from([0, 0, 1, 7, 1000, 10**6]), min_size=6, max_size=6)
weights = st.lists(st.integers(1, 10**6), min_size=1, max_size=40)


def count(shares: Ints, credits: Ints, size: int) -> Ints:
    return count_draws(shares, credits, size, 1)[0]


def drawn(timeline: Timeline, low: int, high: int) -> list[tuple[int, int, int]]:
    """(pass, first row of the range, offset in it) of draws [low, high)."""
    found = []
    for era, first, last in timeline.between(low, high):
        for draw in range(first, last):
            index, offset = divmod(draw - era.start, era.rows)
            ranges, offsets = unmerge(era, np.array([offset]))
            number = int(ranges[0])
            assert remerge(era, number, int(offsets[0])) == offset
            found.append((era.pass_index + index, era.joins[number - 1].low if number else 0, int(offsets[0])))
    return found


@given(weights=weights, size=st.sampled_from([1, 2, 8, 64, 512]), batches=st.integers(1, 40))
def test_every_stream_is_within_one_sample_of_its_target(weights: list[int], size: int, batches: int) -> None:
    shares = np.array(to_shares([Fraction(weight) for weight in weights]))
    assert shares.sum() == ONE
    credits = np.zeros(len(shares), np.int64)
    for _ in range(batches):
        counts = count(shares, credits, size)
        assert counts.sum() == size
        assert counts.min() >= 0
        credits = settle(shares, credits, counts[None])
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
            counts = count(shares, credits, size)
            assert counts.sum() == size
            assert (counts[shares == 0] == 0).all()
            credits = settle(shares, credits, counts[None])
            assert np.abs(credits).max() <= 2 * ONE


@given(
    weights=st.lists(st.sampled_from([0, 1, 1, 3, 7, 100, 10**6]), min_size=2, max_size=70),
    owed=st.lists(st.integers(-2 * ONE, 2 * ONE), min_size=70, max_size=70),
    is_new=st.booleans(),
    size=st.sampled_from([1, 2, 7, 8, 64, 512]),
    batches=st.integers(8, 80),
)
def test_batches_counted_at_once_are_those_counted_one_by_one(
    weights: list[int], owed: list[int], is_new: bool, size: int, batches: int
) -> None:
    assume(any(weights))
    shares = np.array(to_shares([Fraction(weight) for weight in weights]))
    credits = np.zeros(len(weights), np.int64) if is_new else np.array(owed[: len(weights)])
    together = count_draws(shares, credits, size, batches)
    for counts in together:
        assert (count(shares, credits, size) == counts).all()
        credits = settle(shares, credits, counts[None])


def test_a_run_that_began_with_different_shares_is_counted_at_once() -> None:
    share = np.array(to_shares([Fraction(weight) for weight in (4, 5, 6, 8)]))
    margin = ONE // 6
    owed = np.full(4, margin)
    found = count_at_once(share, owed, margin, 8, 512)
    assert found is not None
    assert (found == count_in_turn(share, owed, margin, 8, 512)).all()


def test_a_doubled_share_causes_no_burst() -> None:
    quarter, half = (np.array(to_shares([Fraction(a), Fraction(b)])) for a, b in [(1, 3), (1, 1)])
    credits = np.zeros(2, np.int64)
    for _ in range(10_000):
        credits = settle(quarter, credits, count(quarter, credits, 1)[None])
    drawn = []
    for _ in range(20):
        drawn.append(count(half, credits, 1))
        credits = settle(half, credits, drawn[-1][None])
    assert 9 <= sum(int(counts[0]) for counts in drawn) <= 11


def test_a_millionth_is_honoured() -> None:
    shares = np.array(to_shares([Fraction(1, 10**6), 1 - Fraction(1, 10**6)]))
    credits, total = np.zeros(2, np.int64), 0
    for _ in range(1000):
        counts = count(shares, credits, 4096)
        credits, total = settle(shares, credits, counts[None]), total + int(counts[0])
    assert total in (4, 5)


@settings(max_examples=60)
@given(first=st.integers(1, 60), growth=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 20)), max_size=45))
def test_every_pass_has_every_row_once_and_growth_moves_nothing_earlier(first: int, growth: list[tuple[int, int]]) -> None:
    timeline, done, total, seen = Timeline(), 0, first, []
    timeline.extend(0, first)
    for draws, joined in [*growth, (200, 0)]:
        seen += drawn(timeline, done, done + draws)
        done, total = done + draws, total + joined
        timeline.extend(done, total)
    assert drawn(timeline, 0, done) == seen
    rows = Counter(seen)
    assert set(rows.values()) == {1}
    assert [number for number, _, _ in seen] == sorted(number for number, _, _ in seen)
    for number in range(seen[-1][0]):
        offsets = [low + offset for index, low, offset in seen if index == number]
        assert sorted(offsets) == list(range(len(offsets)))


@given(left=st.integers(1, 60), joined=st.integers(1, 60), before=st.integers(1, 9))
def test_joined_rows_are_spread_within_one_sample(left: int, joined: int, before: int) -> None:
    timeline = Timeline()
    timeline.extend(0, before + left)
    timeline.extend(before, before + left + joined)
    new = np.array([low > 0 for _, low, _ in drawn(timeline, before, before + left + joined)])
    target = np.arange(1, left + joined + 1) * joined / (left + joined)
    assert np.abs(np.cumsum(new) - target).max() <= 1


@given(size=st.integers(1, 600), key=st.integers(0, 2**63))
def test_a_permutation_has_every_index_once(size: int, key: int) -> None:
    found = permute(np.full(size, key, np.uint64), np.full(size, size), np.arange(size), Tables())
    assert sorted(found.tolist()) == list(range(size))


def test_the_permutations_of_small_and_of_large_blocks_are_even() -> None:
    tables = Tables()
    for size in (255, 256, 300):
        hits = np.zeros((size, size))
        for key in range(2000):
            keys = np.full(size, key * 7919, np.uint64)
            hits[np.arange(size), permute(keys, np.full(size, size), np.arange(size), tables)] += 1
        expected = 2000 / size
        assert abs(((hits - expected) ** 2 / expected).sum() / (size - 1) ** 2 - 1) < 0.03


@given(nodes=st.lists(st.integers(0, 3), min_size=1, max_size=40), cut=st.integers(0, 40))
def test_lanes_give_every_index_once_however_they_are_asked(nodes: list[int], cut: int) -> None:
    sizes = np.diff(bounds(len(nodes), 4))[None]
    which, asked, used = np.zeros(len(nodes), np.int64), np.array(nodes), np.zeros((1, 4), np.int64)
    lanes, index = take(used.copy(), sizes, which, asked)
    assert sorted(zip(lanes.tolist(), index.tolist(), strict=True)) == [
        (lane, place) for lane in range(4) for place in range(sizes[0, lane])
    ]
    halves = [take(used, sizes, which[part], asked[part]) for part in (slice(cut), slice(cut, None))]
    assert np.concatenate([half[0] for half in halves]).tolist() == lanes.tolist()
    assert np.concatenate([half[1] for half in halves]).tolist() == index.tolist()


def test_no_contiguous_block_of_slots_is_unfair() -> None:
    shares = np.array(to_shares([Fraction(1, 4), Fraction(1, 3), Fraction(5, 12)]))
    hashes, credits, before = stream_hashes(7, 3), np.zeros(3, np.int64), np.zeros(3, np.int64)
    per_rank = np.zeros((16, 3))
    for _ in range(240):
        counts = count(shares, credits, 512)
        streams, _ = arrange(hashes, before, counts[None])
        credits, before = settle(shares, credits, counts[None]), before + counts
        per_rank += np.stack([np.bincount(block, minlength=3) for block in streams.reshape(16, 32)])
    assert np.abs(per_rank / per_rank.sum(1, keepdims=True) - shares / ONE).max() < 0.0125
