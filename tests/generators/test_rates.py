"""Files a minute: of the last minute, and begun anew where counts begin anew; tokens a minute, and when they suffice."""

from typing import Any

from generators.queue.job_queue import Ends
from generators.scaling import Rates, Supplies, recipe_supplies
from mixer.pool.pool import RecipeSupply, Supply
from mixer.runs.demand import Need


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


def need(language: str, missing_tokens: int, **words: Any) -> Need:
    usual: dict[str, Any] = {
        "left_samples": 0, "draws_per_sample": 1, "samples_per_step": 2.0, "end_step": 0, "last_step": None,
    }  # fmt: skip
    return Need(run="a", language=language, missing_tokens=missing_tokens, seq_len=8, **{**usual, **words})


def test_supply_says_how_long_what_runs_demand_takes_at_the_rate_of_ten_minutes() -> None:
    supplies, needs = Supplies(), [need("go", 500), need("python", 9000), need("python", 8000)]
    first, _ = supplies.note(0, needs, {"python": 100})
    assert [(one.language, one.time_left_s) for one in first] == [("go", None), ("python", None)]
    for minute in range(1, 31):
        found, _ = supplies.note(minute * 60_000, needs, {"python": 100 + 30 * min(minute, 25)})
    python = found[1]
    assert python == Supply(
        language="python", missing_tokens=9000, published_tokens=850, tokens_per_min=15.0, time_left_s=9000 / 15 * 60
    )
    assert found[0].time_left_s is None
    assert supplies.note(31 * 60_000, [], {"python": 850})[0][0].time_left_s == 0.0


def test_a_run_starves_when_what_is_left_and_what_comes_are_drawn() -> None:
    supplies, found = Supplies(), []
    for minute in range(11):  # 6 steps a minute of 2 samples each, 8 tokens a sample; a sample that comes is drawn twice
        needs = [need("go", 10**6, left_samples=600 - 12 * minute, end_step=6 * minute, draws_per_sample=2)]
        _, found = supplies.note(minute * 60_000, needs, {"go": 16 * minute})
    (run,) = found
    assert (run.run, run.language, run.left_tokens) == ("a", "go", 480 * 8)
    assert run.drawn_per_min == 12 * 8
    assert run.starves_in_s == 480 / (12 - 2 * 2) * 60


def test_a_run_whose_supply_keeps_up_or_that_ends_before_never_starves_and_one_without_samples_does_now() -> None:
    plenty = need("go", 1, left_samples=600, samples_per_step=2.0)
    assert plenty.starves_in_s(1.0, 16.0) is None
    assert plenty.starves_in_s(1.0, 8.0) == 600.0
    assert plenty.starves_in_s(0.0, 0.0) is None
    assert need("go", 1, left_samples=600, end_step=10, last_step=309).starves_in_s(1.0, 0.0) is None
    assert need("go", 1, left_samples=600, end_step=10, last_step=311).starves_in_s(1.0, 0.0) == 300.0
    assert need("go", 1, left_samples=0).starves_in_s(0.0, 10**6) == 0.0


def test_a_run_that_begins_later_has_its_rate_from_then_on() -> None:
    supplies = Supplies()
    for minute in range(4):
        supplies.note(minute * 60_000, [], {"go": 0})
    supplies.note(4 * 60_000, [need("go", 10, end_step=100)], {"go": 0})
    _, (run,) = supplies.note(5 * 60_000, [need("go", 10, end_step=130)], {"go": 0})
    assert run.drawn_per_min == 30 * 2 * 8


def test_a_recipe_s_yield_and_cost_are_known_as_far_as_they_were_counted() -> None:
    ends = {("go", "a/1"): Ends(delivered=3, refused=4, buried=1)}
    assert recipe_supplies(ends, {("go", "a/1"): (900, 600), ("python", "b/2"): (0, 50)}) == [
        RecipeSupply(language="go", recipe="a/1", ended=8, accepted=3, published_tokens=600, written_per_token=1.5),
        RecipeSupply(language="python", recipe="b/2", published_tokens=50),
    ]
