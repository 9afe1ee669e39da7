"""Recipes: what they say, and what is refused with its table and key."""

from importlib.resources import files

import pytest

from training.errors import RecipeError
from training.phases.phase import load_recipe, parse_count
from training.phases.recipe_file import read_recipe


def laptop(*overrides: str, phase: str = "general"):
    name, text = read_recipe("laptop")
    return load_recipe(text, name=name, phase=phase, overrides=list(overrides))


def test_the_laptops_model_has_about_two_million_parameters():
    from training.model.llama import build_model

    model = build_model(laptop().model, seq_len=256, seed=1)
    assert 1.7e6 < sum(parameter.numel() for parameter in model.parameters()) < 2.1e6


def test_the_papers_model_is_llama_2_of_1_3_billion_parameters():
    name, text = read_recipe("paper")
    shape = load_recipe(text, name=name, phase="general", overrides=[]).model
    attention = 4 * shape.hidden_size**2
    layer = attention + 3 * shape.hidden_size * shape.intermediate_size
    assert 1.2e9 < shape.num_layers * layer + shape.vocab_size * shape.hidden_size < 1.4e9


def test_a_set_may_name_a_table_or_mean_the_phase_at_hand():
    recipe = laptop("steps=7", "model.hidden_size=64", "schedule.warm_up_steps=3", phase="enhanced")
    assert (recipe.num_steps("enhanced"), recipe.model.hidden_size) == (7, 64)
    assert recipe.enhanced.schedule.warm_up_steps == 3
    assert recipe.num_steps("general") == 120


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model.hiden_size=64", "--set 'model.hiden_size=64': model has no key .*did you mean 'hidden_size'"),
        ("model.hidden_size=big", "model.hidden_size = 'big'"),
        ("checkpoint.keep=3", "did you mean 'checkpoints'"),
        ("numerics.precision=fp16", "it must be one of amp_bf16, fp32"),
        ("steps", "KEY=VALUE"),
        ("steps=many", "general.steps = 'many': it must be an integer$"),
        ("optimizer.beta1=high", "optimizer.beta1 = 'high': it must be a number$"),
        ("numerics.deterministic=1", "numerics.deterministic = 1: it must be true or false$"),
        ("schedule.warm_up_steps=-3", "general.schedule.warm_up_steps = -3 is below the least, 0"),
        ("batch.loader_workers=-1", "batch.loader_workers = -1 is below the least, 0"),
        ("tokens=0", "general.tokens = 0 is less than a step takes, 4,096 tokens .16 samples of 256.; give at least that"),
        ("tokens=4095", "general.tokens = 4095 is less than a step takes"),
        (f"tokens='{'9' * 400}'", "tokens are more than the most, 1e"),
        ("model.num_layers=100000000000000000", "model.num_layers = 100,000,000,000,000,000 is above the most, 16,384"),
        ("batch.loader_workers=3000", "batch.loader_workers = 3,000 is above the most, 256"),
        ("model.hidden_size=132", "gives each of num_heads = 4 heads 33 numbers, which must be even"),
        ("heldout.max_samples=0", "heldout.max_samples = 0 is below the least, 1"),
        (
            "schedule.peak_learning_rate=nan",
            r"general.schedule.peak_learning_rate must be a finite number above 0 \(got nan\)",
        ),
        ("schedule.final_learning_rate=-0.1", "general.schedule.final_learning_rate must be a finite number, 0 or above"),
        ("optimizer.clip_norm=0", r"optimizer.clip_norm must be a finite number above 0 \(got 0\)"),
        ("optimizer.weight_decay=inf", "optimizer.weight_decay must be a finite number, 0 or above"),
        ("optimizer.beta2=1", "optimizer.beta2 must be at least 0 and below 1"),
        ("model.dropout=1.5", r"model.dropout must be at least 0 and below 1 \(got 1.5\)"),
        ("steps=0", "general.steps"),
        ("schedule.kind=step", "schedule.kind"),
        ("schedule.decay_steps=0", "general.schedule.decay_steps = 0 is below the least, 1"),
        ("schedule.decay_share=1.5", r"general.schedule.decay_share must be at least 0 and below 1 \(got 1.5\)"),
        ("numerics.activation_checkpointing=2", "activation_checkpointing = 2: it must be true or false$"),
        ("extends=paper", "there is no 'extends'"),
        ("model.num_heads=3", "num_heads"),
        ("steps.more=1", "general.steps"),
        ("loggers.comet.project=a", "its keys are tensorboard, wandb, mlflow"),
        ("loggers.wandb.projekt=a", "its keys are project, entity, .* did you mean 'project'"),
        ("loggers.wandb.mode=ofline", "did you mean 'offline'"),
        ("loggers.tensorboard.folders=a", "its keys are folder, flush_steps"),
        ("loggers.tensorboard=3", "loggers.tensorboard = 3"),
        ("loggers.tensorboard={folder='a', flush_steps=0}", "loggers.tensorboard.flush_steps = 0"),
        ("loggers.mlflow=mlruns", "loggers.mlflow = 'mlruns': it must be a table"),
    ],
)
def test_a_mistake_in_a_recipe_is_named(override, says):
    with pytest.raises(RecipeError, match=says):
        laptop(override)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("num_heads = 4", "num_haeds = 4", r"recipe file.toml:8: model has no key 'num_haeds'.*did you mean 'num_heads'"),
        ("[batch]", "[bach]", r"recipe file.toml:13: it has no key 'bach'.*did you mean 'batch'"),
        ('device = "cpu"', "device = 7", r"recipe file.toml:26: numerics.device = 7"),
        ("seed = 17", "", r"recipe file.toml:13: batch: seed is missing"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_its_line(before, after, says):
    text = files("training").joinpath("recipes/laptop.toml").read_text()
    assert before in text
    with pytest.raises(RecipeError, match=says) as error:
        load_recipe(text.replace(before, after, 1), name="file.toml", phase="general", overrides=[])
    assert "\n" not in str(error.value)


def test_an_unknown_phase_names_those_there_are():
    with pytest.raises(RecipeError, match="general, continued, enhanced"):
        laptop(phase="fourth")


@pytest.mark.parametrize(("text", "count"), [("12.5B", 12_500_000_000), (7, 7), ("3k", 3000), ("2 T", 2 * 10**12)])
def test_counts_are_read_with_their_letter(text, count):
    assert parse_count(text) == count


def test_a_count_that_is_none_is_refused():
    with pytest.raises(RecipeError, match="many"):
        parse_count("many")
