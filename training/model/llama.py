"""Builds a Llama of any size, computes its loss, and casts its tokens. It knows nothing of Composer.

Always holds: the loss is computed in float32. Tokens stay in the stream's own dtype until a microbatch is on the device.
"""

from __future__ import annotations

from typing import Any

import torch

from training.phases.phase import ModelShape


def build_model(shape: ModelShape, *, seq_len: int, seed: int) -> torch.nn.Module:
    """A LlamaForCausalLM with weights drawn from `seed`. Torch's own random state stays as it was.

    Source: Arctic-SnowCoder, section 3: the shape of Llama 2, tied embeddings.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        vocab_size=shape.vocab_size,
        rope_theta=shape.rope_theta,
        tie_word_embeddings=shape.tied_embeddings,
        attention_dropout=shape.dropout,
        max_position_embeddings=seq_len,
        use_cache=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: torch.nn.Module = LlamaForCausalLM(config)
    return model


def to_model_dtype(batch: dict[str, Any]) -> dict[str, Any]:
    """The same microbatch with `input_ids` as int64, made on the device where they are."""
    return {**batch, "input_ids": batch["input_ids"].to(torch.int64)}


def token_losses(logits: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
    """Nats of each predicted token, (rows, seq_len - 1), float32; of logits (rows, seq_len, vocabulary) and int64 ids."""
    predicted, targets = logits[:, :-1].float(), input_ids[:, 1:]
    losses = torch.nn.functional.cross_entropy(predicted.flatten(0, 1), targets.flatten(), reduction="none")
    return losses.view(targets.shape)


def mean_losses(losses: torch.Tensor, redacted: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean nats of all and of each row's (rows, seq_len - 1) predicted tokens, those left out that are redacted."""
    if redacted is None:
        return losses.mean(), losses.detach().mean(1)
    kept = ~redacted[:, 1:]
    losses = losses * kept
    return losses.sum() / kept.sum().clamp(min=1), losses.detach().sum(1) / kept.sum(1).clamp(min=1)
