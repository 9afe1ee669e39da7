"""What the generator pool itself costs: planner, workers, gates and publisher beside an engine that answers at once.

    python -m benchmarks.generation [--jobs N] [--workers N] [--json]

An order of N files of Python goes through the processes of the command line and a Redis of its own. Measured are files a
second from the first part to the last, CPU and memory by process, and what Redis holds. Workers judge by their gates, the
publisher by its own; no model scores the files.
"""

import argparse
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import psutil  # type: ignore[import-untyped]
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from benchmarks.instant_engine import FILE_CHARACTERS, real_functions
from benchmarks.report import Report, show
from deploy.local.redis_server import does_redis_answer, find_redis, redis_address, redis_argv
from generators.planning.orders import place_order
from generators.publishing.published_files import AllPublished
from generators.queue.redis_job_queue import queue_of
from generators.recipes.recipe import add_recipe, parse_recipe, recipes_of, set_shares
from streamer import Catalog
from streamer.packing.packing import pack
from streamer.packing.tokenizer import end_of_document_id
from streamer.publishing.publication import publish_path

SEEDS, SEQ_LEN, VOCABULARY = 200, 2048, 8192
PROMPT = "Write a {language} file, variation {variation}, from this one.\n\nSeed file ({language}):\n```\n{seed}\n```\n"
WANTED_PER_S = 600
PATIENCE_S = 600.0  # for a tenth of the files


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000, help="files that are ordered")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pm-generation-") as folder:
        return show(measure(Path(folder), options.jobs, options.workers), as_json=options.json)


def measure(folder: Path, jobs: int, workers: int) -> Report:
    catalog = fill(folder / "root")
    with ExitStack() as stack:
        started: dict[str, psutil.Process] = {}

        def start(name: str, *argv: str) -> None:
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            process = subprocess.Popen(argv, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            started[name] = psutil.Process(process.pid)

        port, url = find_free_port(), redis_address(folder)
        start("redis", *redis_argv(find_redis(), folder))
        start("engine", sys.executable, "-m", "benchmarks.instant_engine", str(port))
        wait_until(lambda: does_redis_answer(url) and answers(port))
        verb = (sys.executable, "-P", "-m", "phasemix", "generators")
        where = ("--root", str(folder / "root"), "--redis", url)
        start("planner", *verb, "plan", *where)
        start("publisher", *verb, "publish", *where, "--max-wait", "1")
        for number in range(workers):
            start(
                f"worker {number}", *verb, "work", *where, "--engine", f"http://127.0.0.1:{port}/v1", "--name", f"{number}"
            )
        queue, published = queue_of(catalog, url), AllPublished(catalog)

        def count() -> int:
            published.refresh()
            return published.count()

        wait_until(lambda: queue.client.hlen(f"{queue.keys}:workers") == workers)
        before = {name: cpu_s(process) for name, process in started.items()}
        memory = {}
        place_order(catalog, "documents/*", files=jobs)
        wait_until(lambda: count() > 0)
        began_s, began = time.perf_counter(), published.count()
        for tenth in range(1, 11):
            wait_until(lambda tenth=tenth: count() >= jobs * tenth // 10)  # type: ignore[misc]
            memory[tenth] = {name: process.memory_info().rss for name, process in started.items()}
        rate = (published.count() - began) / (time.perf_counter() - began_s)
        rejected, ends = dict(queue.rejections()), queue.ends()
        done = sum(ends[:3])
        rows = [
            {
                "process": name,
                "CPU ms a job": 1e3 * (cpu_s(process) - before[name]) / done,
                "MB at a tenth": memory[1][name] / 1e6,
                "MB at half": memory[5][name] / 1e6,
                "MB at the end": memory[10][name] / 1e6,
            }
            for name, process in started.items()
        ]
        info: Any = queue.client.info("memory")
    figures = {
        "files_per_s": rate,
        "jobs_per_s": rate * done / published.count(),
        "cpu_ms_per_job": sum(row["CPU ms a job"] for row in rows),
        "files": published.count(),
        "parts": len(catalog.stream("synthetic/python").parts),
        "rejected": rejected,
        "redis_mb": info["used_memory"] / 1e6,
    }
    title = f"{published.count():,} files of some {FILE_CHARACTERS} characters by {workers} workers, rejected {rejected}"
    return Report(title, rows, figures, {"jobs_per_s": (">=", WANTED_PER_S)})


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline_s:
            raise TimeoutError("the pool makes no progress; its logs lie beside its root")
        time.sleep(0.05)


def fill(root: Path) -> Catalog:
    """A root with seed documents, one packed stream that gives the synthetic ones their shape, and one recipe."""
    catalog, functions, chance = Catalog(root), real_functions(), random.Random(16)
    texts = ["\n\n\n".join(chance.sample(functions, 4)) + "\n" for _ in range(SEEDS)]
    documents = root.parent / "documents.jsonl"
    lines = [{"text": text, "path": f"{number}.py", "repository": f"r{number}"} for number, text in enumerate(texts)]
    documents.write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    publish_path(catalog, "documents/python", documents)
    tokenizer = train_tokenizer(functions)
    ids = [tokenizer.encode(text).ids for text in texts[:20]]
    packed = pack(ids, seq_len=SEQ_LEN, dtype="uint16", end_of_document_id=end_of_document_id(tokenizer))
    catalog.append(
        "raw/python", packed.rows, seq_len=SEQ_LEN, tokenizer=catalog.put_tokenizer(tokenizer.to_str()), documents=[]
    )
    recipe = f"name = \"instant\"\nversion = 1\nmost_per_seed = 1000000\nprompt = '''\n{PROMPT}'''\n"
    add_recipe(catalog, parse_recipe(recipe, name="instant"))
    set_shares(catalog, {recipe.name: float(recipe.name == "instant") for recipe in recipes_of(catalog)})
    return catalog


def train_tokenizer(texts: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
