"""A model in a folder of Hugging Face's form, run by transformers in this process.

Always holds: nothing of the folder is executed or unpickled: its weights are safetensors, and its code is not looked at.
An answer is what the model finds most likely, token by token, whatever the folder says of sampling or penalties; one prompt
is computed at a time, so that an answer does not depend on the prompts beside it.

How: an answer is decoded behind its prompt, and the prompt cut off, because decoders of Llama's kind drop a blank at the
start of what they are given.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from streamer import background
from streamer.wording import listed, one_line
from training.errors import EvaluationError
from training.evaluation.answering import ENDED, LENGTH, TOO_LONG, Scored, Written, cut
from training.evaluation.heldout import bytes_of_tokens

TAIL_TOKENS = 24  # in which a stop is looked for after each token


class TransformersModel:
    """Raises: EvaluationError when the folder has no model that transformers can load."""

    name, concurrency = "transformers", 1

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = "auto" if device == "cuda" else torch.float32
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            self._model, told = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=dtype,
                output_loading_info=True,
            )  # fmt: skip
            if lacks := sorted(told["missing_keys"]):
                raise ValueError(f"its safetensors lack {listed(lacks)}")
            self._bytes = bytes_of_tokens(self._tokenizer.backend_tokenizer)
            self._context = int(self._model.config.max_position_embeddings)
            ends = self._model.generation_config.eos_token_id
            self._ends = {*(ends if isinstance(ends, list) else [ends]), self._tokenizer.eos_token_id} - {None}
            settings = GenerationConfig(
                do_sample=False, eos_token_id=sorted(self._ends) or None, pad_token_id=min(self._ends, default=0)
            )
        except Exception as error:  # of a damaged folder transformers, tokenizers and safetensors raise many kinds
            raise EvaluationError(
                f"{folder} cannot be loaded as a model ({one_line(error)}); name a folder in the form of Hugging Face, with "
                "safetensors, tokenizer.json and max_position_embeddings"
            ) from error
        self._model.to(device).eval()
        self._device = device
        self._model.generation_config = settings

    def write(self, prompt: str, stops: tuple[str, ...], max_new_tokens: int) -> Written:
        """What the model writes, up to `max_new_tokens` or the end of its context."""
        ids = self._tokenizer(prompt, return_tensors="pt", verbose=False).input_ids.to(self._device)
        room = self._context - ids.shape[1]
        if room < 1:
            return Written("", TOO_LONG)
        has_ended = False

        def is_done(found: torch.Tensor, _: Any, **__: Any) -> torch.Tensor:
            nonlocal has_ended
            background.check()
            tail = self._decode(found[0, ids.shape[1] :][-TAIL_TOKENS:])
            has_ended = any(stop in tail for stop in stops)
            return torch.tensor([has_ended], device=self._device)

        with torch.inference_mode():
            found = self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=min(max_new_tokens, room),
                use_cache=True,
                stopping_criteria=[is_done],
            )[0]
        if int(found[-1]) in self._ends:
            found, has_ended = found[:-1], True
        answer = self._decode(found)[len(self._decode(ids[0])) :]
        return Written(cut(answer, stops), ENDED if has_ended else LENGTH)

    def score(self, prompt: str, continuation: str) -> Scored | None:
        """Nats and bytes of the tokens that end behind the prompt; None where the text is longer than the context, or the
        bytes of its tokens are not known.

        A token that ends the prompt and begins the continuation counts as a whole, with its bytes.
        """
        text = prompt + continuation
        ids = self._tokenizer(text, return_tensors="pt", verbose=False).input_ids.to(self._device)
        text_bytes = self._bytes[ids[0].cpu().numpy()]
        added = int(text_bytes.sum()) - len(text.encode())  # 1 where the tokenizer puts a blank before the text
        said = self._decode(ids[0], skip_special_tokens=True)
        if ids.shape[1] > self._context or added not in (0, 1) or said not in (text, " " * added + text):
            return None
        text_bytes[(text_bytes > 0).argmax()] -= added
        counted = text_bytes.cumsum()[1:] > len(prompt.encode())
        with torch.inference_mode():
            logits = self._model(ids).logits[0, :-1].float()
            losses = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none").double().cpu().numpy()
        nats = float(losses[counted].sum())
        return Scored(nats, int(text_bytes[1:][counted].sum())) if math.isfinite(nats) and counted.any() else None

    def _decode(self, ids: torch.Tensor, *, skip_special_tokens: bool = False) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False)
        return text
