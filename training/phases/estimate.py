"""What a training takes: the model's parameters, the operations of a token, and the memory of each rank.

Always holds: pure; it loads neither torch nor transformers.
"""

from __future__ import annotations

import msgspec

from training.phases.phase import ModelShape, Recipe

FLOAT32, BFLOAT16 = 4, 2  # bytes of a number


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of one rank; see `memory`."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits


def parameters(shape: ModelShape) -> int:
    """The parameters of a model of that shape."""
    embeddings = (1 if shape.tied_embeddings else 2) * shape.vocab_size * shape.hidden_size
    return embeddings + shape.num_layers * layer_parameters(shape) + shape.hidden_size


def layer_parameters(shape: ModelShape) -> int:
    """Those of one layer: attention, feed-forward part and two norms."""
    hidden = shape.hidden_size
    return 2 * hidden**2 + 2 * hidden * kv_size(shape) + 3 * hidden * shape.intermediate_size + 2 * hidden


def kv_size(shape: ModelShape) -> int:
    """The width of a layer's keys."""
    return shape.hidden_size // shape.num_heads * shape.num_kv_heads


def flops_per_token(shape: ModelShape, *, seq_len: int) -> int:
    """The operations that training on a token takes: 6 N + 12 L H Q T, of N parameters, L layers, H heads of Q numbers and
    T tokens a sample; attention counts as if it looked at all of them, and nothing that is computed again does.

    Embeddings that are looked up alone are not among the N, the output layer is. Source: PaLM (Chowdhery et al. 2022),
    appendix B.
    """
    looked_up = 0 if shape.tied_embeddings else shape.vocab_size * shape.hidden_size
    return 6 * (parameters(shape) - looked_up) + 12 * shape.num_layers * shape.hidden_size * seq_len


def memory(recipe: Recipe, *, ranks: int, trainer: str = "composer") -> Memory:
    """An estimate of the memory that one of so many ranks needs at its peak, at the start of a backward pass.

    With P parameters, L layers, hidden size h, feed-forward size f, keys of width k, a vocabulary of V and n tokens in a
    microbatch:

    - weights 4 P, gradients 4 P, Adam's two means 8 P bytes. Sharded, each rank has 1/ranks of them and one layer whole, in
      the model's number format; so it is with `trainer` torch unless the recipe says otherwise or trains on the CPU. In bf16
      and not sharded a copy of the weights in bf16 comes on top, 2 P.
    - activations that the backward pass needs, with an attention that keeps no matrix of all pairs of tokens: a layer has
      8 h + 2 k + 4 f numbers a token, 4 bytes each. In bf16 they are 11 h + 2 k + 4 f, for each of seven matrices gets its
      input in a copy, and 4 h of them, in the norms, stay float32. The last norm has 2 h. With activation checkpointing a
      layer keeps its input alone, and one layer has them all.
    - logits n V times: themselves, their logarithms of probabilities, and two gradients, in float32.

    Not counted are the libraries (some 0.5 to 1 GB on a GPU), buffers of communication, what the allocator wastes, attention
    with dropout, and the copy that a checkpoint is written from: 12 P bytes of the host's memory.
    """
    shape, count, layer = recipe.model, parameters(recipe.model), layer_parameters(recipe.model)
    is_bf16 = recipe.numerics.precision == "amp_bf16"
    number = BFLOAT16 if is_bf16 else FLOAT32
    is_sharded = ranks > 1 and recipe.numerics.is_sharded(by=trainer, on_gpu=recipe.numerics.device != "cpu")
    shards = ranks if is_sharded else 1
    whole = number * layer if is_sharded else number * count if is_bf16 else 0
    rows = min(recipe.batch.microbatch, max(1, recipe.batch.global_batch // ranks))
    tokens = rows * recipe.batch.seq_len
    hidden, layers = shape.hidden_size, shape.num_layers
    inputs = 7 if is_bf16 else 4
    inner = number * (inputs * hidden + 2 * kv_size(shape) + 4 * shape.intermediate_size) + FLOAT32 * 4 * hidden
    kept = FLOAT32 * hidden * layers + inner if recipe.numerics.activation_checkpointing else inner * layers
    return Memory(
        weights=FLOAT32 * count // shards + whole,
        gradients=FLOAT32 * count // shards,
        optimizer=2 * FLOAT32 * count // shards,
        activations=tokens * (kept + FLOAT32 * 2 * hidden),
        logits=tokens * shape.vocab_size * (number + 3 * FLOAT32),
    )
