"""The model as Composer calls it."""

from __future__ import annotations

import torch
from composer import ComposerModel, Event, State
from composer.core import Algorithm
from composer.loggers import Logger
from composer.utils import dist

from training.measures.watch import StepWatch
from training.model.llama import logits_of, mean_losses, token_losses
from training.processes.sharding import clip_gradients, gradient_excess


class LanguageModel(ComposerModel):  # type: ignore[misc]
    """Composer's view of the model: a batch to logits, logits to the loss. `row_losses`: of the last microbatch, (rows,)."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        model.fsdp_wrap_fn = is_layer  # type: ignore[assignment]
        self.row_losses = torch.zeros(0)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return logits_of(self.model, batch["input_ids"])

    def loss(self, outputs: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        mean, self.row_losses = mean_losses(token_losses(outputs, batch["input_ids"]), batch.get("ignored"))
        return mean


def is_layer(module: torch.nn.Module) -> bool:
    """Whether FSDP gathers this module's weights at once: a layer of the transformer."""
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer

    return isinstance(module, LlamaDecoderLayer)


class Clipping(Algorithm):  # type: ignore[misc]
    """Clips the norm of gradients, which are the mean over ranks, and lets a StepWatch look at it before the weights change.

    Over gloo torch adds the gradients of divided weights up instead, and says nothing; so what it does is tried.
    """

    def __init__(self, norm: float, watch: StepWatch) -> None:
        self._norm, self._watch = norm, watch
        self._excess: float | None = None

    def match(self, event: Event, state: State) -> bool:
        return bool(event == Event.AFTER_TRAIN_BATCH)

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        if state.fsdp_enabled and dist.get_world_size() > 1:
            self._divide(state)
        self._watch.check_gradients(clip_gradients(state.model, self._norm))

    def _divide(self, state: State) -> None:
        if self._excess is None:
            self._excess = gradient_excess(next(state.model.parameters()).device)
        if self._excess != 1.0:
            for parameter in state.model.parameters():
                if parameter.grad is not None:
                    parameter.grad.div_(self._excess)
