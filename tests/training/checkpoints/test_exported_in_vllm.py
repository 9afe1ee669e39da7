"""A real vLLM server on the CPU serves an exported checkpoint and computes what transformers computes."""

import json
import shutil
import urllib.request
from pathlib import Path

import pytest
import torch
from train_process import train
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.vllm_process import Server, require_engine
from training.checkpoints.export import export_checkpoint
from training.evaluation.endpoint import EndpointModel
from training.evaluation.transformers_model import TransformersModel

WIDE = ("--set", "model.hidden_size=128", "--set", "model.num_heads=4")  # vLLM's heads on CPUs have at least 32 numbers
PROMPTS = ("def f(x):\n    return x + 1\n", "import os\nfrom pathlib import Path\n", "class Store:\n    pass\n")


def served(port: int, ids: list[int]) -> list[float]:
    """The log-probability of each token of `ids` but the first, given those before it, by the server."""
    body = {"model": "tiny", "prompt": ids, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        found = json.load(answer)["choices"][0]["prompt_logprobs"]
    return [place[str(token)]["logprob"] for place, token in zip(found[1:], ids[1:], strict=True)]


def test_vllm_computes_what_transformers_computes(code_template: Path, tmp_path: Path) -> None:
    """Each token's probability is compared, not what a model writes: one that has hardly learned repeats itself."""
    require_engine()
    root = shutil.copytree(code_template, tmp_path / "catalog")
    train(root, "a", *WIDE, "--set", "steps=40", "--set", "schedule.peak_learning_rate=1e-2")
    folder = tmp_path / "model"
    export_checkpoint(str(root), root / "checkpoints" / "a", folder)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    (folder / "generation_config.json").write_text('{"repetition_penalty": 1.5}')  # which vLLM applies, unless asked not to
    here, server = TransformersModel(folder), Server(folder, tmp_path / "vllm.log")
    server.start(sequences=2, tokens=32)
    try:
        for prompt in PROMPTS:
            ids = tokenizer(prompt).input_ids
            with torch.inference_mode():
                logits = model(torch.tensor([ids])).logits[0, :-1].float()
            wanted = logits.log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()
            assert served(server.port, ids) == pytest.approx(wanted, abs=1e-3)
            written = EndpointModel(f"http://127.0.0.1:{server.port}/v1", folder).write(prompt, (), 8)
            assert written.text == here.write(prompt, (), 8).text
            assert min(wanted) < -1  # tokens that a model of any kind would foresee would show nothing
    finally:
        server.stop()
