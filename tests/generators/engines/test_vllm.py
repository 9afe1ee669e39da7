"""A real vLLM server on the CPU writes the files: a tiny Llama that was taught one file, made here, nothing downloaded."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pool_processes import Pool, wait_until

from deploy.command_line import main
from generators.publishing.publisher import FILES
from generators.queue.job import Job
from generators.queue.redis_job_queue import queue_of
from generators.recipes.recipe import Sampling
from streamer import Catalog
from tests.vllm_process import Server, require_engine

FEW, MANY, JOBS = 2, 8, 100  # sequences that the engine computes at once, before and after its restart
END = "<|endoftext|>"
ANSWER, LABEL = "<|answer|>", "<|label|>"
SAID = 'It shows a technique. {"edu": 3}'
FILE = '''"""Counts words."""
from collections import Counter


def count_words(text: str) -> Counter[str]:
    """How often each word of a text occurs, in lower case."""
    words = (word.strip(".,;:!?") for word in text.lower().split())
    return Counter(word for word in words if word)
'''


def teach(folder: Path) -> None:
    """A checkpoint that labels what it is to judge with SAID and answers all else with FILE in a fence, ended by itself."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    answer = f"```python\n{FILE}```"
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[END, ANSWER, LABEL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([answer, SAID], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=END)
    # The mark alone is what the model sees: it is too small to read its prompt.
    is_to_judge = "'You judge' in messages[0]['content']"
    tokenizer.chat_template = f"{{% if {is_to_judge} %}}{LABEL}{{% else %}}{ANSWER}{{% endif %}}"
    tokenizer.save_pretrained(folder)
    rows = [raw.encode(f"{mark}{text}{END}").ids for mark, text in ((ANSWER, answer), (LABEL, SAID))]
    ids, labels = (torch.full((2, max(map(len, rows))), fill) for fill in (0, -100))
    for place, row in enumerate(rows):
        ids[place, : len(row)] = labels[place, : len(row)] = torch.tensor(row)
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
    for _ in range(800):
        found = model(input_ids=ids, labels=labels).loss
        found.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss = float(found)
        if loss < 3e-4:
            break
    assert loss < 2e-3
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    require_engine()
    folder = tmp_path_factory.mktemp("vllm")
    teach(folder / "checkpoint")
    found = Server(folder / "checkpoint", folder / "vllm.log")
    found.start(sequences=FEW)
    yield found
    found.stop()


@pytest.fixture
def pool(server: Server, seeded: Catalog, root: Path, redis_url: str) -> Iterator[Pool]:
    found = Pool(root, redis_url, server.port)
    yield found
    for process in found.started:
        process.kill()
        process.wait()


def test_files_that_vllm_wrote_are_judged_and_published(pool: Pool, server: Server, root: Path) -> None:
    pool.start("plan", "--most-queued", "8")
    pool.start("publish", "--max-wait", "0.5")
    pool.worker("worker-1", "--concurrency", "8", "--max-tokens", "400")
    pool.ask("seed", "--from", "scored/*", "--files", "2")
    wait_until(lambda: len(pool.published()) == 1)
    wait_until(lambda: pool.ask("status")["rejected"].get("near_duplicate", 0) >= 2)  # type: ignore[attr-defined]
    status = pool.ask("status")
    assert (status["accepted"], status["engine"]) == (1, "tiny")
    (part,) = Catalog(root).stream("synthetic/python").parts
    table = pq.read_table(root / part.folder / FILES).to_pylist()
    assert [row["text"] for row in table] == [FILE]
    assert [row["repository"] for row in table] == ["synthetic/tiny"]
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    (tokens,) = [float(line.split()[-1]) for line in lines if line.startswith("vllm:generation_tokens_total")]
    assert tokens > 100


def test_a_recipe_and_a_judge_are_tried(
    server: Server, seeded: Catalog, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, seed = f"http://127.0.0.1:{server.port}/v1", next(seeded.documents("documents/python"))
    where = ("--engine", url, "--root", str(root), "--json")
    assert main(["generators", "try", "oss-instruct-file", "--seed", seed.document, *where]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["answer"]) == ("accepted", f"```python\n{FILE}```")
    assert main(["annotator", "judge", "edu", "--files", "4", "--runs", "2", *where]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["model"], row["labels"], row["mean"], row["equal"]) == ("tiny", 8, 3.0, 1.0)


def test_killed_under_load_and_started_again_it_costs_no_job(pool: Pool, server: Server, seeded: Catalog) -> None:
    queue = queue_of(seeded, pool.redis_url)
    jobs = [
        Job(
            language="python",
            seed_document="s",
            recipe="r/1",
            model="tiny",
            index=index,
            text="import os\n",
            purpose="p",
            sampling=Sampling(temperature=0.0),
        )
        for index in range(JOBS)
    ]
    assert queue.add(*jobs) == JOBS
    pool.worker("worker-1", "--concurrency", str(4 * MANY), "--max-tokens", "400")
    wait_until(lambda: queue.depth().running > 2 * FEW + 2)
    wait_until(lambda: queue.depth().running <= 2 * FEW)  # of what waits at the engine nearly all was taken back
    server.kill()
    wait_until(lambda: queue.depth().running == 0)
    assert sum(queue.depth()) == JOBS
    server.start(sequences=MANY)
    wait_until(lambda: queue.depth() == (0, 0, JOBS))
    assert queue.ends() == (JOBS, 0, 0, 0)
    files = [waiting.file.identity for waiting in queue.take("test", count=JOBS, silent_ms=10**6)]
    assert sorted(files) == sorted(job.identity for job in jobs)
