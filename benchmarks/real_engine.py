"""What a worker leaves of a real engine's speed: output tokens a second beside a bare client of the same vLLM server.

    python -m benchmarks.real_engine [--jobs N] [--concurrency N] [--rounds N] [--python PYTHON] [--json]

A small Llama is made here and taught one file, which it answers to some prompts; the title says how many answers the gates
refused. vLLM serves it on this machine.
In each round a bare aiohttp client asks for N answers, and a worker of the command line does N jobs from Redis with the same
prompts and the same number of requests at once, a publisher beside it; which comes first changes from round to round. PYTHON
is that of the environment that has vLLM.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psutil  # type: ignore[import-untyped]

from benchmarks.generation import answers, fill, find_free_port, train_tokenizer, wait_until
from benchmarks.instant_engine import real_functions
from benchmarks.report import Report, show
from deploy.local import processes
from deploy.local.redis_server import does_redis_answer, find_redis, redis_address, redis_argv
from generators.engines.vllm_server import find_python, server_of, this_machine
from generators.queue.job import Job
from generators.queue.redis_job_queue import RedisJobQueue, queue_of
from generators.recipes.recipe import Sampling, write_prompt
from streamer import Catalog

END, ANSWER, MODEL = "<|endoftext|>", "<|answer|>", "taught"
HIDDEN, LAYERS, STEPS = 256, 4, 500
FILE_CHARACTERS = 1200
PROMPT = "Write a {language} file, variation {variation}, from this one.\n\n{seed}\n"
MOST_TOKENS = 768
WANTED = 0.97


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=128, help="of a round")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--python", default=None, help="of the environment that has vLLM")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pm-real-engine-") as folder:
        found = measure(Path(folder), options.jobs, options.concurrency, options.rounds, find_python(options.python))
        return show(found, as_json=options.json)


def measure(folder: Path, jobs: int, concurrency: int, rounds: int, python: str) -> Report:
    checkpoint = folder / "checkpoint"
    tokens = teach(checkpoint)
    catalog = fill(folder / "root")
    with ExitStack() as stack:
        port, url = find_free_port(), redis_address(folder)
        more = ["--max-model-len", "1024", "--no-enable-prefix-caching"]  # both ask the same, one after the other
        server = server_of(str(checkpoint), python=python, port=port, machine=this_machine(), name=MODEL, more=more)
        start(stack, folder / "redis.log", redis_argv(find_redis(), folder))
        start(stack, folder / "vllm.log", server.argv, server.environment)
        wait_until(lambda: does_redis_answer(url) and answers(port))
        queue = queue_of(catalog, url)
        verb = (sys.executable, "-P", "-m", "phasemix", "generators")
        where = ("--root", str(folder / "root"), "--redis", url)
        start(stack, folder / "publisher.log", (*verb, "publish", *where))
        words = ("--engine", server.url, "--concurrency", str(concurrency), "--name", "one")
        worker = start(stack, folder / "worker.log", (*verb, "work", *where, *words))
        wait_until(lambda: queue.client.hlen(f"{queue.keys}:workers") == 1)
        rows = []
        asyncio.run(ask(server.url, jobs_of(catalog, concurrency, first=0), concurrency))  # what is compiled at first use
        for number in range(1, rounds + 1):
            these = jobs_of(catalog, jobs, first=number * jobs)
            worked = work(queue, these, worker, server.url) if number % 2 == 0 else None
            began_s, before = time.perf_counter(), tokens_written(server.url)
            asyncio.run(ask(server.url, these, concurrency))
            bare = (tokens_written(server.url) - before) / (time.perf_counter() - began_s)
            worked = worked or work(queue, these, worker, server.url)
            rows.append({"round": number, "bare": bare, **worked, "ratio": worked["worker"] / bare})
        rejected = dict(queue.rejections())
    ratios = [row["ratio"] for row in rows]
    figures = {"ratio": statistics.median(ratios), "worst": min(ratios), "rejected": rejected}
    title = (
        f"output tokens a second by the engine's count, {concurrency} requests at once, {tokens} tokens an answer, by a "
        f"model of {LAYERS} layers; rejected {rejected or 'none'}"
    )
    return Report(title, rows, figures, {"ratio": (">=", WANTED)})


def start(stack: ExitStack, log: Path, argv: Any, environment: dict[str, str] | None = None) -> psutil.Process:
    process = processes.start(argv, log=log, changes=environment or {})
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return psutil.Process(process.pid)


def jobs_of(catalog: Catalog, count: int, *, first: int) -> list[Job]:
    seeds = list(catalog.documents("documents/python"))
    return [
        Job(
            language="python",
            seed_document=seeds[number % len(seeds)].document,
            recipe="instant/1",
            model=MODEL,
            index=first + number,
            text=seeds[number % len(seeds)].text[:1500],
            purpose="demand/python",
            prompt=PROMPT,
            sampling=Sampling(temperature=0.0, max_tokens=MOST_TOKENS),
        )
        for number in range(count)
    ]


def tokens_written(url: str) -> float:
    """All output tokens of an engine by its own count, whoever asked."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("vllm:generation_tokens_total"))


