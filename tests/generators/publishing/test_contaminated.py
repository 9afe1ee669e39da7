"""A synthetic file is held to the benchmarks that the corpus of its root was kept free of."""

import json
from pathlib import Path

import pytest

from generators.planning.orders import place_order
from generators.planning.planner import Planner
from generators.publishing.publishing import Publishing
from generators.queue.job import Reason, accepted_file
from generators.queue.memory_job_queue import MemoryJobQueue
from streamer import Catalog
from streamer.corpus.parts.publication import BUILDS, FORMAT
from streamer.likeness.contamination_file import encode_index, publish_index
from streamer.likeness.decontamination import Decontamination, read_sets

SOLUTION = """def greatest_common_beginning(words):
    beginning = words[0]
    for word in words:
        while not word.startswith(beginning):
            beginning = beginning[:-1]
    return beginning
"""


@pytest.mark.parametrize("is_known", [True, False])
def test_a_synthetic_file_with_a_task_of_a_benchmark_is_rejected(seeded: Catalog, tmp_path: Path, is_known: bool) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"task_id": "Own/0", "text": "Tell how all words begin.", "code": SOLUTION}))
    index = encode_index(read_sets(Decontamination(sets=(str(path),))))
    report = {"contamination": publish_index(seeded.store, index)} if is_known else {}
    seeded.log(BUILDS).append(lambda _: {"format": FORMAT, "event": "done", "build": "b", "report": report})
    queue = MemoryJobQueue()
    place_order(seeded, "scored/*", files=2)
    assert Planner(seeded, queue, model=lambda: "m", say=print).tick() == 2
    texts = [
        "import this\n\n" + SOLUTION.replace("beginning", "start").replace("words", "names"),
        "def other():\n    return 1\n",
    ]
    for claim, text in zip(queue.claim("w", count=2, silent_ms=10_000), texts, strict=True):
        queue.deliver(claim, accepted_file(claim.job, text))
    assert Publishing(seeded, queue, max_wait_s=0).tick() == (1 if is_known else 2)
    assert queue.rejections() == ({Reason.CONTAMINATED: 1} if is_known else {})
    assert [file.values["task"] for file in queue.rejected_files()] == (["own: Own/0"] if is_known else [])
