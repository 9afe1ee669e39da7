"""Trains on a run in the style of Lightning: a module says what a step is, and a short loop does the rest.

    python examples/lightning_style.py ROOT RUN --steps 20

`CodeModel` has the methods of a LightningModule; Lightning itself is not needed. Needs the extra train.
"""

import argparse
from itertools import islice
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from training import MixedLoader

Batch = dict[str, torch.Tensor]


class CodeModel(torch.nn.Module):
    """What to train and how, without a loop."""

    def __init__(self, root: str, run: str) -> None:
        super().__init__()
        self.root, self.run = root, run
        shape = LlamaConfig(
            vocab_size=1 << 16,  # any id of a uint16 stream; take your tokenizer's own
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
        )
        self.model = LlamaForCausalLM(shape)

    def train_dataloader(self) -> MixedLoader:
        return MixedLoader(self.root, self.run)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)

    def training_step(self, batch: Batch, batch_idx: int) -> Any:
        return self.model(input_ids=batch["input_ids"], labels=batch["labels"]).loss


def fit(module: CodeModel, *, max_steps: int) -> None:
    """The loop: a batch, a step, a line."""
    optimizer, loader = module.configure_optimizers(), module.train_dataloader()
    for index, batch in enumerate(islice(loader, max_steps)):
        loss = module.training_step(batch, index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"step {loader.step} loss {loss.item():.6f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train on a run in the style of Lightning.")
    parser.add_argument("root", help="root of the catalog")
    parser.add_argument("run", help="name of the run")
    parser.add_argument("--steps", type=int, default=20, help="train this many steps")
    options = parser.parse_args()
    torch.manual_seed(0)
    fit(CodeModel(options.root, options.run), max_steps=options.steps)


if __name__ == "__main__":
    main()
