"""A real vLLM server on the CPU serves an exported checkpoint and writes what transformers writes."""

import json
import shutil
import urllib.request
from pathlib import Path

import torch
from train_process import train
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.vllm_process import Server, require_engine
from training.checkpoints.export import export_checkpoint

WIDE = ("--set", "model.hidden_size=128", "--set", "model.num_heads=4")  # vLLM's heads on CPUs have at least 32 numbers
PROMPTS = ("def f(x):\n", "import os\nfrom pathlib", "class Store:")


def complete(port: int, prompt: str) -> str:
    body = {"model": "tiny", "prompt": prompt, "max_tokens": 16, "temperature": 0}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        found: str = json.load(answer)["choices"][0]["text"]
    return found


def test_vllm_continues_a_prompt_as_transformers_does(code_template: Path, tmp_path: Path) -> None:
    require_engine()
    root = shutil.copytree(code_template, tmp_path / "catalog")
    train(root, "a", *WIDE, "--set", "steps=40", "--set", "schedule.peak_learning_rate=1e-2")
    folder = tmp_path / "model"
    export_checkpoint(str(root), root / "checkpoints" / "a", folder)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    wanted = []
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        with torch.inference_mode():
            written = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=16)
        wanted.append(tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True))
    server = Server(folder, tmp_path / "vllm.log")
    server.start(sequences=2, tokens=32)
    try:
        assert [complete(server.port, prompt) for prompt in PROMPTS] == wanted
    finally:
        server.stop()
    assert len(set(wanted)) == len(PROMPTS)
