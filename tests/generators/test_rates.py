"""Files a minute: of the last minute, and begun anew where counts begin anew; tokens a minute, and when they suffice."""

from generators.scaling import Rates, Supplies
from mixer.pool.pool import Supply


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


def test_supply_says_how_long_what_runs_demand_takes_at_the_rate_of_ten_minutes() -> None:
    supplies = Supplies()
    first = supplies.note(0, {"go": 500, "python": 9000}, {"python": 100})
    assert [(one.language, one.time_left_s) for one in first] == [("go", None), ("python", None)]
    for minute in range(1, 31):
        found = supplies.note(minute * 60_000, {"go": 500, "python": 9000}, {"python": 100 + 30 * min(minute, 25)})
    python = found[1]
    assert python == Supply(
        language="python", missing_tokens=9000, published_tokens=850, tokens_per_min=15.0, time_left_s=9000 / 15 * 60
    )
    assert found[0].time_left_s is None
    assert supplies.note(31 * 60_000, {}, {"python": 850})[0].time_left_s == 0.0
