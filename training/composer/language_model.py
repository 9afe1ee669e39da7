"""The model as Composer calls it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from composer import ComposerModel
from torch.distributed.fsdp import FSDPModule

from training.composer.model import mean_losses, token_losses


class LanguageModel(ComposerModel):  # type: ignore[misc]
    """Composer's view of the model: a batch to logits, logits to the loss. `row_losses`: of the last microbatch, (rows,)."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        model.fsdp_wrap_fn = is_layer  # type: ignore[assignment]
        self.row_losses = torch.zeros(0)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=batch["input_ids"]).logits
        return logits

    def loss(self, outputs: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        mean, self.row_losses = mean_losses(token_losses(outputs, batch["input_ids"]), batch.get("redacted"))
        return mean


def is_layer(module: torch.nn.Module) -> bool:
    """Whether FSDP gathers this module's weights at once: a layer of the transformer."""
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer

    return isinstance(module, LlamaDecoderLayer)


@contextmanager
def whole(model: torch.nn.Module) -> Iterator[None]:
    """Keeps all weights on each rank, where FSDP divides them: ranks may then call the model any number of times."""
    sharded = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for module in sharded:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    yield
    for module in sharded:
        module.reshard()
