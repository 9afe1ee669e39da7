"""Waits between attempts: they double up to the longest, end in time, and differ between clients."""

import pytest

from streamer.store.backoff import Backoff


class Clock:
    now_s = 0.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def waits(clock: Clock, **settings: float) -> list[float]:
    backoff = Backoff(clock=lambda: clock.now_s, sleep=clock.sleep, **settings)
    found = [clock.now_s]
    while backoff.wait() and len(found) < 1000:
        found.append(clock.now_s)
    return [after - before for before, after in zip(found, found[1:], strict=False)]


def test_waits_double_up_to_the_longest_and_end_in_time() -> None:
    clock = Clock()
    assert waits(clock, first_s=1, longest_s=8, total_s=40, jitter=0) == [1, 2, 4, 8, 8, 8, 8]
    assert clock.now_s <= 40


def test_without_a_total_they_never_end() -> None:
    assert len(waits(Clock(), first_s=0.5, longest_s=4)) == 999


@pytest.mark.parametrize("jitter", [0.25, 0.5, 1.0])
def test_chance_takes_off_at_most_its_part_and_two_clients_differ(jitter: float) -> None:
    one, two = (waits(Clock(), first_s=1, longest_s=1, total_s=60, jitter=jitter) for _ in range(2))
    assert one != two
    assert all(1 - jitter <= wait <= 1 for wait in one + two)


def test_the_time_counts_from_the_first_wait_that_is_asked_for() -> None:
    clock = Clock()
    backoff = Backoff(first_s=1, longest_s=1, total_s=2, jitter=0, clock=lambda: clock.now_s)
    clock.now_s = 100
    assert backoff.next_wait_s() == 1
    clock.now_s = 101.5
    assert backoff.next_wait_s() is None
