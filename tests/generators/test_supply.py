"""What the status says of supply: each recipe's yield and cost, and which runs will have drawn all that there is."""

import json
from pathlib import Path

import pytest

from deploy.command_line import main
from generators.planning.planner import Planner
from generators.publishing.published_files import PublishedFiles
from generators.publishing.publishing import Publishing
from generators.queue.job import Completion, Reason, accepted_file
from generators.queue.redis_job_queue import queue_of
from generators.scaling import Rates, Supplies, report_pool
from mixer import Mixtures, Runs
from streamer import Catalog

MIXTURE = """name = "made"
seq_len = 64
[[component]]
streams = "synthetic/*"
share = 1
max_passes = 1
when_dry = "wait"
"""
RECIPE = "oss-instruct-file/1"


def text(number: int) -> str:
    words = [f"value_{number}_{place}" for place in range(40)]
    return f"def sum_{number}({', '.join(words)}):\n    return {' + '.join(words)}\n"


def test_the_status_shows_yield_cost_and_which_run_starves(
    seeded: Catalog, root: Path, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = queue_of(seeded, redis_url)
    seeded.create_stream("synthetic/python", seq_len=64, tokenizer=seeded.stream("scored/python/q50").tokenizer)
    Mixtures(root).apply(MIXTURE)
    Runs(root).create("hungry", mixture="made", seed=1, global_batch=2, num_steps=10_000)
    planner = Planner(seeded, queue, model=lambda: "m", say=print)
    assert planner.tick() > 4
    claims = queue.claim("w", count=4, silent_ms=10_000)
    for number, claim in enumerate(claims[:3]):
        completion = Completion(text="", finish_reason="stop", tokens=900)
        queue.deliver(claim, accepted_file(claim.job, text(number), completion))
    queue.reject_job(claims[3], Reason.EMPTY, "")
    assert Publishing(seeded, queue, max_wait_s=0).tick() == 3
    planner.tick()
    supplies = Supplies()
    supply, runs = supplies.note(queue.clock_ms(), planner.needs, planner.published_tokens)
    report_pool(queue, Rates(), accepted=3, supply=supply, runs=runs, costs=planner.costs)

    words = ["generators", "status", "--root", str(root), "--redis", redis_url]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    published = PublishedFiles(seeded, "synthetic/python")
    published.refresh()
    assert published.written == {RECIPE: 2700}
    assert published.packed[RECIPE] == published.tokens
    assert found["recipes"] == [
        {
            "language": "python", "recipe": RECIPE, "ended": 4, "accepted": 3, "published_tokens": published.tokens,
            "written_per_token": round(2700 / published.tokens, 3), "files_per_job": 0.75,
        }
    ]  # fmt: skip
    samples = seeded.stream("synthetic/python").samples
    assert found["runs"] == [
        {"run": "hungry", "language": "python", "left_tokens": samples * 64, "drawn_per_min": 0.0, "starves_in_s": None}
    ]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "never" in said
    assert RECIPE in said
    Runs(root).extend("hungry", samples // 2)
    assert planner.tick() >= 0
    (run,) = supplies.note(queue.clock_ms() + 60_000, planner.needs, planner.published_tokens)[1]
    assert (run.left_tokens, run.starves_in_s) == (0, 0.0)  # a sample alone is no batch
    assert run.drawn_per_min > 0