def work(queue: RedisJobQueue, jobs: list[Job], worker: psutil.Process, url: str) -> dict[str, float]:
    """Tokens a second of the worker, and its CPU milliseconds a job."""
    before, cpu, written = sum(queue.ends()[:3]), worker.cpu_times(), tokens_written(url)
    began_s = time.perf_counter()
    queue.add(*jobs)
    wait_until(lambda: sum(queue.ends()[:3]) >= before + len(jobs))
    took_s, now = time.perf_counter() - began_s, worker.cpu_times()
    used_s = now.user + now.system - cpu.user - cpu.system
    return {"worker": (tokens_written(url) - written) / took_s, "CPU ms a job": 1e3 * used_s / len(jobs)}


def request_of(job: Job) -> bytes:
    prompt = write_prompt(job.prompt, language=job.language, seed=job.text, variation=job.index + 1)
    request = {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": MOST_TOKENS}
    return msgspec.json.encode({**request, "temperature": 0.0, "top_p": job.sampling.top_p, "seed": job.index})


async def ask(url: str, jobs: list[Job], concurrency: int) -> None:
    """A bare client's requests."""
    waiting = iter(jobs)

    async def follow(session: aiohttp.ClientSession) -> None:
        for job in waiting:
            async with session.post(f"{url}/chat/completions", data=request_of(job)) as answer:
                msgspec.json.decode(await answer.read())

    async with aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session:
        await asyncio.gather(*(follow(session) for _ in range(concurrency)))


def teach(folder: Path) -> int:
    """A checkpoint that answers anything with some real functions in a fence. Returns: the tokens of the answer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    pieces, functions = list[str](), real_functions()
    while sum(map(len, pieces)) < FILE_CHARACTERS:
        pieces.append(functions[7 * len(pieces)])
    answer = "```python\n" + "\n\n\n".join(pieces) + "\n```"
    raw = train_tokenizer(functions)
    raw.add_special_tokens([ANSWER])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=END)
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}" + ANSWER
    tokenizer.save_pretrained(folder)
    seeds = [piece[: 100 * number] for number, piece in enumerate(functions[:8])]
    end = raw.token_to_id(END)
    rows = [raw.encode(f"{seed}{ANSWER}{answer}{END}").ids for seed in seeds]
    answered = len(raw.encode(f"{answer}{END}").ids)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=raw.get_vocab_size(), hidden_size=HIDDEN, intermediate_size=4 * HIDDEN, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=2048, tie_word_embeddings=True,
        eos_token_id=end, bos_token_id=end,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(STEPS):
        ids = torch.tensor([rows[step % len(rows)]])
        labels = ids.clone()
        labels[:, : ids.shape[1] - answered] = -100
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if float(loss) < 2e-3:
            break
    model.save_pretrained(folder)
    return answered


if __name__ == "__main__":
    sys.exit(main())
