"""What is reckoned of a training beside what torch says of the model itself."""

from pathlib import Path

import msgspec
import pytest
import torch

from training.model.llama import build_model, token_losses
from training.phases.estimate import flops_per_token, memory, parameters
from training.phases.phase import ModelShape, Recipe, load_recipe
from training.phases.recipe_file import read_recipe

SHAPE = ModelShape(hidden_size=64, intermediate_size=176, num_layers=4, num_heads=4, num_kv_heads=4, vocab_size=300)


def recipe(*overrides: str, name: str = "laptop") -> Recipe:
    name, text = read_recipe(name)
    return load_recipe(text, name=name, phase="general", overrides=list(overrides))


@pytest.mark.parametrize("change", [{}, {"tied_embeddings": False}, {"num_kv_heads": 2}, {"num_layers": 1}], ids=str)
def test_the_parameters_are_the_models(change: dict[str, int | bool]) -> None:
    shape = msgspec.structs.replace(SHAPE, **change)
    model = build_model(shape, seq_len=16, seed=1)
    assert parameters(shape) == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("precision", ["fp32", "amp_bf16"])
@pytest.mark.parametrize("checkpointing", ["true", "false"])
@pytest.mark.parametrize("wide", [64, 256])
def test_the_activations_are_about_what_torch_keeps_for_the_backward_pass(
    precision: str, checkpointing: str, wide: int
) -> None:
    """Given a model of few tokens a row, so that nothing but activations is large; logits are left out."""
    found = recipe(
        f"numerics.precision={precision}", f"numerics.activation_checkpointing={checkpointing}", "batch.microbatch=8",
        "batch.seq_len=128", f"model.hidden_size={wide}", f"model.intermediate_size={wide * 11 // 4}",
        "model.vocab_size=300", "model.num_layers=6",
    )  # fmt: skip
    model = build_model(found.model, seq_len=128, seed=1)
    if checkpointing == "true":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and tensor.shape[:1] in ((8,), (8 * 128,)):
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.randint(300, (8, 128))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "amp_bf16"):
            hidden = model.model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    reckoned = memory(found, ranks=1).activations
    if checkpointing == "true":  # torch has not computed a layer again yet
        reckoned -= memory(recipe_of_one_layer(found), ranks=1).activations - 8 * 128 * wide * 8
    assert sum(kept.values()) == pytest.approx(reckoned, rel=0.05)
    assert hidden.requires_grad


def recipe_of_one_layer(found: Recipe) -> Recipe:
    """The same with one layer, all of whose activations are kept."""
    numerics = msgspec.structs.replace(found.numerics, activation_checkpointing=False)
    return msgspec.structs.replace(found, model=msgspec.structs.replace(found.model, num_layers=1), numerics=numerics)


def test_logits_are_counted_with_their_gradients() -> None:
    found = recipe()
    tokens = found.batch.microbatch * found.batch.seq_len
    logits = torch.zeros(1, 4, found.model.vocab_size)
    assert token_losses(logits, torch.zeros(1, 4, dtype=torch.int64)).shape == (1, 3)
    assert memory(found, ranks=1).logits == tokens * found.model.vocab_size * 16


def test_fsdp_divides_what_each_rank_keeps() -> None:
    whole, eighth = (memory(recipe(name=name), ranks=8) for name in ("paper", "paper-fsdp"))
    assert eighth.optimizer == whole.optimizer // 8
    assert eighth.gradients == whole.gradients // 8
    assert eighth.total < whole.total / 2
    assert memory(recipe(name="paper"), ranks=1).weights == whole.weights


def test_the_plain_loop_divides_a_model_on_gpus_that_the_recipe_does_not_say_so_of() -> None:
    divided = memory(recipe(name="paper"), ranks=8, trainer="torch")
    assert divided.optimizer == memory(recipe(name="paper"), ranks=8).optimizer // 8
    assert memory(recipe(name="paper"), ranks=1, trainer="torch") == memory(recipe(name="paper"), ranks=1)
    for whole in ("numerics.sharded=false", "numerics.device=cpu"):
        assert memory(recipe(whole, name="paper"), ranks=8, trainer="torch") == memory(recipe(name="paper"), ranks=8)


@pytest.mark.parametrize("tied", [True, False])
def test_the_operations_of_a_token_are_about_those_of_the_matrices(tied: bool) -> None:
    """Given torch's own count of a forward and a backward pass, then the formula is as close as norms are small."""
    from torch.utils.flop_counter import FlopCounterMode

    shape = msgspec.structs.replace(SHAPE, tied_embeddings=tied)
    model = build_model(shape, seq_len=64, seed=1)
    model.config._attn_implementation = "eager"  # torch does not count what its fused attention does on CPUs
    ids = torch.randint(300, (2, 64))
    with FlopCounterMode(display=False) as counted:
        model(input_ids=ids, labels=ids).loss.backward()
    assert flops_per_token(shape, seq_len=64) == pytest.approx(counted.get_total_flops() / ids.numel(), rel=0.05)


def test_the_estimate_loads_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, training.phases.estimate; assert not {'torch', 'transformers'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3], timeout=120)
