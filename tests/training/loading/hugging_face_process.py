"""One rank of a training by Hugging Face's Trainer: what it trained on and its loss, a line a step.

Arguments: root, run, steps, folder of checkpoints, output file, the step at which it kills itself (-1: at none). It resumes
the last checkpoint of the folder.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch.serialization import register_package
from transformers import Trainer, TrainingArguments
from transformers.models.llama.modeling_llama import LlamaConfig, LlamaForCausalLM
from transformers.trainer_utils import get_last_checkpoint

from training import MixedLoader, TrainerPosition


def main() -> None:
    root, run, steps, folder, output, die_at = sys.argv[1:]
    rank = os.environ.get("RANK", "0")

    class Recording(Trainer):  # type: ignore[misc]
        def get_train_dataloader(self) -> MixedLoader:
            return MixedLoader(root, run, with_stream=False)

        def training_step(self, model: Any, inputs: Any, *rest: Any) -> Any:
            step = self.state.global_step
            if step == int(die_at):
                os.kill(os.getpid(), signal.SIGKILL)
            loss = super().training_step(model, inputs, *rest)
            with Path(f"{output}.{rank}").open("a") as lines:
                print(json.dumps({"step": step, "ids": inputs["input_ids"].tolist(), "loss": float(loss)}), file=lines)
            return loss

    # Several ranks on CPUs load their optimizer to "cpu:0", a place that torch's loading does not know.
    register_package(5, lambda storage: None, lambda storage, place: storage if place.startswith("cpu:") else None)
    torch.manual_seed(7)
    shape = LlamaConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1,
        vocab_size=60000, max_position_embeddings=8, pad_token_id=None, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    arguments = TrainingArguments(
        output_dir=folder, max_steps=int(steps), save_steps=3, per_device_train_batch_size=1, report_to=[], use_cpu=True,
        ddp_backend="gloo" if "RANK" in os.environ else None, disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    Path(folder).mkdir(exist_ok=True)
    Recording(LlamaForCausalLM(shape), arguments, callbacks=[TrainerPosition()]).train(
        resume_from_checkpoint=get_last_checkpoint(folder)
    )


if __name__ == "__main__":
    main()
