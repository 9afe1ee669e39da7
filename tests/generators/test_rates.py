"""Files a minute: of the last minute, and begun anew where counts begin anew."""

from generators.scaling import Rates


def test_rates_are_those_of_the_last_minute() -> None:
    rates = Rates()
    for second in range(0, 121, 2):
        found = rates.note(second * 1000, second * 3, {"cut_off": second, "empty": 0})
    assert found.accepted_per_min == 180.0
    assert found.rejected_per_min == {"cut_off": 60.0, "empty": 0.0}
    for second in range(122, 200, 2):
        found = rates.note(second * 1000, 360, {"cut_off": 120})
    assert (found.accepted_per_min, found.rejected_per_min) == (0.0, {"cut_off": 0.0})


def test_the_first_moments_are_no_burst_and_a_lost_redis_begins_anew() -> None:
    rates = Rates()
    assert rates.note(0, 1000, {"empty": 50}).accepted_per_min == 0.0
    assert rates.note(100, 1001, {"empty": 50}).accepted_per_min == 12.0
    assert rates.note(200, 1001, {}).rejected_per_min == {}
    assert rates.note(60_200, 1061, {"empty": 1}).accepted_per_min == 60.0
