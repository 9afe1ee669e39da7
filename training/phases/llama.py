"""A recipe's model as transformers describes it, which is imported late."""

from __future__ import annotations

from typing import Any

from training.phases.phase import ModelShape


def llama_config(shape: ModelShape, *, seq_len: int) -> Any:
    """The LlamaConfig of a shape, of at most `seq_len` positions, as it trains: without special tokens or a cache.

    Source: Arctic-SnowCoder, section 3: the shape of Llama 2, tied embeddings.
    """
    from transformers import LlamaConfig

    return LlamaConfig(
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
