"""Trains a small model on a run with plain PyTorch, and resumes it exactly.

    python examples/plain_pytorch.py ROOT RUN --steps 20

Call it again with more steps: it continues with the batch after the last one, also when the number of workers or the run's
mixture has changed since. Needs the extra train.
"""

import argparse
from itertools import islice
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from training import MixedLoader


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small model on a run with plain PyTorch.")
    parser.add_argument("root", help="root of the catalog")
    parser.add_argument("run", help="name of the run")
    parser.add_argument("--steps", type=int, default=20, help="train up to this step")
    parser.add_argument("--workers", type=int, default=0, help="processes that read")
    parser.add_argument("--checkpoint", type=Path, default=Path("plain_pytorch.pt"), help="save and resume here")
    options = parser.parse_args()

    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=1 << 16,  # any id of a uint16 stream; take your tokenizer's own
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
    )
    model = LlamaForCausalLM(shape)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loader = MixedLoader(options.root, options.run, num_workers=options.workers)
    if options.checkpoint.exists():
        saved = torch.load(options.checkpoint)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        loader.load_state_dict(saved["loader"])

    for batch in islice(loader, max(0, options.steps - loader.step)):
        loss = model(input_ids=batch["input_ids"], labels=batch["labels"]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print(f"step {loader.step} loss {loss.item():.6f}")

    saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "loader": loader.state_dict()}
    torch.save(saved, options.checkpoint)


if __name__ == "__main__":
    main()
