"""`phasemix generators try`: one answer, its verdict, and what was measured against which limits."""

import asyncio
import json
from pathlib import Path

import pytest

from deploy.command_line import main
from streamer import Catalog
from tests.generators.engines.scripted_engine import Server, good, serving

FILE = '"""Doubles."""\n\n\ndef double(value: int) -> int:\n    return value * 2 if value > 3 else value + value\n'
RECIPE = """name = "mine"
version = 1
prompt = "{language} {seed} {variation}"
[gates]
min_code_size = 20
[gates.python]
min_code_size = 1000
"""


def attempt(seeded: Catalog, recipe: str, *options: str) -> int:
    """Asks a server that answers with `FILE`."""
    seed = next(iter(seeded.documents("documents/python"))).document
    server = Server()
    choice = {"message": {"content": f"```python\n{FILE}```"}, "finish_reason": "stop"}
    server.respond = lambda asked: good(asked, choices=[choice])
    words = ["generators", "try", recipe, "--seed", seed, "--root", str(seeded.store.url), *options]

    async def ask() -> int:
        async with serving(server):
            return await asyncio.to_thread(main, [*words, "--engine", server.url])

    return asyncio.run(ask())


def test_an_attempt_shows_what_was_measured_and_what_holds(
    seeded: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE)
    assert attempt(seeded, str(path), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "trivial"
    assert (found["values"]["min_code_size"], found["limits"]["min_code_size"]) == (1000, 1000)
    assert attempt(seeded, "oss-instruct-file") == 0
    said = capsys.readouterr().out
    assert f"code_size {found['values']['code_size']} (at least 16)\n" in said
    assert "--- accepted: " in said
