"""Trains a small model on a run with Hugging Face's Trainer, and resumes it exactly.

    python examples/hf_trainer.py ROOT RUN --steps 20

Call it again with more steps: it resumes the last checkpoint with the batch after it. Needs the extra train and accelerate.
"""

import argparse

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from training import MixedLoader, TrainerPosition


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small model on a run with Hugging Face's Trainer.")
    parser.add_argument("root", help="root of the catalog")
    parser.add_argument("run", help="name of the run")
    parser.add_argument("--steps", type=int, default=20, help="train up to this step")
    parser.add_argument("--folder", default="hf_trainer", help="save checkpoints here")
    options = parser.parse_args()

    class MixedTrainer(Trainer):  # type: ignore[misc]
        def get_train_dataloader(self) -> MixedLoader:
            return MixedLoader(options.root, options.run, with_stream=False)

    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=1 << 16,  # any id of a uint16 stream; take your tokenizer's own
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
    )
    model = LlamaForCausalLM(shape)
    arguments = TrainingArguments(
        output_dir=options.folder,
        max_steps=options.steps,
        save_steps=10,
        logging_steps=1,
        lr_scheduler_type="constant",
        report_to=[],
    )
    trainer = MixedTrainer(model, arguments, callbacks=[TrainerPosition()])
    trainer.train(resume_from_checkpoint=get_last_checkpoint(options.folder))
    for line in trainer.state.log_history:
        if "loss" in line:
            print(f"step {line['step']} loss {line['loss']:.6f}")


if __name__ == "__main__":
    main()
