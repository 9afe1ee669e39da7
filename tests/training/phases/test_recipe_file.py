"""Recipes that come along, and recipes that extend others."""

from pathlib import Path

import pytest

from training.errors import RecipeError
from training.phases.phase import PHASES, Recipe, load_recipe
from training.phases.recipe_file import included, read_recipe


def load(name: str, *overrides: str, phase: str = "general") -> Recipe:
    name, text = read_recipe(name)
    return load_recipe(text, name=name, phase=phase, overrides=list(overrides))


@pytest.mark.parametrize("name", included())
def test_every_included_recipe_is_whole(name: str) -> None:
    for phase in PHASES:
        recipe = load(name, phase=phase)
        schedule, steps = recipe.phase(phase).schedule, recipe.num_steps(phase)
        assert schedule.warm_up_steps < steps / 2


def test_table_5s_recipes_are_the_papers_with_another_schedule_in_phase_2() -> None:
    for kind in ("linear", "constant"):
        changed = (f"continued.schedule.kind={kind}", "continued.schedule.peak_learning_rate=5.3e-5")
        assert load(f"table5-{kind}") == load("paper", *changed)


def test_the_model_for_one_gpu_has_100_million_parameters() -> None:
    from training.phases.estimate import parameters

    assert parameters(load("one-gpu").model) == pytest.approx(100e6, rel=0.02)


def test_a_recipe_changes_keys_of_the_one_that_it_extends_table_by_table(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "mine.toml").write_text('extends = "laptop"\n[general]\nsteps = 7\n[general.schedule]\nwarm_up_steps = 2\n')
    (tmp_path / "below" / "two.toml").write_text('extends = "../mine.toml"\n[loggers]\ntensorboard = "curves"\n')
    plain, mine, two = load("laptop"), load(str(tmp_path / "mine.toml")), load(str(tmp_path / "below" / "two.toml"))
    assert mine == load("laptop", "general.steps=7", "general.schedule.warm_up_steps=2")
    assert (two.loggers.tensorboard, two.general) == ("curves", mine.general)
    assert mine.general.schedule.peak_learning_rate == plain.general.schedule.peak_learning_rate


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('extends = "laptop"\n\n[model]\nhiden_size = 3\n', r"recipe \S+mine.toml:4: model has no key 'hiden_size'"),
        ('extends = "bad.toml"\n', r"recipe \S+bad.toml:3: model has no key 'num_haeds'"),
        ('extends = "laptp"\n', r"recipe \S+laptp cannot be read: .*laptop.*paper.* did you mean 'laptop'"),
        ("extends = 3\n", r"recipe \S+mine.toml:1: extends = 3 must be the name of a recipe"),
        ('extends = "mine.toml"\n', "extend each other, or they do so in a circle"),
        ('extends = "laptop"\n[[model]]\nhidden_size = 3\n', r"recipe \S+mine.toml:2: model"),
    ],
)
def test_a_mistake_is_named_where_it_stands(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "bad.toml").write_text('extends = "laptop"\n[model]\nnum_haeds = 3\n')
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(RecipeError, match=says) as error:
        load(str(tmp_path / "mine.toml"))
    assert "\n" not in str(error.value)


def test_an_unknown_recipe_lists_those_there_are() -> None:
    with pytest.raises(RecipeError, match=f"{', '.join(included()[:3])}.* did you mean 'paper'"):
        read_recipe("papr")


def test_one_of_two_keys_that_say_the_same_takes_the_others_place(tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text('extends = "laptop"\n[general]\ntokens = "50M"\n')
    name, text = read_recipe(str(tmp_path / "long.toml"))
    recipe = load_recipe(text, name=name, phase="general", overrides=[])
    assert recipe.num_steps("general") == 50_000_000 // (16 * 256)
    assert recipe.num_steps("continued") == 120
    assert load_recipe(text, name=name, phase="general", overrides=["general.steps=7"]).num_steps("general") == 7
    assert load_recipe(text, name=name, phase="continued", overrides=['tokens="50M"']).num_steps("continued") == 12_207
