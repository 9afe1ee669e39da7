"""A real vLLM server on the CPU writes the files: a tiny Llama that was taught one file, made here, nothing downloaded."""

import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pool_processes import Pool, wait_until

from deploy.local import processes
from generators.publishing.publisher import FILES
from streamer import Catalog

ENGINE = Path(__file__).parents[3] / ".engine" / "bin" / "python"
READY_S = 400.0
END = "<|endoftext|>"
ANSWER = "<|answer|>"
FILE = '''"""Counts words."""
from collections import Counter


def count_words(text: str) -> Counter[str]:
    """How often each word of a text occurs, in lower case."""
    words = (word.strip(".,;:!?") for word in text.lower().split())
    return Counter(word for word in words if word)
'''


def teach(folder: Path) -> None:
    """A checkpoint that answers anything with FILE in a fence, ended by itself."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    answer = f"```python\n{FILE}```"
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[END, ANSWER],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([answer], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=END)
    # The answer's mark alone is what the model sees: it is too small to read its prompt.
    tokenizer.chat_template = ANSWER
    tokenizer.save_pretrained(folder)
    ids = torch.tensor([raw.encode(f"{ANSWER}{answer}{END}").ids])
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=raw.get_vocab_size(),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        eos_token_id=0,
        bos_token_id=0,
    )
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    loss = float("inf")
    for _ in range(400):
        found = model(input_ids=ids, labels=ids).loss
        found.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss = float(found)
        if loss < 2e-3:
            break
    assert loss < 0.02
    model.save_pretrained(folder)


@pytest.fixture
def vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server of the inference environment."""
    if not ENGINE.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{ENGINE} is not there; run make engine")
        pytest.skip(f"{ENGINE} is not there; make engine installs vLLM")
    checkpoint = tmp_path / "checkpoint"
    teach(checkpoint)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ("generators", "engine", "up", str(checkpoint), "--name", "tiny", "--port", str(port), "--python", str(ENGINE))
    argv = (sys.executable, "-P", "-m", "phasemix", *words, "--flags=--max-model-len 1024 --max-num-seqs 8")
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    log = tmp_path / "vllm.log"
    process = processes.start(argv, log=log)
    deadline = time.monotonic() + READY_S
    try:
        while f"ready at http://127.0.0.1:{port}/v1" not in log.read_text():
            assert process.poll() is None, log.read_text()[-4000:]
            assert time.monotonic() < deadline, log.read_text()[-4000:]
            time.sleep(0.5)
        yield port
    finally:
        identity = processes.identify(process.pid)
        process.terminate()
        try:
            assert process.wait(timeout=30) == 0, log.read_text()[-4000:]
        finally:
            assert identity is not None
            processes.send(identity, signal.SIGKILL)  # its group, should anything be left of it


def test_files_that_vllm_wrote_are_judged_and_published(vllm: int, seeded: Catalog, root: Path, redis_url: str) -> None:
    pool = Pool(root, redis_url, vllm)
    try:
        pool.start("plan", "--most-queued", "8")
        pool.start("publish", "--max-wait", "0.5")
        pool.worker("worker-1", "--concurrency", "8", "--max-tokens", "400")
        pool.ask("seed", "--from", "scored/*", "--files", "2")
        wait_until(lambda: len(pool.published()) == 1)
        wait_until(lambda: pool.ask("status")["rejected"].get("near_duplicate", 0) >= 2)  # type: ignore[attr-defined]
        status = pool.ask("status")
        assert (status["accepted"], status["engine"]) == (1, "tiny")
    finally:
        for process in pool.started:
            process.kill()
            process.wait()
    (part,) = Catalog(root).stream("synthetic/python").parts
    table = pq.read_table(root / part.folder / FILES).to_pylist()
    assert [row["text"] for row in table] == [FILE]
    assert [row["repository"] for row in table] == ["synthetic/tiny"]
    with urllib.request.urlopen(f"http://127.0.0.1:{vllm}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    (tokens,) = [float(line.split()[-1]) for line in lines if line.startswith("vllm:generation_tokens_total")]
    assert tokens > 100
