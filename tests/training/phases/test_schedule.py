"""The learning rates of the paper's phases and of its table 5, by step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.phases.phase import load_recipe
from training.phases.recipe_file import read_recipe
from training.phases.schedule import multiplier


def rate(phase: str, step: int, *overrides: str) -> float:
    name, text = read_recipe("paper")
    recipe = load_recipe(text, name=name, phase=phase, overrides=list(overrides))
    schedule = recipe.phase(phase).schedule
    return schedule.peak_learning_rate * schedule.multiplier(step, recipe.num_steps(phase))


def test_the_general_phase_warms_up_600_steps_then_falls_along_a_cosine():
    horizon = 500 * 10**9 // (512 * 8192)
    assert rate("general", 0) == 0.0
    assert rate("general", 300) == pytest.approx(2.65e-4)
    assert rate("general", 600) == pytest.approx(5.3e-4)
    assert rate("general", (horizon + 600) // 2) == pytest.approx((5.3e-4 + 5.3e-5) / 2, rel=1e-3)
    assert rate("general", horizon) == pytest.approx(5.3e-5)


def test_the_continued_phase_warms_up_again_then_falls_in_a_line_to_zero():
    horizon = 50 * 10**9 // (512 * 8192)
    assert rate("continued", 500) == pytest.approx(2.65e-4)
    assert rate("continued", 1000) == pytest.approx(5.3e-4)
    assert rate("continued", (horizon + 1000) // 2) == pytest.approx(2.65e-4, rel=1e-3)
    assert rate("continued", horizon) == 0.0


@pytest.mark.parametrize(("kind", "last"), [("linear", 0.0), ("constant", 5.3e-5)])
def test_table_5s_alternatives_are_lines_of_the_recipe(kind, last):
    changed = (f"schedule.kind={kind}", "schedule.peak_learning_rate=5.3e-5")
    assert rate("continued", 0, *changed) == pytest.approx(5.3e-5)
    assert rate("continued", 50 * 10**9 // (512 * 8192), *changed) == pytest.approx(last)


def test_stable_decay_keeps_the_peak_until_the_decay_and_falls_steeply_first():
    """Given 100 steps of warm-up and a decay over the last tenth, then a quarter of it takes half of the way."""
    changed = ("schedule.kind=warm_up_stable_decay", "schedule.warm_up_steps=100", "steps=1000")
    assert rate("general", 50, *changed) == pytest.approx(2.65e-4)
    assert rate("general", 100, *changed) == rate("general", 900, *changed) == 5.3e-4
    assert rate("general", 925, *changed) == pytest.approx((5.3e-4 + 5.3e-5) / 2)
    assert rate("general", 1000, *changed) == pytest.approx(5.3e-5)
    assert rate("general", 925, *changed, "schedule.decay_steps=75") == 5.3e-4


def test_a_decay_that_is_longer_than_what_the_warm_up_leaves_takes_what_it_leaves():
    changed = ("schedule.kind=warm_up_stable_decay", "schedule.warm_up_steps=6", "schedule.decay_steps=9", "steps=10")
    assert rate("general", 6, *changed) == 5.3e-4
    assert rate("general", 7, *changed) < 5.3e-4


@given(
    kind=st.sampled_from(["warm_up_cosine", "re_warm_up_linear", "linear", "constant", "warm_up_stable_decay"]),
    num_steps=st.integers(1, 500),
    warm_up_steps=st.integers(0, 500),
    final=st.floats(0, 1),
    step=st.integers(0, 1000),
    decay=st.integers(0, 500),
)
def test_a_multiplier_lies_between_zero_and_one_and_ends_at_the_final_one(
    kind, num_steps, warm_up_steps, final, step, decay
):
    warm_up = min(warm_up_steps, num_steps)
    arguments = {"num_steps": num_steps, "warm_up_steps": warm_up, "final": final}
    arguments["decay_steps"] = min(decay, num_steps - warm_up)
    assert -1e-12 <= multiplier(kind, step, **arguments) <= 1 + 1e-12
    if kind != "constant":
        assert multiplier(kind, num_steps, **arguments) == pytest.approx(final)
