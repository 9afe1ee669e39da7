"""A small benchmark in HumanEval+'s form, and a tiny Llama that was taught to solve one of its tasks."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
PYTHON = REPOSITORY / ".evalplus" / "bin" / "python"
PROMPTS = {
    "twice": ("Twice a number.", "    return number * 2\n"),
    "thrice": ("Three times a number.", "    return number * 3\n"),
    "square": ("A number times itself.", "    return number * number\n"),
    "negative": ("A number with the other sign.", "    return -number\n"),
}
CONTEXT = 128
Answers = Callable[[str, Any], tuple[int, Any]]  # path and request -> status and body


def rows() -> list[dict[str, Any]]:
    return [
        {
            "task_id": f"HumanEval/{number}",
            "prompt": f'def {name}(number):\n    """{text}"""\n',
            "entry_point": name,
            "canonical_solution": solution,
            "base_input": [[1], [2]],
            "plus_input": [[-1], [0.5]],
            "atol": 0,
        }
        for number, (name, (text, solution)) in enumerate(PROMPTS.items())
    ]


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    if not PYTHON.exists() and "CI" not in os.environ:
        pytest.skip(f"{PYTHON} is missing; make benchmarks installs it")
    path = tmp_path / "HumanEvalPlus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


@pytest.fixture(scope="session")
def solver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It solves `twice`, and then writes a test and another function, as base models do."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "solver"
    row = rows()[0]
    more = f"{row['canonical_solution']}\nprint(twice(2))\n\ndef thrice(number):\n    return number * 3\n<|endoftext|>"
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.train_from_iterator(
        [row["prompt"], more],
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|endoftext|>").save_pretrained(folder)
    ids = torch.tensor([raw.encode(row["prompt"]).ids + raw.encode(more).ids])  # as at an evaluation
    torch.manual_seed(1)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=raw.get_vocab_size(),
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=CONTEXT,
            eos_token_id=0,
            bos_token_id=None,
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    loss = float("inf")
    for _ in range(400):
        found = model(input_ids=ids, labels=ids).loss
        found.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss = float(found)
        if loss < 1e-3:
            break
    assert loss < 1e-2
    assert ids.shape[1] <= CONTEXT
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def served() -> Iterator[Callable[[Answers], str]]:
    servers = []

    def serve(answers: Answers) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(None)

            def do_POST(self) -> None:
                self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def answer(self, request: Any) -> None:
                code, body = answers(self.path, request)
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/v1"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()
