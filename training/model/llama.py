"""Builds a Llama of any size, computes its loss, and casts its tokens. It knows nothing of Composer.

Always holds: the loss is computed in float32. Tokens stay in the stream's own dtype until a microbatch is on the device.
"""

from __future__ import annotations

from typing import Any

import torch

from training.phases.llama import llama_config
from training.phases.phase import ModelShape, Recipe


def build_model(shape: ModelShape, *, seq_len: int, seed: int) -> torch.nn.Module:
    """A LlamaForCausalLM with weights drawn from `seed`. Torch's own random state stays as it was."""
    from transformers import LlamaForCausalLM

    config = llama_config(shape, seq_len=seq_len)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: torch.nn.Module = LlamaForCausalLM(config)
    return model


def make_llama(recipe: Recipe) -> torch.nn.Module:
    """A new model as a recipe trains it, its weights drawn from the recipe's seed."""
    model = build_model(recipe.model, seq_len=recipe.batch.seq_len, seed=recipe.batch.seed)
    if recipe.numerics.activation_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})  # type: ignore[operator]
    return model


def logits_of(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """(rows, seq_len, vocabulary) logits of int64 ids (rows, seq_len).

    Without a mask transformers 4.57 makes a matrix of all pairs of tokens; the one given here hides none, and is left out.
    """
    logits: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return logits


def to_model_dtype(batch: dict[str, Any]) -> dict[str, Any]:
    """The same microbatch with `input_ids` as int64, made on the device where they are."""
    return {**batch, "input_ids": batch["input_ids"].to(torch.int64)}


def token_losses(logits: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
    """Nats of each predicted token, (rows, seq_len - 1), float32; of logits (rows, seq_len, vocabulary) and int64 ids."""
    predicted, targets = logits[:, :-1].float(), input_ids[:, 1:]
    losses = torch.nn.functional.cross_entropy(predicted.flatten(0, 1), targets.flatten(), reduction="none")
    return losses.view(targets.shape)


def mean_losses(losses: torch.Tensor, ignored: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss, and each row's mean nats, of (rows, seq_len - 1) predicted tokens, those left out that are ignored.

    In the loss, the mean over all of them, an ignored token counts as 0. So a token weighs the same whatever is ignored
    beside it, and the step is the same however the batch is divided into microbatches and ranks.
    """
    if ignored is None:
        return losses.mean(), losses.detach().mean(1)
    kept = ~ignored[:, 1:]
    losses = losses * kept
    return losses.mean(), losses.detach().sum(1) / kept.sum(1).clamp(min=1)
