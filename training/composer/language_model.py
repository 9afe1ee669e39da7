"""The model as Composer calls it."""

from __future__ import annotations

import torch
from composer import ComposerModel

from training.model.llama import mean_losses, token_losses


class LanguageModel(ComposerModel):  # type: ignore[misc]
    """Composer's view of the model: a batch to logits, logits to the loss. `row_losses`: of the last microbatch, (rows,)."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        self.row_losses = torch.zeros(0)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=batch["input_ids"]).logits
        return logits

    def loss(self, outputs: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        mean, self.row_losses = mean_losses(token_losses(outputs, batch["input_ids"]), batch.get("redacted"))
        return mean
